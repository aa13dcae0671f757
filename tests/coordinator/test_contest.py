"""Two processes of one name: the one that lives stays, and who comes after a dead one is taken."""

from __future__ import annotations

import msgspec
import pytest

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.failure_detector import CAP_S
from streammac.coordinator.membership import MAX_PEERS
from streammac.settings.schema import Settings
from streammac.wire.messages import (
    Drift,
    Goodbye,
    Heartbeat,
    Register,
    Registered,
    RegistrationRefused,
)
from streammac.wire.reports import ShardCounts, WorkerReport

BEAT_S = 0.5
ADDRESSES = {"ring": "ring", "data": "data", "client": "client"}


class Room:
    """A coordinator, and processes that talk to it as real ones do."""

    def __init__(self) -> None:
        settings = Settings.model_validate({"cluster": {"workers": 1, "heartbeat_s": BEAT_S}})
        self.core = Coordinator(settings, "c")
        self.now = 0.0

    def register(self, name="w1", incarnation=1, *, home="a", role="worker", **more):
        """Return what a process is told upon its registration."""
        message = Register(role, name, incarnation, incarnation, "host", ADDRESSES, home)
        message = msgspec.structs.replace(message, **more)
        identity = b"%s:%d" % (name.encode(), incarnation)
        told = self.core.handle(identity, message, self.now)
        kinds = (Registered, RegistrationRefused)
        return [m for o in told if isinstance(m := getattr(o, "message", None), kinds)]

    def beat(self, incarnation=1, seconds=BEAT_S, name="w1") -> None:
        """Let time pass; the process is heard of at its end."""
        self.now += seconds
        identity = b"%s:%d" % (name.encode(), incarnation)
        report = WorkerReport(shard=ShardCounts(points=100, appended=100))
        self.core.handle(identity, Heartbeat(name, incarnation, report), self.now)

    def silence(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            self.core.tick(self.now)

    @property
    def holder(self) -> int:
        return self.core.membership.peers["w1"].incarnation

    def kinds(self) -> list[str]:
        return [event.kind for event in self.core.events.newest]


@pytest.fixture
def room() -> Room:
    room = Room()
    (answer,) = room.register()
    assert isinstance(answer, Registered)
    room.beat()
    return room


SECONDS = ({"home": "b"}, {"host": "other"}, {"role": "ingest"})


@pytest.mark.parametrize("second", SECONDS)
def test_a_second_process_under_a_living_name_is_refused_and_the_first_stays(room, second):
    assert room.register(incarnation=2, **second) == [], "it is not clear yet"
    room.beat()
    room.beat()
    (answer,) = room.register(incarnation=2, **second)
    assert "process 1 on host has this name" in answer.reason
    assert "--name" in answer.reason
    assert room.holder == 1
    assert room.core.membership.peers["w1"].state == "alive"
    assert room.kinds()[-1] == "refused"
    assert "process 2" in room.core.events.newest[-1].text


def test_a_process_that_starts_again_in_its_directory_is_taken_at_once(room):
    (answer,) = room.register(incarnation=2)
    assert isinstance(answer, Registered)
    assert room.holder == 2


def test_one_that_moves_to_another_directory_is_taken_once_its_predecessor_is_silent(room):
    room.register(incarnation=2, home="b")
    # what the first had said before it died may arrive late
    room.beat(seconds=0.5 * BEAT_S)
    assert room.register(incarnation=2, home="b") == []
    room.silence(CAP_S + 1.0)
    (answer,) = room.register(incarnation=2, home="b")
    assert isinstance(answer, Registered)
    assert room.holder == 2


def test_one_whose_predecessor_has_left_is_taken_at_once(room):
    room.core.handle(b"w1:1", Goodbye("w1", 1), room.now)
    (answer,) = room.register(incarnation=2, home="b")
    assert isinstance(answer, Registered)


def test_one_that_was_replaced_is_told_so(room):
    room.silence(CAP_S + 1.0)
    room.register(incarnation=2, home="b")
    (answer,) = room.register(incarnation=1)
    assert "process 2 on host has taken its place" in answer.reason
    assert room.holder == 2


def test_two_that_want_the_same_living_name_are_both_refused(room):
    for _ in range(4):
        answers = [room.register(incarnation=n, home=f"b{n}") for n in (2, 3)]
        room.beat()
    assert all(isinstance(answer, RegistrationRefused) for (answer,) in answers)
    assert room.holder == 1


def test_many_refusals_push_nothing_else_out_of_the_events(room):
    before = room.kinds()
    for number in range(2, 500):
        room.register(addresses={}, incarnation=number, name="w2")
    assert room.kinds() == [*before, "refused"]


@pytest.mark.parametrize("role", ["worker", "ingest"])
def test_who_cannot_be_reached_is_refused(room, role):
    (answer,) = room.register("x", role=role, addresses={"metrics": "http://h:1"})
    assert answer.reason.startswith("x: expected an address for")
    assert "x" not in room.core.membership.peers


def test_what_a_process_says_of_itself_is_believed_from_its_own_line_only(room):
    report = WorkerReport(shard=ShardCounts(points=5, appended=5))
    for message in (Goodbye("w1", 1), Drift("w1", 1, 1.0), Heartbeat("w1", 1, report)):
        room.core.handle(b"somebody", message, room.now)
        assert room.kinds()[-1] == "malformed"
    assert room.core.membership.peers["w1"].state == "alive"
    assert "drift" not in room.kinds()
    assert room.core.membership.peers["w1"].worker.points == 100


def test_what_somebody_says_before_a_coordinator_started_again_knows_him_is_no_fault():
    room = Room()
    assert room.core.handle(b"w1:1", Drift("w1", 1, 1.0), room.now) == []
    assert room.kinds() == []


def test_counts_that_contradict_each_other_are_not_counted(room):
    report = WorkerReport(shard=ShardCounts(points=1 << 53, appended=7))
    room.core.handle(b"w1:1", Heartbeat("w1", 1, report), room.now)
    assert room.core.accounts.points({"w1"}).accepted == 100
    assert room.kinds()[-1] == "malformed"


def test_who_is_gone_without_points_makes_room_and_who_had_some_stays(room):
    for number in range(MAX_PEERS - 1):
        room.register(f"x{number}")
    (answer,) = room.register("late")
    assert "processes already" in answer.reason
    room.silence(CAP_S + 1.0)
    (answer,) = room.register("late")
    assert isinstance(answer, Registered)
    assert "w1" in room.core.membership.peers, "its points are away"
    assert len(room.core.membership.peers) <= MAX_PEERS
