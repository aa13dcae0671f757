"""Pieces of work whose pace is guarded: small, of one thread, each timed again and again.

A process that measures: names of pieces come in on lines, seconds of processor time go out (`benchmarks.guard`).
A piece that comes to mean something else gets another name.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from benchmarks.data import fashion_mnist
from benchmarks.messages import samples
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan, enter, z_pass
from streammac.models.serial import w_step
from streammac.planning.constants import Constants, HopCost, TokenSize, VisitCost
from streammac.planning.discrete_event import simulate
from streammac.planning.workload import CodeWorkload
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Schema, Shard
from streammac.wire.codec import decode, encode

Piece: TypeAlias = Callable[[], object]
POINTS, BITS = 8192, 32


def training() -> dict[str, Piece]:
    """Return a W step in two blocks of each kind and a Z step, on uint8 images."""
    x = fashion_mnist().database[:POINTS]
    model = BinaryAutoencoderModel(bits=BITS, rotations=2, starts=1, refined=1, sample=2048)
    model.prepare()
    shard, plan = ArrayShard(x, model.coordinate_shape()), VisitPlan()
    shards = {"w1": shard}
    params = w_step(model, shards, {}, plan, 0, 0, 2)
    enter(model, params, shard, 0)
    z_pass(model, params, shard, model.mu(0))
    params = w_step(model, shards, params, plan, 1, 1, 2)
    z = shard.z(slice(0, POINTS))

    def z_step() -> None:
        shard.set_z(slice(0, POINTS), z)
        z_pass(model, params, shard, model.mu(1))

    return {
        "w_step": lambda: w_step(model, shards, params, plan, 2, 2, 2),
        "z_step": z_step,
        "encode": lambda: model.encode(params, x.astype(np.float32)),
    }


def delivery() -> dict[str, Piece]:
    """Return messages to and fro, and points into a shard."""
    messages = list(samples().values())

    def wire() -> None:
        for _ in range(100):
            for message in messages:
                decode([bytes(frame) for frame in encode(message)])

    block = PointBlock(np.random.default_rng(0).random((1024, 128), np.float32))

    def append() -> None:
        with tempfile.TemporaryDirectory() as folder:
            shard = Shard.open(Path(folder), Schema(128))
            for number in range(40):
                shard.append(block, BatchId("b", 1, number), 0.0)
            shard.close()

    return {"messages": wire, "append": append}


def ring() -> dict[str, Piece]:
    """Return epochs of a ring's state machines in virtual time."""
    kinds = ("encoder", "decoder")
    constants = Constants(
        "",
        "",
        128,
        "codes of 64 bits",
        dict.fromkeys(kinds, VisitCost(1e-3, 1e-6, 1e-7)),
        dict.fromkeys(kinds, TokenSize(1000.0, 500.0)),
        0.0,
        1e-6,
        HopCost(1e-4, 1e-9),
    )
    return {"ring": lambda: simulate(CodeWorkload(1_000_000, 128, 64), constants, 16)}


def pieces() -> dict[str, Piece]:
    """Return all of them by name, ready to be timed."""
    return training() | delivery() | ring()


def main() -> None:
    known = pieces()
    print(*known, flush=True)
    for line in sys.stdin:
        begin = time.thread_time()
        known[line.strip()]()
        print(time.thread_time() - begin, flush=True)


if __name__ == "__main__":
    main()
