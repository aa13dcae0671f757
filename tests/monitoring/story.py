"""What a cluster goes through while a real Prometheus watches: lived through once, looked back on by many tests."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from streammac.client import Client, ClientError
from streammac.link.request import ask_status
from streammac.security import KeyFolder
from tests.monitoring.dashboards import Query, of
from tests.monitoring.programs import MONITORING
from tests.monitoring.server import PATIENCE_S, Found, Prometheus, free_port
from tests.workers.live_cluster import LiveCluster, states

WINDOW = "4s"
"""What Grafana takes for $__rate_interval where a scrape comes every second."""
STOPPED_S, GOING_S = 0.09, 0.01
"""A slow worker: stopped and let go by turns, shorter than a visit, so that hardly one of them is spared."""

ALERTS = ("HandshakesRefused", "DeadLetters", "WorkerLost", "IngestHeldUp",
          "NotScraped")  # fmt: skip
"""What is provoked, in this order; the others have to do with unit tests."""


def settings() -> dict[str, object]:
    return {
        "network": {"http_port": free_port(), "coordinator_port": free_port()},
        "model": {"bits": 16, "options": {"starts": 3, "refined": 1, "mu_factor": 1.1}},
        "training": {"refresh": "60s"},
        "store": {"retain_points": 1000, "segment_bytes": 1 << 16},
        "ingest": {"batch_points": 64, "window_bytes": 1 << 18},
        "held_out": {"share": 0.1, "points": 1000, "queries": 500},
    }


def hurried_rules(folder: Path) -> Path:
    """A copy of the rules in which minutes are seconds, and alerts that last wait a fifth of that."""

    def window(found: re.Match[str]) -> str:
        number, unit = int(found[1]), found[2]
        return f"[{number * (60 if unit == 'h' else 1)}s]"

    def delay(found: re.Match[str]) -> str:
        return f"for: {200 * int(found[1])}ms"

    text = (MONITORING / "rules" / "streammac.yml").read_text()
    text = re.sub(r"\[(\d+)([mh])\]", window, text)
    text, delays = re.subn(r"for: (\d+)m", delay, text)
    assert delays > 5
    hurried = folder / "rules.yml"
    hurried.write_text(text)
    return hurried


def digits(count: int, seed: int, columns: np.ndarray) -> np.ndarray:
    """Noisy digits, (n, 64); other columns make other pictures of them."""
    rng = np.random.default_rng(seed)
    known = load_digits().data.astype(np.float32)
    rows = known[rng.integers(0, len(known), count)]
    return (rows + rng.normal(0, 1, rows.shape).astype(np.float32))[:, columns]


class Feed:
    """Pushes noisy digits at a rate, from a thread."""

    PAUSE_S = 0.1

    def __init__(self, root: Path) -> None:
        self.rate = 1500.0
        self.spoiled = 0.0
        self.columns = np.arange(64)
        self._root = root
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._push)
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()

    def _push(self) -> None:
        with Client(self._root) as client:
            for number in itertools.count():
                begin = time.monotonic()
                x = digits(int(self.rate * self.PAUSE_S), number, self.columns)
                x[: int(self.spoiled * len(x))] = np.nan
                with contextlib.suppress(ClientError):  # while there is no coordinator, say
                    client.push(x, timeout_s=5)
                if self._ending.wait(max(0.0, self.PAUSE_S - (time.monotonic() - begin))):
                    return


@dataclass
class Story:
    """A Prometheus with a past, and when what happened in it."""

    prometheus: Prometheus
    chapters: dict[str, tuple[float, float]] = field(default_factory=dict)
    recovery_s: float = 0.0
    """How long the recovery took, as the status says."""
    exposed: dict[str, str] = field(default_factory=dict)
    """What each process showed at its endpoint, by name."""

    @contextlib.contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        self.chapters[name] = (begin := time.time(), math.inf)
        yield
        self.chapters[name] = (begin, time.time())

    def sees(self, expression: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until an expression has a result, and do something again and again until then."""

        def seen() -> bool:
            meanwhile()
            return bool(self.prometheus.now(expression))

        self.prometheus.until(seen, expression)

    def fires(
        self, alert: str, meanwhile: Callable[[], None] = lambda: None, name: str = ".*"
    ) -> None:
        """Wait until an alert fires, perhaps that of one process."""
        labels = f'alertname="Streammac{alert}",alertstate="firing",name=~"{name}"'
        self.sees(f"ALERTS{{{labels}}}", meanwhile)

    def calms_down(self, alert: str) -> None:
        """Wait until an alert is over."""
        expression = f'ALERTS{{alertname="Streammac{alert}"}}'
        self.prometheus.until(lambda: not self.prometheus.now(expression), f"{alert} is over")

    def shows(self, query: Query, more_than: float, name: str = ".*") -> None:
        """Wait until a panel shows more than that."""
        self.sees(f"({query.filled(WINDOW, name)}) > {more_than}")

    def has_shown(self, query: Query, more_than: float, chapter: str) -> None:
        """Wait until a panel has shown more than that since a chapter began."""
        begin, _ = self.chapters[chapter]

        def shown() -> bool:
            found = self.prometheus.over(query.filled(WINDOW, ".*"), begin, time.time())
            return any(value > more_than for one in found for value in one.values)

        self.prometheus.until(shown, f"{query.panel} shows more than {more_than}")

    def over(self, query: Query, chapter: str, name: str = ".*") -> list[Found]:
        return self.prometheus.over(query.filled(WINDOW, name), *self.chapters[chapter])

    def read(self, query: Query, chapter: str, name: str = ".*") -> dict[str, list[float]]:
        """The values of a panel's line in a chapter, by what the legend calls them."""

        def called(found: Found) -> str:
            return re.sub(r"\{\{(\w+)\}\}", lambda label: found.labels[label[1]], query.legend)

        return {called(found): found.values for found in self.over(query, chapter, name)}


@contextlib.contextmanager
def slowly(cluster: LiveCluster, *names: str) -> Iterator[None]:
    """Let workers run only a tenth of the time."""
    ending = threading.Event()

    def turns() -> None:
        while not ending.wait(GOING_S):
            for name in names:
                cluster.signal(name, signal.SIGSTOP)
            ending.wait(STOPPED_S)
            for name in names:
                cluster.signal(name, signal.SIGCONT)

    thread = threading.Thread(target=turns)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextlib.contextmanager
def further_feed(cluster: LiveCluster, name: str, source: str) -> Iterator[None]:
    """Let a further ingest node read a feed that waits for nobody."""
    child = cluster.start("ingest", name, "--source", source)
    try:
        yield
    finally:
        cluster.signal(name, signal.SIGTERM)
        child.process.wait(20)


def stands_out(slow: str, *others: str) -> str:
    """When a point takes twice as long at one worker as at any other, by the panel that tells of it."""
    panel = of("cluster", "Training time of a point")
    rest = panel.filled(WINDOW, name="|".join(others))
    return f"max({panel.filled(WINDOW, name=slow)}) > 2 * max({rest})"


def scrapes(count: int) -> None:
    """Let so many scrapes come in."""
    time.sleep(count)


def knock(cluster: LiveCluster) -> None:
    """Somebody without keys asks for the status."""
    known = cluster.directory.announced("coordinator")
    assert known is not None
    assert ask_status(known["control"], 0.3) is None


@contextlib.contextmanager
def lived_through(root: Path) -> Iterator[Story]:
    """Run a cluster and a Prometheus through everything; the story is told once the cluster is gone."""
    run = root / "run"
    KeyFolder(run / "keys").new("here")
    np.save(root / "feed.npy", digits(20_000, 0, np.arange(64)))
    with contextlib.ExitStack() as rest:
        with LiveCluster(run, settings()) as cluster:
            discovery = f"http://127.0.0.1:{cluster.settings.network.http_port}/sd"
            server = rest.enter_context(Prometheus(root, discovery, hurried_rules(root)))
            story = Story(server)
            cluster.directory.wait_for("coordinator", PATIENCE_S)
            feed = Feed(run)
            try:
                _peace(story, cluster, feed)
                _coming_and_going(story, cluster)
                _slowness(story, cluster, f"{root / 'feed.npy'}?loop=true")
                _change(story, cluster, feed)
            finally:
                feed.stop()
        yield story


def _peace(story: Story, cluster: LiveCluster, feed: Feed) -> None:
    cluster.wait(lambda s: s.model_version >= 3 and s.quality, "versions")
    scrapes(4)  # or windows would reach back to before
    with story.chapter("healthy"):
        scrapes(5)
    status = cluster.wait(lambda s: True, "a status")
    for name, process in (
        ("coordinator", status.coordinator),
        *((process.name, process) for process in (*status.workers, *status.ingest)),
    ):
        with urllib.request.urlopen(str(process.metrics_url), timeout=PATIENCE_S) as answer:
            story.exposed[name] = answer.read().decode()
    with story.chapter("strangers and bad records"):
        cluster.start("worker", "w4")  # takes a moment to come
        feed.spoiled = 0.3
        story.fires("HandshakesRefused", meanwhile=lambda: knock(cluster))
        story.has_shown(of("cluster", "Refused handshakes"), 0, "strangers and bad records")
        story.fires("DeadLetters")
        feed.spoiled = 0.0


def _coming_and_going(story: Story, cluster: LiveCluster) -> None:
    with story.chapter("join and leave"):
        story.shows(of("cluster", "Work done"), 0, name="w4")
        cluster.signal("w3", signal.SIGTERM)
        cluster.wait(lambda s: states(s)["w3"] == "left", "the leave")
        story.shows(of("cluster", "Failures"), 0)
        scrapes(1)
    with story.chapter("death"):
        cluster.kill("w2")
        status = cluster.wait(lambda s: s.recovery.count == 1, "the recovery")
        story.recovery_s = status.recovery.last_s
        story.fires("WorkerLost")
        scrapes(1)
    with story.chapter("return"):
        cluster.start("worker", "w2")
        cluster.wait(lambda s: states(s)["w2"] == "alive", "the return")
        story.shows(of("cluster", "Work done"), 0, name="w2")
        story.calms_down("WorkerLost")


def _slowness(story: Story, cluster: LiveCluster, source: str) -> None:
    with (
        slowly(cluster, "w1"),
        further_feed(cluster, "i2", f"{source}&rate=15000"),
        story.chapter("a slow worker"),
    ):
        story.shows(of("cluster", "Held up by back-pressure"), -1, name="i2")
        scrapes(6)  # nothing of before is in the windows any more
        story.sees(stands_out("w1", "w2", "w4"))
        story.has_shown(of("cluster", "Imbalance"), 1.5, "a slow worker")
        scrapes(3)
    with (
        slowly(cluster, "w1", "w2", "w4"),
        further_feed(cluster, "i3", source),
        story.chapter("back-pressure"),
    ):
        story.fires("IngestHeldUp", name="i3")
        scrapes(1)


def _change(story: Story, cluster: LiveCluster, feed: Feed) -> None:
    with story.chapter("drift"):
        feed.columns = np.random.default_rng(0).permutation(64)
        feed.rate = 4000.0
        error = of("learning", "Error of new points")
        usual = max(max(values) for values in story.read(error, "healthy").values())
        story.has_shown(error, 1.5 * usual, "drift")
        for line in (0, 1):
            story.has_shown(of("learning", "Drift", line), 0, "drift")
        story.sees(f"max({error.filled(WINDOW, '.*')}) < {1.3 * usual}")
        # not before: until versions are measured on new points it tells of the old ones
        story.sees(f"({of('learning', 'Above the best baseline').filled(WINDOW, '.*')}) > -0.02")
        scrapes(1)  # or what was seen lies behind the last step of the chapter
    with story.chapter("no coordinator"):
        cluster.kill("coordinator")
        story.fires("NotScraped", name="coordinator")
    with story.chapter("calm"):
        cluster.start("coordinator")
        cluster.wait(lambda s: len(states(s)) == 3, "the members")
        for alert in ALERTS:
            story.calms_down(alert)
