"""Whether a process is alive and ready: as its loop says, and as long as it turns."""

from __future__ import annotations

import io
import urllib.error
import urllib.request

import pytest

from streammac.link import coordinator
from streammac.link.claim import Claim
from streammac.link.coordinator import CoordinatorLink
from streammac.link.http_server import serve_process
from streammac.link.pulse import HUNG_S, Pulse
from streammac.link.whereabouts import Whereabouts
from streammac.security import open_context
from streammac.settings.schema import Network
from streammac.telemetry.exporter import WorkerMetrics


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def asked():
    """A process's pulse, its clock, and what probes are answered."""
    clock = Clock()
    pulse = Pulse(clock)
    url, close = serve_process(WorkerMetrics("w1"), pulse, Network())

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{url}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    yield pulse, clock, ask
    close()


def test_a_process_is_alive_at_once_and_ready_when_it_says_so(asked):
    pulse, _, ask = asked
    assert ask("health") == (200, "ok")
    assert ask("ready") == (503, "it has not registered yet")
    pulse.unready = ""
    assert ask("ready") == (200, "ok")
    pulse.unready = "it leaves"
    assert ask("ready") == (503, "it leaves")
    assert ask("nowhere")[0] == 404


def test_a_loop_that_does_not_turn_is_neither_alive_nor_ready(asked):
    pulse, clock, ask = asked
    pulse.unready = ""
    clock.now += HUNG_S + 1
    why = f"its loop has not turned for {HUNG_S + 1:.0f} s"
    assert ask("health") == ask("ready") == (503, why)
    pulse.turn()
    assert ask("health") == ask("ready") == (200, "ok")


def test_what_takes_long_is_alive_and_not_ready(asked):
    pulse, clock, ask = asked
    pulse.unready = ""
    with pulse.long("it opens its shards"):
        clock.now += 10 * HUNG_S
        assert ask("health") == (200, "ok")
        assert ask("ready") == (503, "it opens its shards")
    assert ask("ready") == (200, "ok")


def test_a_coordinator_that_answers_no_reminder_is_out_of_reach(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(coordinator.time, "monotonic", clock)
    with open_context(None) as context:
        claim = Claim("w1", 1, "home", io.BytesIO())
        link = CoordinatorLink(context, "worker", claim, Whereabouts("tcp://127.0.0.1:1"))
        clock.now += coordinator.REMIND_S + 5
        assert link.unheard == ""
        clock.now += coordinator.REMIND_S + 5
        assert link.unheard == "the coordinator was silent for 30 s"
        link.socket.close(linger=0)
