"""What watching costs: metrics as a share of an epoch, the time of a scrape, the page's share of a core."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from benchmarks.clusters import running, wait_for_epochs
from benchmarks.report import Report, Spread
from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.status import status
from streammac.files.writes import Writes
from streammac.link.http_server import serve, serve_process
from streammac.link.pulse import Pulse
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Network, Settings
from streammac.telemetry import metrics
from streammac.telemetry.exporter import WorkerMetrics
from streammac.wire.fields import Addresses
from streammac.wire.messages import Register
from streammac.wire.reports import RingProgress, ShardCounts, WorkerReport
from workers.coordinator.http import routes
from workers.coordinator.live import Live
from workers.coordinator.targets import targets

POINTS, DIM, BITS, WORKERS = 60_000, 128, 32, 2
MEASURED_S = 6.0
ROUNDS = 5
SCRAPES = 200
SCRAPE_INTERVAL_S = 5.0
PAGE_WORKERS, PAGE_S = 10, 15.0
READ_FOR_EVER = "import sys, urllib.request as u\nfor _ in u.urlopen(sys.argv[1]): pass"


def seconds_each(call: Callable[[], object], times: int = 20_000) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begin) / times


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    found: dict[str, float] = {}
    for sample in samples:
        found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def scrape_s(url: str) -> float:
    begin = time.perf_counter()
    with urllib.request.urlopen(url, timeout=10) as answer:
        answer.read()
    return time.perf_counter() - begin


def share_of_time(before: dict[str, float], after: dict[str, float], elapsed_s: float) -> float:
    """Return the share of a worker's time that goes into its metrics: what happens times what each costs."""
    worker = WorkerMetrics("w1")
    report = WorkerReport(ring=RingProgress(ready=True), shard=ShardCounts())
    phases = dict.fromkeys(("train", "z_step", "communicate", "wait"), 0.1)
    refused = dict.fromkeys("abcdef", 0)
    url, close = serve_process(worker, Pulse(), Network())
    begin = time.process_time()
    for _ in range(SCRAPES):
        scrape_s(f"{url}/metrics")
    one_scrape_s = (time.process_time() - begin) / SCRAPES  # with the client's part
    close()

    def rate(series: metrics.Series, suffix: str = "") -> float:
        name = series.name + suffix
        return (after[name] - before[name]) / elapsed_s

    beats = 1 / Settings().cluster.heartbeat_s
    return (
        rate(metrics.VISIT_SECONDS, "_count") * seconds_each(lambda: worker.visited(0.01))
        + rate(metrics.HOP_SECONDS, "_count") * seconds_each(lambda: worker.hopped(0.01))
        + rate(metrics.WORKER_EPOCHS) * seconds_each(lambda: worker.epoch_done(phases))
        + beats * seconds_each(lambda: worker.update(report))
        + beats * seconds_each(lambda: worker.handshakes(refused))
        + one_scrape_s / SCRAPE_INTERVAL_S
    )


def work_of_an_epoch(worker: str, urls: list[str], pause_s: float) -> tuple[float, float]:
    """Return a worker's processor time and the wall-clock time per epoch; all are scraped after each pause."""
    before, begin = scrape(worker), time.monotonic()
    end = begin + MEASURED_S
    while time.monotonic() + pause_s < end:
        time.sleep(pause_s)
        for url in urls:
            scrape_s(url)
    time.sleep(max(0.0, end - time.monotonic()))
    after = scrape(worker)
    epochs = after[metrics.WORKER_EPOCHS.name] - before[metrics.WORKER_EPOCHS.name]
    work = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    return work / epochs, (time.monotonic() - begin) / epochs


def cluster(folder: Path, rounds: int) -> Iterator[Report]:
    feed = folder / "feed.npy"
    np.save(feed, np.random.default_rng(0).random((POINTS, DIM), np.float32))
    settings = Settings.model_validate(
        {
            "cluster": {"workers": WORKERS},
            "model": {"bits": BITS, "options": {"mu_factor": 1.0, "rotations": 5}},
            "ingest": {"sources": [str(feed)]},
            "training": {"start_points": int(POINTS * 0.9), "growth": 100.0},
            "publish": {"interval_s": 5.0},
        }
    )
    with running(folder / "run", settings) as client:
        now = wait_for_epochs(client)
        urls = [str(process.metrics_url) for process in (*now.workers, *now.ingest)]
        urls.append(now.coordinator.metrics_url)
        worker = str(now.workers[0].metrics_url)
        rows = []
        for _ in range(rounds):
            before, begin = scrape(worker), time.monotonic()
            plain, plain_wall = work_of_an_epoch(worker, urls, MEASURED_S)
            share = share_of_time(before, scrape(worker), time.monotonic() - begin)
            watched, watched_wall = work_of_an_epoch(worker, urls, 1.0)
            rows.append((plain, watched, watched / plain, watched_wall / plain_wall, share))
        took = sorted(scrape_s(worker) for _ in range(SCRAPES))
    work, wall, of_time = (Spread.of(row[number] for row in rows) for number in (2, 3, 4))
    yield Report(
        f"An epoch, scraped every second and not: {WORKERS} workers, {POINTS:,} points of {DIM}, {BITS} bits",
        {
            "processor time, s": ".3f",
            "scraped": ".3f",
            "ratio": ".3f",
            "ratio of durations": ".3f",
            "metrics, of a worker's time": ".3%",
        },
        tuple(rows),
        f"A scrape of a worker that trains: median {1000 * took[SCRAPES // 2]:.1f} ms, "
        f"95 % within {1000 * took[int(0.95 * SCRAPES)]:.1f} ms.",
        {"work": work, "wall": wall, "share": of_time},
    )


def registered(workers: int) -> Coordinator:
    core = Coordinator(
        Settings.model_validate({"cluster": {"workers": min(workers, 256)}}), "benchmark"
    )
    for n in range(workers):
        sockets: Addresses = {"ring": "tcp://10.0.0.1:1", "data": "tcp://10.0.0.1:2"}
        addresses: Addresses = {**sockets, "metrics": f"http://10.0.0.1:{10_000 + n}/metrics"}
        core.handle(b"%d" % n, Register("worker", f"w{n}", 1, n, "here", addresses), 0.0)
    return core


def page(folder: Path, workers: int, measured_s: float) -> float:
    """Return the share of a core that snapshots and one open page take."""
    folder.mkdir()
    core, live = registered(workers), Live(RunDirectory(folder), Writes(lambda *_: None))
    url, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    reader = subprocess.Popen([sys.executable, "-c", READ_FOR_EVER, f"{url}/events"])
    end, begin = time.monotonic() + measured_s, time.process_time()
    try:
        while (now := time.monotonic()) < end:
            live.step(now, lambda: status(core), lambda: targets(core, url))
            time.sleep(0.1)
        return (time.process_time() - begin) / measured_s
    finally:
        reader.kill()
        reader.wait()
        live.closed = True
        close()


def discovery(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield how many milliseconds the answers of a large cluster take, by path."""
    folder.mkdir()
    core, live = registered(1000), Live(RunDirectory(folder), Writes(lambda *_: None))
    live.step(0.0, lambda: status(core), lambda: targets(core, "http://127.0.0.1:1/metrics"))
    url, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    for path in ("sd", "status"):
        took = 1000 * float(np.median([scrape_s(f"{url}/{path}") for _ in range(20)]))
        yield path, took
    live.closed = True
    close()


def run(*, short: bool = False) -> Iterator[Report]:
    with tempfile.TemporaryDirectory() as folder:
        yield from cluster(Path(folder), 1 if short else ROUNDS)
        pages = [
            (count, page(Path(folder) / f"page{count}", count, 2.0 if short else PAGE_S))
            for count in (PAGE_WORKERS, 1000)
        ]
        answers = tuple((f"/{path}", ms) for path, ms in discovery(Path(folder) / "discovery"))
    yield Report("The page, open once", {"workers": ",d", "of a core": ".1%"}, tuple(pages))
    yield Report("With 1,000 workers", {"path": "", "ms": ".1f"}, answers)
