"""Versions of a feed that grows and then stands still: how many there are, which are promoted, and none at rest.

``STREAMMAC_STILL_S`` says how long is waited after the last point, 600 s if it is not set.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clusters import running
from benchmarks.data import fashion_mnist
from streammac.client import Client
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings

POINTS = 30_000
FEED_S = 60.0
"""The points come steadily over so long."""
SETTLED_S = 120.0
"""Longest time that the newest continuation may take after the last point."""
CALM_S = 10.0
"""A ring has come to rest if nothing has been published for so long."""
BATCH = 500


def feed(client: Client) -> None:
    x = fashion_mnist().database[np.random.default_rng(0).permutation(POINTS)]
    begin = time.monotonic()
    for first in range(0, POINTS, BATCH):
        client.push(x[first : first + BATCH])
        time.sleep(max(0.0, begin + FEED_S * first / POINTS - time.monotonic()))


def wait_for_calm(client: Client, seconds: float) -> float:
    """Wait until no version has come for `CALM_S`; return how many seconds that took."""
    begin = changed = time.monotonic()
    version = -1
    while (now := time.monotonic()) < begin + seconds and now < changed + CALM_S:
        newest = client.status().model_version
        if newest != version:
            version, changed = newest, now
        time.sleep(0.5)
    return changed - begin


def main() -> None:
    still_s = float(os.environ.get("STREAMMAC_STILL_S", "600"))
    settings = Settings.model_validate(
        {"cluster": {"workers": 2}, "model": {"bits": 32}, "publish": {"keep": 10_000}}
    )
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as client:
        feed(client)
        after = wait_for_calm(client, SETTLED_S)
        rested = client.status()
        time.sleep(still_s)
        status = client.status()
        store = VersionStore(RunDirectory(Path(folder)).models, 1)
        rows = [store.load(version).metadata for version in store.list()]
    promoted = {row["changed"]["than"] for row in rows if row["changed"]} | {status.promoted}
    print("| version | epoch | points | recall | bits changed | why |\n|---|---|---|---|---|---|")
    for row in rows:
        quality, changed = row["quality"] or {}, row["changed"] or {}
        cells = (
            row["version"],
            row["epoch"],
            f"{row['points']:,}",
            f"{quality.get('model', 0):.4f}",
        )
        print("|", *cells, f"{changed.get('bits', 0):.1f}", row["reason"], sep=" | ")
    further = status.model_version - rested.model_version
    print(
        f"\n{len(rows)} versions, {len(promoted)} of them promoted; the newest came {after:.0f} s after the "
        f"last point, and {further} more in {still_s:.0f} s of rest"
    )


if __name__ == "__main__":
    main()
