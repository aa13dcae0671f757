"""What the coordinator's HTTP endpoint answers, without a coordinator."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.status import status
from streammac.files.writes import Writes
from streammac.link.http_server import serve
from streammac.page import history
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.wire.messages import Register
from streammac.wire.status import ClusterStatus
from tests.page.simulated import simulated_status, simulated_targets
from tests.patience import PATIENCE_S, wait_for
from workers.coordinator import http
from workers.coordinator.http import routes
from workers.coordinator.live import FRAMES, MOST_OF_A_CORE, PERIOD_S, Live

WRITES = Writes(lambda *_: None)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(RunDirectory(tmp_path), WRITES)


@pytest.fixture
def url(live: Live) -> Iterator[str]:
    address, close = serve(Starlette(routes=routes(live)), "127.0.0.1", 0)
    yield address
    live.closed = True
    close()


def show(live: Live, number: int, workers: int = 3) -> None:
    live.step(number * 1e6, lambda: simulated_status(workers, number), list)


def get(url: str) -> tuple[bytes, str]:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.read(), answer.headers["content-type"]


class Client:
    """Reads server-sent events from a socket of its own, as slowly as the test wants."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((host, int(port)))
        self.socket.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.file = self.socket.makefile("rb")
        self.code = int(self.file.readline().split()[1])

    def line(self, start: bytes) -> bytes:
        while raw := self.file.readline():
            if raw.startswith(start):
                return raw.removeprefix(start)
        return b""

    def frame(self) -> dict[str, Any] | None:
        raw = self.line(b"data: ")
        return json.loads(raw) if raw.strip() else None

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_snapshots_come_twice_a_second_and_take_little_of_a_core(live: Live) -> None:
    asked = []

    def slow_status() -> ClusterStatus:
        asked.append(1)
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return simulated_status(1)

    live.step(100.0, slow_status, list)
    live.step(100.0 + PERIOD_S, slow_status, list)
    assert len(asked) == 1, "it took 20 ms: two percent of a core are used up for a second"
    live.step(100.0 + 50 * 0.02 / MOST_OF_A_CORE, slow_status, list)
    assert len(asked) == 2
    quick = Live(RunDirectory(live.history.parent), WRITES)
    for n in range(10):
        quick.step(n * PERIOD_S, ClusterStatus, list)
    assert quick.frames[-1].number == 10


def test_before_the_first_snapshot(url: str) -> None:
    assert json.loads(get(f"{url}/sd")[0]) == []
    assert get(f"{url}/history")[0] == b""
    with pytest.raises(urllib.error.HTTPError, match="503"):
        get(f"{url}/status")


def test_the_page_and_the_history(live: Live, url: str) -> None:
    for n in range(1, 5):
        show(live, n)
    page, kind = get(url)
    assert kind == "text/html; charset=utf-8"
    assert b'<script type="application/json" id="data">null</script>' in page
    lines = [json.loads(line) for line in get(f"{url}/history")[0].splitlines()]
    assert [line["k"] for line in lines][:2] == ["start", "event"]
    assert json.loads(get(f"{url}/status")[0])["epoch"] == 4


def test_a_thousand_members_do_not_break_anything(live: Live, url: str) -> None:
    live.step(0.0, lambda: simulated_status(1000), lambda: simulated_targets(1000))
    assert len(json.loads(get(f"{url}/status")[0])["workers"]) == 1000
    targets = json.loads(get(f"{url}/sd")[0])
    assert len(targets) == 1000
    assert targets[0]["labels"]["role"] == "worker"
    client = Client(url)
    frame = client.frame()
    assert frame is not None
    assert len(frame["status"]["workers"]) == 1000
    client.close()


def test_frames_in_order_with_the_lines_that_are_new(live: Live, url: str) -> None:
    show(live, 1)
    client = Client(url)
    assert client.code == 200
    epochs, lines = [], []
    for n in range(2, 12):
        frame = client.frame()
        assert frame is not None
        epochs.append(frame["status"]["epoch"])
        lines += [line["epoch"] for line in frame["lines"] if line["k"] == "epoch"]
        show(live, n)
    assert epochs == list(range(1, 11))
    assert lines == list(range(10))
    live.close(simulated_status(3, 99))
    assert client.line(b"event: ") == b"end\n"
    client.close()
    assert json.loads((live.history.parent / "last-status.json").read_text())["status"][
        "epoch"
    ] == (99)


def test_a_client_that_missed_frames_is_sent_away(live: Live, url: str, tmp_path: Path) -> None:
    show(live, 1)
    client = Client(url)
    assert client.frame() is not None
    ahead = Live(RunDirectory(tmp_path / "ahead"), WRITES)
    ahead.history.parent.mkdir()
    for n in range(1, FRAMES + 4):
        show(ahead, n)
    live.frames = ahead.frames  # all of them between two looks of the stream
    assert client.frame() is None, "the stream ends"
    client.close()


def test_a_client_that_reads_nothing_is_dropped(
    live: Live, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "STALL_S", 0.1)
    monkeypatch.setattr(http, "MAX_CLIENTS", 1)
    show(live, 1)
    stuck = Client(url)
    assert stuck.code == 200
    number = count(2)

    def free() -> bool:
        show(live, next(number), workers=5000)  # a few of these are more than all buffers take
        other = Client(url)
        other.close()
        return other.code == 200

    wait_for(free)
    stuck.close()


def test_more_pages_than_the_limit_are_refused_until_one_goes(
    live: Live, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_CLIENTS", 2)
    show(live, 1)
    clients = [Client(url) for _ in range(3)]
    assert [client.code for client in clients] == [200, 200, 503]
    clients[0].close()

    def again() -> bool:
        client = Client(url)
        client.close()
        return client.code == 200

    wait_for(again)
    for client in clients[1:]:
        client.close()


def test_a_thousand_registered_workers(live: Live, url: str) -> None:
    settings = Settings.model_validate({"cluster": {"workers": 256}})
    core = Coordinator(settings, "many")
    for n in range(1000):
        addresses = dict.fromkeys(("ring", "data", "metrics"), f"tcp://10.0.0.1:{n}")
        core.handle(b"%d" % n, Register("worker", f"w{n}", 1, n, "here", addresses), 0.0)
    live.step(0.0, lambda: status(core), list)
    told = json.loads(get(f"{url}/status")[0])
    assert len(told["workers"]) == 1000
    assert [event["kind"] for event in told["events"]] == ["joined"] * 200
    assert [line["k"] for line in history.read(live.history)].count("event") == 200
