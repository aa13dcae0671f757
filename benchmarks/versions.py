"""Versions of a feed that grows and then stands still: how many there are, which are promoted, and none at rest.

``STREAMMAC_STILL_S`` says how long is waited after the last point, 600 s if it is not set.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clusters import running, wait_for_rest
from benchmarks.data import fashion_mnist
from streammac.client import Client
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings

POINTS = 30_000
FEED_S = 60.0
"""The points come steadily over so long."""
SETTLED_S = 5.0
"""So long after the hash functions have come to rest all of their versions are measured."""
BATCH = 500


def feed(client: Client) -> None:
    x = fashion_mnist().database[np.random.default_rng(0).permutation(POINTS)]
    begin = time.monotonic()
    for first in range(0, POINTS, BATCH):
        client.push(x[first : first + BATCH])
        time.sleep(max(0.0, begin + FEED_S * first / POINTS - time.monotonic()))


def main() -> None:
    still_s = float(os.environ.get("STREAMMAC_STILL_S", "600"))
    settings = Settings.model_validate(
        {"cluster": {"workers": 2}, "model": {"bits": 32}, "publish": {"keep": 10_000}}
    )
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as client:
        feed(client)
        fed = time.time()
        wait_for_rest(client)
        time.sleep(SETTLED_S)
        rested = client.status()
        time.sleep(still_s)
        status = client.status()
        store = VersionStore(RunDirectory(Path(folder)).models, 1)
        rows = [store.load(version).metadata for version in store.list()]
    promoted = {row["changed"]["than"] for row in rows if row["changed"]} | {status.promoted}
    print("| version | s after the last point | epoch | points | recall | bits changed | why |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        quality, changed = row["quality"] or {}, row["changed"] or {}
        numbers = f"{row['created'] - fed:.0f} | {row['epoch']} | {row['points']:,}"
        codes = f"{quality.get('model', 0):.4f} | {changed.get('bits', 0):.1f}"
        print(f"| {row['version']} | {numbers} | {codes} | {row['reason']} |")
    further = status.model_version - rested.model_version
    print(
        f"\n{len(rows)} versions, {len(promoted)} of them promoted; {further} came in {still_s:.0f} s of rest"
    )


if __name__ == "__main__":
    main()
