"""The first phase of a process: settings are waited for, and nothing that is said meanwhile is lost."""

from __future__ import annotations

import io
import threading

import pytest
import zmq

from streammac.errors import ExitCode
from streammac.link import registration
from streammac.link.claim import Claim
from streammac.link.coordinator import CoordinatorLink
from streammac.link.interrupt import Interrupt
from streammac.link.registration import Registration, register
from streammac.link.whereabouts import Whereabouts
from streammac.security import open_context
from streammac.settings.schema import Settings
from streammac.wire.codec import decode, encode
from streammac.wire.messages import (
    PleaseRegister,
    Register,
    Registered,
    RegistrationRefused,
    Routes,
    Stop,
    StreamSchema,
    View,
)
from tests.patience import PATIENCE_S

SETTINGS = Settings.model_validate({"cluster": {"workers": 3}})
ANSWER = Registered("c", SETTINGS.model_dump_json(), turning=True)
SCHEMA, VIEW, ROUTES = StreamSchema(4, "float32"), View(1, ()), Routes(())


class Line:
    """A process that registers in a thread, and the coordinator that the test plays."""

    def __init__(self) -> None:
        self.context = open_context(None)
        self.control = self.context.socket(zmq.ROUTER)
        port = self.control.bind_to_random_port("tcp://127.0.0.1")
        claim = Claim("w1", 1, "home", io.BytesIO())
        self.link = CoordinatorLink(
            self.context, "worker", claim, Whereabouts(f"tcp://127.0.0.1:{port}")
        )
        self.interrupt = Interrupt()
        self.result: list[Registration | ExitCode] = []
        self.thread = threading.Thread(target=self.register, daemon=True)
        self.thread.start()

    def register(self) -> None:
        self.result.append(register(self.link, self.interrupt))

    def heard(self) -> Register:
        assert self.control.poll(int(PATIENCE_S * 1000))
        self.identity, *frames = self.control.recv_multipart()
        message = decode(frames)
        assert isinstance(message, Register)
        return message

    def say(self, *messages) -> None:
        for message in messages:
            self.control.send_multipart([self.identity, *encode(message)])

    def end(self) -> Registration | ExitCode:
        self.thread.join(PATIENCE_S)
        (result,) = self.result
        return result


@pytest.fixture
def line():
    line = Line()
    yield line
    line.interrupt()
    line.thread.join(PATIENCE_S)
    line.context.destroy(linger=0)


def test_the_answer_brings_the_settings_and_whether_the_ring_turns(line):
    assert line.heard().name == "w1"
    line.say(ANSWER)
    assert line.end() == Registration(SETTINGS, late=True, cluster="c")


def test_what_is_said_before_and_right_after_the_answer_is_kept_in_order(line):
    line.heard()
    line.say(VIEW, SCHEMA, ANSWER, ROUTES)
    others = line.end().others
    if len(others) < 3:  # what came too late for it comes by the socket
        assert line.link.socket.poll(int(PATIENCE_S * 1000))
    rest = tuple(line.link.receive())
    assert others + rest == (VIEW, SCHEMA, ROUTES)


def test_it_presents_itself_until_it_is_answered(line):
    first = line.heard()
    assert line.heard() == first
    line.say(PleaseRegister())
    assert line.heard() == first
    line.say(ANSWER)
    assert isinstance(line.end(), Registration)


@pytest.mark.parametrize("way", ["signal", "order"])
def test_a_process_may_end_before_it_is_registered(line, way):
    line.heard()
    if way == "signal":
        line.interrupt()
    else:
        line.say(SCHEMA, Stop("the cluster ends"))
    assert line.end() is ExitCode.OK


def test_who_is_refused_ends_with_the_reason(line, caplog):
    line.heard()
    line.say(RegistrationRefused("w1: process 7 on host-a has this name"))
    assert line.end() is ExitCode.REFUSED
    assert "not taken into the cluster: w1: process 7 on host-a has this name" in caplog.text


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://127.0.0.1:9", "does it run there"),
        ("tcp://nohost.invalid:9", "nohost.invalid: "),
    ],
)
def test_nobody_who_answers_is_told_and_given_up(address, why, monkeypatch, caplog):
    monkeypatch.setattr(registration, "TELL_S", 0.05)
    with open_context(None) as context:
        link = CoordinatorLink(
            context, "worker", Claim("w1", 1, "home", io.BytesIO()), Whereabouts(address)
        )
        link.socket.linger = 0
        assert register(link, Interrupt(), timeout_s=0.3) is ExitCode.NOT_RUNNING
        link.socket.close()
    told = [record.getMessage() for record in caplog.records if "no coordinator" in record.message]
    assert len(told) >= 2, "it is said while it waits"
    assert all(address in text and why in text for text in told)
    assert told[-1].startswith("given up: ")
