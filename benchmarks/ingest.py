"""Ingest end to end with ``file`` acknowledgements: a feed beside plain writes, clients' pushes, text over HTTP.

Plain writes go to a new file each time, as a worker's points do, right before and right after each run: how fast a
kernel finds new pages changes by the minute.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import http_load, push_load, redis_streams
from benchmarks.clusters import PATIENCE_S, running
from benchmarks.report import Cell, Report, Spread
from streammac.client import Client
from streammac.run_directory import RunDirectory
from streammac.security.keys import KeyFolder
from streammac.settings.schema import Settings

POINTS, DIM = 1_000_000, 128
BATCHES = (1024, 32)
REPEATS = 3
CLIENTS = 4
TEXT_POINTS, TEXT_DIM, CONNECTIONS = 100, 64, 16
SECONDS = 10.0
LOADED = {
    "": "",
    "points/s": ",.0f",
    "half of it": ",.0f",
    "p50 ms at half": ".1f",
    "p99 ms at half": ".1f",
}
LOADS = "Latency is from when it is due to its acknowledgement, which comes when all of its points are stored."


def run(*, short: bool = False) -> Iterator[Report]:
    points, seconds = (POINTS // 10, 2.0) if short else (POINTS, SECONDS)
    x = np.random.default_rng(0).random((points, DIM), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        feed = Path(folder) / "feed.npy"
        np.save(feed, x)
        yield _feed(Path(folder), feed, x, 1 if short else REPEATS)
    yield _redis(x[: points // 4])
    yield _pushes(seconds)
    yield _text(seconds)


# -- a feed -------------------------------------------------------------------------------------------


def _feed(folder: Path, feed: Path, x: np.ndarray, repeats: int) -> Report:
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float | Spread] = {}
    for batch in BATCHES:
        for keys in ("none", "CURVE"):
            rates, shares = [], []
            for number in range(repeats):
                place = folder / f"{batch}-{keys}-{number}"
                before = write_s(place.with_suffix(".before"), x, batch)
                ours = ingest_s(place, feed, len(x), batch, keyed=keys == "CURVE")
                plain = min(before, write_s(place.with_suffix(".after"), x, batch))
                rates.append(len(x) / ours)
                shares.append(plain / ours)
            rate, share = Spread.of(rates), Spread.of(shares)
            rows.append((f"a feed in batches of {batch}", keys, rate, share))
            which = f"{batch}" if keys == "none" else f"{batch}_{keys}"
            figures |= {f"rate_{which}": rate, f"of_plain_{which}": share}
    return Report(
        f"A feed of {DIM} float32 into one worker, {repeats} runs",
        {"": "", "keys": "", "points/s": ",.0f", "of plain writes": ".2f"},
        tuple(rows),
        "Plain writes: the same bytes in the same pieces to a new file, the better of before and after.",
        figures,
    )


def write_s(path: Path, x: np.ndarray, batch: int) -> float:
    begin = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for first in range(0, len(x), batch):
            os.write(file.fileno(), x[first : first + batch].data)
    return time.perf_counter() - begin


def ingest_s(folder: Path, feed: Path, points: int, batch: int, *, keyed: bool) -> float:
    """Return the seconds from the first acknowledgement to the last, plus one batch's share."""
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 1, "heartbeat_s": 0.02},
            "ingest": {"sources": [str(feed)], "batch_points": batch},
            "training": {"start_points": 10 * points},
            "held_out": {"share": 0.0},
        }
    )
    if keyed:
        KeyFolder(RunDirectory.create(folder).keys).new("bench")
    with running(folder, settings) as client:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status = client.status()
            nodes = status.ingest
            if nodes and status.points.accepted >= points:
                return time.time() - nodes[0].first_ack_s
            time.sleep(0.01)
    raise SystemExit("the feed was not stored in time")


def _redis(x: np.ndarray) -> Report:
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float | Spread] = {}
    why = ""
    for batch in BATCHES:
        with tempfile.TemporaryDirectory() as folder:
            found = redis_streams.rates(x, batch, Path(folder))
        if isinstance(found, str):
            why = f" Not measured: {found}."
            continue
        points, batches = found
        rows.append((batch, points, batches))
        figures[f"redis_points_per_s_{batch}"] = points
    return Report(
        f"Redis Streams: {DIM} float32, pipelined, with an append-only file",
        {
            "points of a batch": "d",
            "points/s, an entry for each point": ",.0f",
            "an entry for each batch": ",.0f",
        },
        tuple(rows),
        f"Written to the kernel before the answer (appendfsync no), four batches under way.{why}",
        figures,
    )


# -- clients ------------------------------------------------------------------------------------------


def _pushes(seconds: float) -> Report:
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 1},
            "training": {"start_points": 1_000_000_000},
            "held_out": {"share": 0.0},
        }
    )
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, float | Spread] = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as client:
        for batch in BATCHES:
            full = push_load.push(Path(folder), CLIENTS, batch, DIM, seconds)
            half = push_load.push(Path(folder), CLIENTS, batch, DIM, seconds, full.rate / 2)
            rows.append(
                (
                    f"pushes of {batch}",
                    full.rate * batch,
                    half.rate * batch,
                    half.ms(50),
                    half.ms(99),
                )
            )
            figures |= {
                f"push_rate_{batch}": full.rate * batch,
                f"push_p99_ms_{batch}": half.ms(99),
            }
        _check(client)
    return Report(
        f"Pushes of {DIM} float32 by {CLIENTS} clients, one worker",
        LOADED,
        tuple(rows),
        LOADS,
        figures,
    )


def _text(seconds: float) -> Report:
    bodies = http_load.ndjson(TEXT_POINTS, TEXT_DIM, 32)
    settings = Settings.model_validate(
        {"cluster": {"workers": 2}, "ingest": {"sources": ["http://127.0.0.1:0"]}}
    )
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), settings) as client:
        url = _url(client, RunDirectory(Path(folder)))
        http_load.post(url, bodies, CONNECTIONS, seconds / 2)  # then both are training
        full = http_load.post(url, bodies, CONNECTIONS, seconds)
        half = http_load.post(url, bodies, CONNECTIONS, seconds, full.rate / 2)
        _check(client)
    rate, half_rate = (one.rate * TEXT_POINTS for one in (full, half))
    if full.failed or half.failed:
        raise SystemExit(f"{full.failed + half.failed} requests failed")
    return Report(
        f"NDJSON of {TEXT_DIM} numbers a point over {CONNECTIONS} connections, two workers training",
        LOADED,
        ((f"requests of {TEXT_POINTS}", rate, half_rate, half.ms(50), half.ms(99)),),
        LOADS,
        {"http_rate": rate, "http_p99_ms": half.ms(99)},
    )


def _url(client: Client, directory: RunDirectory) -> str:
    """Return where points are taken over HTTP."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for node in client.status().ingest:
            url = (directory.announced(node.name) or {}).get("http")
            if url is not None:
                return str(url)
        time.sleep(0.05)
    raise SystemExit("no ingest node takes points over HTTP")


def _check(client: Client) -> None:
    """Look whether everything that was sent is stored: the next heartbeats say so."""
    end = time.monotonic() + PATIENCE_S
    while (points := client.status().points).accepted != points.sent:
        if time.monotonic() > end:
            raise SystemExit(f"not everything that was sent is stored: {points}")
        time.sleep(0.1)
