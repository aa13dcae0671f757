"""Versions of a feed that grows and then stands still: how many there are, which are promoted, and none at rest."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.clusters import running, wait_for_rest
from benchmarks.data import fashion_mnist
from benchmarks.report import Report
from streammac.client import Client
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings

POINTS = 30_000
FEED_S = 60.0
"""The points come steadily over so long."""
STILL_S, SHORT_STILL_S = 600.0, 10.0
"""So long there are no new points."""
SETTLED_S = 5.0
"""So long after the hash functions have come to rest all of their versions are measured."""
BATCH = 500


def feed(client: Client, feed_s: float) -> None:
    x = fashion_mnist().database[np.random.default_rng(0).permutation(POINTS)]
    begin = time.monotonic()
    for first in range(0, POINTS, BATCH):
        client.push(x[first : first + BATCH])
        time.sleep(max(0.0, begin + feed_s * first / POINTS - time.monotonic()))


def run(*, short: bool = False) -> Iterator[Report]:
    still_s = SHORT_STILL_S if short else STILL_S
    settings = Settings.model_validate(
        {"cluster": {"workers": 2}, "model": {"bits": 32}, "publish": {"keep": 10_000}}
    )
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as client:
        feed(client, 0.2 * FEED_S if short else FEED_S)
        fed = time.time()
        wait_for_rest(client)
        time.sleep(SETTLED_S)
        rested = client.status()
        time.sleep(still_s)
        status = client.status()
        store = VersionStore(RunDirectory(Path(folder)).models, 1)
        rows = [store.load(version).metadata for version in store.list()]
    promoted = {row["changed"]["than"] for row in rows if row["changed"]} | {status.promoted}
    further = status.model_version - rested.model_version
    yield Report(
        f"Versions of {POINTS:,} points that come steadily and then stand still",
        {
            "version": "d",
            "s after the last point": ".0f",
            "epoch": "d",
            "points": ",d",
            "recall": ".4f",
            "bits changed": ".1f",
            "why": "",
        },
        tuple(
            (
                row["version"],
                row["created"] - fed,
                row["epoch"],
                row["points"],
                (row["quality"] or {}).get("model", 0.0),
                (row["changed"] or {}).get("bits", 0.0),
                row["reason"],
            )
            for row in rows
        ),
        f"{len(rows)} versions, {len(promoted)} of them promoted; {further} came in {still_s:.0f} s of rest.",
        {"versions": len(rows), "promoted": len(promoted), "at_rest": further},
    )
