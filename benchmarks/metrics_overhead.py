"""What watching costs: metrics as a share of an epoch, the time of a scrape, the page's share of a core."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from benchmarks.clusters import running, wait_for_epochs
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
            scrape_s(f"{url}/metrics")
    time.sleep(max(0.0, end - time.monotonic()))
    after = scrape(worker)
    epochs = after[metrics.WORKER_EPOCHS.name] - before[metrics.WORKER_EPOCHS.name]
    work = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    return work / epochs, (time.monotonic() - begin) / epochs


def cluster(folder: Path) -> None:
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
        ratios, walls = [], []
        for _ in range(ROUNDS):
            before, begin = scrape(worker), time.monotonic()
            plain, plain_wall = work_of_an_epoch(worker, urls, MEASURED_S)
            share = share_of_time(before, scrape(worker), time.monotonic() - begin)
            watched, watched_wall = work_of_an_epoch(worker, urls, 1.0)
            ratios.append(watched / plain)
            walls.append(watched_wall / plain_wall)
            print(
                f"processor time of an epoch {plain:.3f} s, scraped every second {watched:.3f} s; "
                f"metrics take {share:.3%} of a worker's time",
                flush=True,
            )
        took = sorted(scrape_s(worker) for _ in range(SCRAPES))
    for what, found in (("processor time", ratios), ("duration", walls)):
        print(
            f"{what} of an epoch, scraped every second over not: median {np.median(found):.3f} "
            f"({min(found):.3f} to {max(found):.3f})"
        )
    print(
        f"a scrape of a worker that trains: median {1000 * took[SCRAPES // 2]:.1f} ms, "
        f"95 % within {1000 * took[int(0.95 * SCRAPES)]:.1f} ms"
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


def page(folder: Path, workers: int) -> float:
    """Return the share of a core that snapshots and one open page take."""
    folder.mkdir()
    core, live = registered(workers), Live(RunDirectory(folder), Writes(lambda *_: None))
    url, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    reader = subprocess.Popen([sys.executable, "-c", READ_FOR_EVER, f"{url}/events"])
    end, begin = time.monotonic() + PAGE_S, time.process_time()
    try:
        while (now := time.monotonic()) < end:
            live.step(now, lambda: status(core), lambda: targets(core, url))
            time.sleep(0.1)
        return (time.process_time() - begin) / PAGE_S
    finally:
        reader.kill()
        reader.wait()
        live.closed = True
        close()


def discovery(folder: Path) -> None:
    folder.mkdir()
    core, live = registered(1000), Live(RunDirectory(folder), Writes(lambda *_: None))
    live.step(0.0, lambda: status(core), lambda: targets(core, "http://127.0.0.1:1/metrics"))
    url, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    for path in ("sd", "status"):
        took = 1000 * float(np.median([scrape_s(f"{url}/{path}") for _ in range(20)]))
        print(f"/{path} with 1,000 workers: {took:.1f} ms")
    live.closed = True
    close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster(Path(folder))
        for workers in (PAGE_WORKERS, 1000):
            share = page(Path(folder) / f"page{workers}", workers)
            print(f"the page, open once, with {workers} workers: {share:.1%} of a core")
        discovery(Path(folder) / "discovery")


if __name__ == "__main__":
    main()
