"""How soon there is a first model: the work of a fresh epoch, and seconds from the first stored point in a cluster.

The work is that of three shards one after the other (one thread, processor time): the block that goes round has them
work one after the other. The cluster has the settings of `streammac demo`: a thousand points a second, and training
begins with a thousand points.
"""

from __future__ import annotations

import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from benchmarks.clusters import PATIENCE_S
from benchmarks.data import fashion_mnist
from benchmarks.report import Report, Spread
from streammac.client import Client
from streammac.models.arrays import ArrayShard
from streammac.models.base import Array, Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitKey, VisitPlan, minibatches
from streammac.models.signature import Signature
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from streammac.wire.status import ClusterStatus

WORKERS, BITS = 3, 32
POINTS = (20_000, 60_000)
REPEATS = 3
PHASES = {0: "medians", 1: "distances", 2: "moments", -2: "contest", -1: "decoder"}
"""Kinds of laps, the last ones counted from the end."""


def run(*, short: bool = False) -> Iterator[Report]:
    yield work(1 if short else REPEATS)
    yield in_the_demo(1 if short else REPEATS)


def work(repeats: int) -> Report:
    database = fashion_mnist().database
    rows = []
    for points in POINTS:
        runs = [phases(database[:points]) for _ in range(repeats + 1)][1:]  # the first one compiles
        least = {phase: min(run[phase] for run in runs) for phase in runs[0]}
        rows.append((points, *least.values(), sum(least.values())))
    columns = {"points": ",d"} | {f"{phase}, s": ".2f" for phase in least} | {"all, s": ".2f"}
    return Report(
        f"A fresh epoch: Fashion-MNIST, {BITS} bits, {WORKERS} shards",
        columns,
        tuple(rows),
        f"Least of {repeats} runs, one thread, the shards one after the other.",
        {"seconds": rows[-1][-1]},
    )


def phases(x: Array) -> dict[str, float]:
    """Make a first model; return the seconds of each kind of lap."""
    model = BinaryAutoencoderModel(bits=BITS)
    shards = [ArrayShard(x[i::WORKERS], model.coordinate_shape()) for i in range(WORKERS)]
    signature = Signature(x.shape[1])
    (block,) = model.initial_blocks(signature)
    state: Tensors = model.start(block, signature, {}, 0)
    seconds: dict[str, float] = defaultdict(float)
    for lap in range(block.laps):
        begin = time.thread_time()
        for number, shard in enumerate(shards):
            key = VisitKey(0, lap, f"w{number}")
            batches = minibatches(shard, VisitPlan(), key, sample=block.sample, fresh=True)
            state = model.visit(block, {}, state, lap, batches)
        state = model.end_lap(block, {}, state, lap)
        seconds[PHASES.get(lap - block.laps if lap > 2 else lap, "rotations")] += (
            time.thread_time() - begin
        )
    return dict(seconds)


def in_the_demo(repeats: int) -> Report:
    waits = [first_model() for _ in range(repeats)]
    begin, made = (Spread.of(wait[i] for wait in waits) for i in (0, 1))
    return Report(
        f"The demo's cluster: {WORKERS} workers",
        {"": "", "training begins, s": ".2f", "first model, s": ".2f"},
        (("after the first stored point", begin, made),),
        f"Middle, least and largest of {repeats} runs.",
        {"first_model": made},
    )


def first_model() -> tuple[float, float]:
    """Run the demo's cluster until it has a model; return when training began, and when there was one."""
    demo = tomllib.loads((files("streammac.cli") / "demo.toml").read_text())
    settings = Settings.model_validate({**demo, "cluster": {"workers": WORKERS}})
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder))
        with LocalCluster(directory, settings) as cluster:
            directory.wait_for("coordinator", PATIENCE_S)
            with Client(Path(folder)) as client:
                status = wait_for_a_model(client, cluster)
    acknowledged = min(node.first_ack_s for node in status.ingest)
    began = next(event.time for event in status.events if event.kind == "view")
    return began - acknowledged, status.first_model_s - acknowledged


def wait_for_a_model(client: Client, cluster: LocalCluster) -> ClusterStatus:
    end = time.monotonic() + PATIENCE_S
    while not (status := client.status()).first_model_s and time.monotonic() < end:
        cluster.step()
        time.sleep(0.05)
    return status
