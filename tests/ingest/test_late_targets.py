"""Targets that come later: each point goes out once with its own target, or is told of as expired, over all crashes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.cutting import Origin
from ingest.formats import decode_json
from ingest.late_targets import KEY_WAITS, UNKNOWN, Brought, LateTargets, Targets
from ingest.parts import NO_KEY, separate, targets_of
from ingest.records import Raw
from ingest.waiting_room import Expired, Joined, WaitingRoom, Waits
from streammac.delivery.batch import Ticket
from streammac.delivery.ledger import Ledger
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.wire.messages import StreamSchema

PATIENCE_S = 10.0
KEYS = [b"a", b"b", b"c", b"\xff"]


class Node:
    """An ingest node, as far as late targets go: it can be killed, and knows what it has sent and told."""

    def __init__(self, folder: Path, limit_bytes: int = 1 << 20) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.now, self.incarnation = 0.0, 0
        self.sent: dict[BatchId, PointBlock] = {}
        self.settled: set[BatchId] = set()
        self.letters: list[tuple[str, str]] = []
        self._records = 0
        self.begin()

    def begin(self) -> None:
        self.incarnation += 1
        ledger = Ledger(self.folder / "waiting", WaitingRoom())
        self.late = LateTargets(
            ledger, PATIENCE_S, self.limit_bytes, self._name, self.settled.__contains__
        )
        again = {batch.batch_id: batch for batch in self.late.resume()}
        for batch_id, batch in again.items():
            assert rows(self.sent[batch_id]) == rows(PointBlock.of(batch.message.tensors))

    def kill(self) -> None:
        self.late.close()
        self.begin()

    def _name(self, points: int) -> Origin:
        self._records += points
        first = BatchId.of_stream("i1", self.incarnation, self._records - points)
        return Origin(first, 2, 0.3, 0, durable=True)

    def bring(self, content, first=None) -> Ticket:
        ticket = Ticket()
        first = first or BatchId.of_push("c", 1, push=self._records)
        self.late.put(Brought("c", content, first, ticket, ticket))
        self.turn()
        assert ticket.settled
        return ticket

    def turn(self, later_s=0.0) -> None:
        self.now += later_s
        outcome = self.late.flush(self.now)
        for batch in outcome.batches:
            self.sent[batch.batch_id] = PointBlock.of(batch.message.tensors, batch.message.keys)
        self.letters += [(refused.reason, form) for _, form, refused in outcome.letters]


def rows(points: PointBlock) -> list[tuple[float, float]]:
    return list(zip(points.x[:, 0].tolist(), points.y[:, 0].tolist(), strict=True))


def points(numbers, keys) -> PointBlock:
    return PointBlock(np.array(numbers, np.float32).reshape(-1, 1), keys=tuple(keys))


def targets(*pairs) -> Targets:
    keys, y = zip(*pairs, strict=True)
    return Targets(keys, np.array(y, np.float32).reshape(-1, 1))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("point"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)),
        st.tuples(st.just("again"), st.integers(0, 5)),
        st.tuples(st.just("target"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)),
        st.tuples(st.just("later"), st.sampled_from([1.0, 6.0])),
        st.tuples(st.just("settled"), st.integers(0, 5)),
        st.tuples(st.just("killed"), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(steps)
def test_every_point_goes_out_once_with_its_target_or_is_told_of(steps):
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        came: list[tuple[PointBlock, BatchId]] = []
        wanted: dict[bytes, float] = {}
        joined: Counter[tuple[float, float]] = Counter()
        number = 0
        for kind, what in steps:
            match kind:
                case "point":
                    block = points(range(number, number + len(what)), what)
                    first = BatchId.of_push("c", 1, push=number + 1)
                    ticket = node.bring(block, first)
                    fresh = [
                        n
                        for n, key in enumerate(what)
                        if key not in wanted | dict.fromkeys(what[:n])
                    ]
                    wanted |= {what[n]: float(number + n) for n in fresh}
                    came += [
                        (block.take(slice(n, n + 1)), first.later(n, held_out=False)) for n in fresh
                    ]
                    assert ticket.waiting == len(fresh)
                    assert ticket.given_up == len(what) - len(fresh)
                    number += len(what)
                case "again" if came:
                    node.bring(*came[what % len(came)])  # changes nothing, whatever became of it
                case "target":
                    y = float(1000 + number)
                    node.bring(targets(*((key, y) for key in what)))
                    for key in dict.fromkeys(what):
                        if key in wanted:
                            joined[wanted.pop(key), y] += 1
                case "later":
                    before = node.late.counts["expired"]
                    node.turn(what)
                    gone = node.late.counts["expired"] - before
                    wanted = dict(list(wanted.items())[gone:]) if gone else wanted
                case "settled" if node.sent:
                    batch_id = list(node.sent)[what % len(node.sent)]
                    node.late.settled(batch_id)
                    node.turn()
                    node.settled.add(batch_id)
                    node.turn()
                case "killed":
                    node.kill()
                    node.turn()
            sent = Counter(row for block in node.sent.values() for row in rows(block))
            assert node.late.waiting <= number
            assert sent == joined
        node.late.close()


def test_a_point_whose_target_does_not_come_is_a_dead_letter_with_all_that_is_known(tmp_path):
    node = Node(tmp_path)
    block = PointBlock(np.ones((2, 2), np.float32), None, np.array([np.nan, 5.0]), (b"a", b"\xff"))
    node.bring(block)
    node.turn(PATIENCE_S - 1)
    assert node.letters == []
    node.late.flush(node.now)
    node.now += 1
    (told, packed) = node.late.flush(node.now).letters
    assert (told[1], packed[1]) == ("json", "msgpack")
    assert json.loads(told[2].raw) == {"x": [1.0, 1.0], "key": "a"}
    assert told[2].reason == "y: did not come within 10 s"
    assert node.late.report().expired == 2
    assert node.late.waiting == 0
    node.late.close()


def test_a_target_that_is_of_no_use_says_why(tmp_path):
    node = Node(tmp_path)
    node.bring(points([1, 2], [b"a", b"b"]))
    node.bring(targets((b"a", 7), (b"c", 8)))
    assert node.letters == [(UNKNOWN, "json")]
    ticket = node.bring(targets((b"a", 7), (b"a", 7)))
    assert (ticket.duplicate, ticket.given_up) == (2, 0), "it came again"
    node.turn(PATIENCE_S)
    ticket = node.bring(targets((b"b", 9)))
    assert ticket.reason == "y: came too late, its point had waited for 10 s"
    ticket = node.bring(points([3, 4], [b"a", b"a"]))
    assert (ticket.waiting, ticket.given_up, ticket.reason) == (1, 1, KEY_WAITS)
    report = node.late.report()
    assert (report.joined, report.unknown, report.late, report.refused) == (1, 1, 1, 1)
    node.late.close()


def test_where_too_much_waits_the_oldest_has_waited_for_long_enough(tmp_path):
    node = Node(tmp_path, limit_bytes=3 * 5)
    node.bring(points([1, 2, 3], [b"a", b"b", b"c"]))
    node.bring(points([4], [b"d"]))
    node.bring(targets((b"a", 7), (b"b", 7)))
    assert [reason for reason, _ in node.letters] == [
        "y: did not come within 10 s",
        "y: came too late, its point had waited for 10 s",
    ]
    node.late.close()


def test_what_a_full_disk_does_not_take_comes_later_and_in_order(tmp_path, monkeypatch, caplog):
    node = Node(tmp_path)
    node.bring(points([1], [b"a"]))
    ledger, full = node.late._ledger, True
    append = ledger._log.append

    def refused(bodies):
        if full:
            raise OSError(28, "No space left on device")
        append(bodies)

    monkeypatch.setattr(ledger._log, "append", refused)
    tickets = [Ticket(), Ticket()]
    for ticket, content in zip(tickets, (points([2], [b"b"]), targets((b"b", 5))), strict=True):
        first = BatchId.of_push("c", 1, push=9)
        node.late.put(Brought("c", content, first, ticket, ticket))
    for _ in range(3):
        node.turn()
    assert not node.late.has_room
    assert not any(ticket.settled for ticket in tickets)
    assert caplog.text.count("No space left") == 1
    full = False
    node.turn()
    assert node.late.has_room
    assert all(ticket.settled for ticket in tickets)
    assert [rows(block) for block in node.sent.values()] == [[(2.0, 5.0)]]
    node.late.close()


def test_of_a_file_that_was_mended_what_is_left_goes_on():
    room = WaitingRoom()
    for key, x in ((b"a", 1.0), (b"b", 2.0), (b"c", 3.0)):
        room.apply(Waits(key, ("c", 1, int(x)), np.float32(x).tobytes(), "<f4", np.nan))
    y = np.array([7, 8, 9], np.float32).tobytes()
    room.apply(Joined(("i1", 1, 0), [b"gone", b"a", b"b"], y, [("c", 2, n) for n in (7, 8, 9)]))
    room.apply(Joined(("i1", 1, 6), [b"gone"], y[:4], [("c", 2, 7)]))
    room.apply(Expired([b"c"]))
    room.apply(Expired([b"gone"]))
    (batch_id,) = room.labelled
    assert rows(PointBlock.of(room.batch(batch_id).message.tensors)) == [(1.0, 8.0), (2.0, 9.0)]
    assert (room.waiting, room.size) == ({}, 0)
    assert [batch_id.sequence for batch_id in room.used] == [8, 9]
    assert [point.key for point in room.untold.values()] == [b"c"]
    again = WaitingRoom()
    for record in room.records():
        again.apply(record)
    assert again == room


STREAM = StreamSchema(2, "float32", targets=1, classes=3)
LINES = (
    b'{"x": [1, 2], "y": 1}',
    b'{"x": [3, 4], "key": "a", "time": 5}',
    b'{"x": [5, 6]}',
    b'{"key": "a", "y": 2}',
    b'{"key": "b", "y": 7}',
    b'{"x": [1], "key": "c"}',
    b"nonsense",
)


def test_a_chunk_is_taken_apart():
    parts = separate(Raw(LINES, decode_json), STREAM, 1000, late=True)
    assert parts.points.x.tolist() == [[1, 2]]
    assert (parts.waiting.x.tolist(), parts.waiting.keys) == ([[3, 4]], (b"a",))
    assert parts.waiting.time.tolist() == [5.0]
    assert (parts.targets.keys, parts.targets.y.tolist()) == ((b"a",), [[2.0]])
    reasons = {one.raw: one.reason for one in parts.refused}
    assert reasons[LINES[2]] == NO_KEY
    assert reasons[LINES[4]] == "y: expected a class from 0 to 2, got 7"
    assert reasons[LINES[5]] == "x: expected 2 numbers, got 1"
    assert reasons[LINES[6]].startswith("not JSON")


def test_so_is_an_array_and_other_streams_know_nothing_of_it():
    x, keys = np.ones((2, 2)), (b"a", b"")
    parts = separate(PointBlock(x, keys=keys), STREAM, 1000, late=True)
    assert (len(parts.points), parts.waiting.keys) == (0, (b"a",))
    assert [one.reason for one in parts.refused] == [NO_KEY]
    assert separate(PointBlock(x, np.ones(2)), STREAM, 1000, late=True).waiting is None
    told = targets_of(np.array([1, 5]), (b"a", b"b"), STREAM)
    assert told.targets.keys == (b"a",)
    assert [one.reason for one in told.refused] == ["y: expected a class from 0 to 2, got 5"]
    parts = separate(Raw(LINES[:4], decode_json), STREAM, 1000, late=False)
    assert [one.reason for one in parts.refused] == [
        "y: expected 1 numbers, got none",
        "y: expected 1 numbers, got none",
        "x: missing - targets come after their points only with stream.late_targets",
    ]


@pytest.mark.parametrize("y", [np.ones((2, 3)), np.ones(5)])
def test_targets_of_another_length_are_refused(y):
    parts = targets_of(y, (b"a",), STREAM)
    assert parts.targets is None
    assert all("y: expected 1 numbers" in one.reason for one in parts.refused)
