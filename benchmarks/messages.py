"""What a message costs: microseconds to encode and to decode the most frequent ones, and bytes of header."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.report import Report
from streammac.wire.codec import Message, decode, encode
from streammac.wire.messages import Ack, Points, Token

POINTS, DIM, BITS = 500, 320, 4
REPEATS = 9


def samples() -> dict[str, Message]:
    tensors: dict[str, np.ndarray] = {
        "x": np.ones((POINTS, DIM), np.float32),
        "time": np.ones(POINTS),
    }
    keys = tuple(b"key-%d" % n for n in range(POINTS))
    block = dict.fromkeys(("encoder", "decoder", "average"), np.ones((DIM, BITS), np.float32))
    members = tuple(f"w{n}" for n in range(8))
    return {
        "Points": Points("camera", 1, 7, False, tensors, sender="i1", session=3),
        "Points with keys": Points("camera", 1, 7, False, tensors, keys, "i1", 3),
        "Token": Token(3, 9, "block-4", 1, members, False, None, block),
        "Ack": Ack("camera", 1, 7, 3, "stored", 1 << 20),
    }


def microseconds(call: Callable[[], object], repeats: int) -> float:
    timer = timeit.Timer(call, timer=time.process_time)
    times, _ = timer.autorange()
    return min(timer.repeat(repeats, times)) / times * 1e6


def run(*, short: bool = False) -> Iterator[Report]:
    rows = []
    for name, message in samples().items():
        frames = [bytes(frame) for frame in encode(message)]
        calls = (partial(encode, message), partial(decode, frames))
        there, back = (microseconds(call, 1 if short else REPEATS) for call in calls)
        rows.append((name, there, back, len(frames[0])))
    yield Report(
        f"Messages: {POINTS} points of {DIM} float32, a block of {BITS} bits",
        {"message": "", "encode, us": ".1f", "decode, us": ".1f", "header, bytes": "d"},
        tuple(rows),
        "Microseconds of processor time, the least of several repeats.",
    )
