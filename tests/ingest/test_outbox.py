"""The node's books and its lives: killed at any moment, it goes on where its feeds are settled."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from ingest.cutting import Origin
from ingest.dead_letters import DeadLetterFile, read
from ingest.ingest_queue import Delivery
from ingest.late_targets import UNKNOWN
from ingest.outbox import LETTERS, Outbox
from ingest.parts import Parts, separate
from ingest.positions import Place
from ingest.progress import IngestState
from ingest.records import Refused
from ingest.sources import open_source
from ingest.sources.base import seekable
from ingest.waiting_room import WaitingRoom
from streammac.coordinator.accounts import Accounts
from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import Receiver
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.settings.schema import Settings
from streammac.wire.messages import Route, StreamSchema
from tests.delivery.memory_store import MemoryStore

POINTS = 400
SETTINGS = Settings.model_validate(
    {
        "ingest": {"batch_points": 10, "resend_s": 1.0, "window_bytes": 1 << 16},
        "held_out": {"share": 0.1},
    }
)


class Life:
    """One process of a node: an outbox on what the former left, and a reader of its file."""

    def __init__(self, root, number, stores) -> None:
        self.begin(root, number, stores, "feed.npy", SETTINGS)

    def begin(self, root, number, stores, feed, settings, room=None) -> None:
        ledger = Ledger(root / "ledger", IngestState())
        letters = DeadLetterFile(root / "letters" / "i1.ndjson", 1 << 20)
        self.outbox = Outbox("i1", number << 40, settings, ledger, letters, room)
        self.receivers = {name: Receiver(1, 1 << 16, store) for name, store in stores.items()}
        self.outbox.route(Route(name, "a", 1) for name in stores)
        self.now = 0.0
        self.number = number
        source = seekable(open_source(str(root / feed)))
        self.position = self.outbox.open_feed("feed", source)
        at = self.position.at
        self.chunks = source.places(self.position.begun.batch_points, at.offset, at.records)
        self.records = at.records

    def read(self) -> bool:
        chunk, offset = next(self.chunks, (None, 0))
        if chunk is None:
            return False
        begun = self.position.begun
        first = BatchId.of_feed("i1", begun.number, self.records)
        origin = Origin(first, begun.batch_points, begun.share, self.records, durable=True)
        self.records += len(chunk)
        good = np.flatnonzero(chunk.x[:, 0] >= 0)
        refused = [Refused(row.tobytes(), "negative") for row in chunk.x[chunk.x[:, 0] < 0]]
        end = Place(self.records, offset)
        parts = Parts(chunk.take(good), refused)
        delivery = Delivery("feed", "<f4", parts, None, origin, "feed", end)
        self.outbox.take(delivery)
        return True

    def step(self, loss=0.0, rng=random) -> None:
        self.now += 0.5
        for post in self.outbox.flush(self.now):
            if rng.random() < loss:
                continue
            for _, answer in self.receivers[post.worker].take([(None, post.message)], self.now):
                if rng.random() >= loss:
                    self.outbox.handle(post.worker, answer, self.now)

    def report(self):
        return self.outbox.report()


def last_life(begin, accounts, rng, death) -> tuple[Life, int]:
    """Read a feed to its end, in as many lives as that takes; return the last one, and its number."""
    number, reading = 1, True
    life = begin(number)
    while reading or not life.outbox.idle:
        reading = life.read() if reading else False
        for _ in range(rng.randint(0, 3)):
            life.step(0.2, rng)
        if number < 8 and rng.random() < death:
            accounts.count_feed("i1", number, life.report())
            life.outbox.close()  # nothing else of a process outlives a kill
            number += 1
            life, reading = begin(number), True
    return life, number


@pytest.fixture
def root(tmp_path):
    x = np.zeros((POINTS, 2), np.float32)
    x[:, 0] = np.arange(POINTS)
    x[5::50, 0] = -1
    np.save(tmp_path / "feed.npy", x)
    return tmp_path


@pytest.mark.parametrize("seed", range(10))
def test_however_often_it_is_killed_every_record_is_settled_once(root, seed):
    rng = random.Random(seed)
    stores = {"w1": MemoryStore(), "w2": MemoryStore()}
    accounts = Accounts()
    life, number = last_life(lambda n: Life(root, n, stores), accounts, rng, 0.15)
    life.step()
    accounts.count_feed("i1", number, life.report())
    stored = sum(sum(store.batches.values()) for store in stores.values())
    letters = list(read(root / "letters"))
    assert number > 1 or seed
    assert stored == POINTS - 8
    assert len(letters) == 8
    sums = accounts.points(())
    assert (sums.sent, sums.dead_lettered) == (POINTS, 8)
    life.outbox.close()


def test_the_books_hold_all_feeds_that_ever_were_open_or_not(root):
    store = MemoryStore()
    accounts = Accounts()

    def live(number):
        life = Life(root, number, {"w1": store})
        while life.read():
            life.step()
        for _ in range(9):
            life.step()
        accounts.count_feed("i1", number, life.report())
        life.outbox.close()
        sums = accounts.points(())
        assert sums.sent == sum(store.batches.values()) + sums.dead_lettered
        return sums.sent

    assert live(1) == POINTS
    ledger = Ledger(root / "ledger", IngestState())
    later = Outbox("i1", 2 << 40, SETTINGS, ledger, DeadLetterFile(root / "x", 1 << 20))
    report = later.report()
    later.close()
    assert (report.lasting.sent, report.lasting.dead_lettered) == (POINTS, 8), "no feed is open"
    np.save(root / "feed.npy", np.ones((POINTS + 7, 2), np.float32))
    assert live(3) == 2 * POINTS + 7, (
        "another file under the old name adds to what the old one brought"
    )
    assert live(4) == 2 * POINTS + 7


def test_a_request_fills_the_dead_letters_only_so_far(root):
    store = MemoryStore()
    life = Life(root, 1, {"w1": store})
    refused = [Refused(b"x", "no")] * (LETTERS + 5)
    points = PointBlock(np.ones((3, 2), np.float32))
    life.outbox.take(Delivery("http", "json", Parts(points, refused), lambda _: None))
    assert len(list(read(root / "letters"))) == LETTERS
    assert life.report().sent == LETTERS + 8
    assert life.report().dead_lettered == LETTERS + 5, "all are counted"
    life.outbox.close()


def push(number, count=25) -> Delivery:
    points = PointBlock(np.ones((count, 2), np.float32))
    origin = Origin(BatchId.of_push("c", 1, number), 10, 0.1, 0, durable=True)
    return Delivery("c", "<f4", Parts(points), lambda t: None, origin)


def test_a_push_that_comes_again_in_another_life_is_stored_and_counted_once(root):
    stores = {"w1": MemoryStore(), "w2": MemoryStore()}
    first = Life(root, 1, stores)
    first.outbox.take(push(1))
    for _ in range(6):
        first.step()
    assert first.outbox.idle
    first.outbox.take(push(2))
    first.step(0.5, random.Random(3))
    first.outbox.close()
    later = Life(root, 2, stores)
    tickets = []
    for number in (1, 2):
        delivery = push(number)
        later.outbox.take(replace(delivery, settled=tickets.append))
    for _ in range(9):
        later.step()
    assert [t.stored + t.duplicate for t in tickets] == [25, 25]
    assert sum(sum(store.batches.values()) for store in stores.values()) == 50
    assert later.report().sent == later.report().lasting.sent == 50
    later.outbox.close()


def test_nothing_is_sent_that_the_ledger_could_not_take(root, monkeypatch):
    stores = {"w1": MemoryStore()}
    life = Life(root, 1, stores)
    ledger = life.outbox._ledger

    def full(_records):
        ledger._pending += _records
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(ledger, "write", full)
        while life.read():
            life.step()
        assert stores["w1"].batches == {}
        assert not life.outbox.idle
    for _ in range(60):
        life.step()
    assert life.outbox.idle
    assert sum(stores["w1"].batches.values()) == POINTS - 8
    life.outbox.close()


def test_before_it_knows_the_workers_nothing_is_taken_from_them(root):
    stores = {"w1": MemoryStore()}
    first = Life(root, 1, stores)
    first.read()
    first.step()
    first.step()
    assert first.outbox._ledger.state.handed
    first.outbox.close()
    ledger = Ledger(root / "ledger", IngestState())
    letters = DeadLetterFile(root / "letters" / "i1.ndjson", 1 << 20)
    later = Outbox("i1", 2 << 40, SETTINGS, ledger, letters)
    source = seekable(open_source(str(root / "feed.npy")))
    later.open_feed("feed", source)
    assert later.flush(0.0) == []
    assert not ledger.state.revoked
    later.close()


LATE = SETTINGS.model_copy(
    update={"stream": SETTINGS.stream.model_copy(update={"targets": 1, "late_targets": "1000s"})}
)
SCHEMA = StreamSchema(1, "float32", targets=1)


class Keeping(MemoryStore):
    """Remembers what points it was given, too."""

    def __init__(self) -> None:
        super().__init__()
        self.points = {}

    def append(self, batches):
        for batch in batches:
            key = (batch.source, batch.incarnation, batch.sequence)
            x, y = batch.tensors["x"][:, 0], batch.tensors["y"][:, 0]
            self.points[key] = list(zip(x.tolist(), y.tolist(), strict=True))
        return super().append(batches)


class LateLife(Life):
    """A process whose feed brings targets later than points."""

    def __init__(self, root, number, stores) -> None:
        self.begin(root, number, stores, "feed.ndjson", LATE, Ledger(root / "room", WaitingRoom()))

    def read(self) -> bool:
        chunk, offset = next(self.chunks, (None, 0))
        if chunk is None:
            return False
        begun = self.position.begun
        first = BatchId.of_feed("i1", begun.number, self.records)
        origin = Origin(first, begun.batch_points, begun.share, self.records, durable=True)
        self.records += len(chunk)
        parts = separate(chunk, SCHEMA, 1000, late=True)
        self.outbox.take(
            Delivery("feed", "json", parts, None, origin, "feed", Place(self.records, offset))
        )
        return True


def late_feed(rng) -> tuple[list[str], dict[float, float]]:
    """Points 0 to 299: a third whole, targets of most others 1 to 60 lines later; and what fits nothing."""
    events: list[tuple[float, str]] = [(0.0, json.dumps({"x": [0.0, 1.0], "y": 1}))]
    wanted = {}
    for n in range(300):
        if n % 3 == 0:
            events.append((n, json.dumps({"x": [n], "y": n / 2})))
            wanted[n] = n / 2
            continue
        events.append((n, json.dumps({"x": [n], "key": f"k{n}"})))
        if n % 10 != 1:
            events.append((n + rng.uniform(1, 60), json.dumps({"key": f"k{n}", "y": n / 2})))
            wanted[n] = n / 2
        if n % 50 == 2:
            events.append((n, json.dumps({"key": f"other{n}", "y": 1})))
    return [line for _, line in sorted(events)], wanted


@pytest.mark.parametrize("seed", range(6))
def test_points_whose_targets_come_later_are_stored_once_with_them_however_often_it_is_killed(
    tmp_path, seed
):
    rng = random.Random(seed)
    lines, wanted = late_feed(rng)
    (tmp_path / "feed.ndjson").write_text("\n".join(lines))
    stores = {"w1": Keeping(), "w2": Keeping()}
    accounts = Accounts()
    life, number = last_life(lambda n: LateLife(tmp_path, n, stores), accounts, rng, 0.1)
    for _ in range(3):
        life.step()
    assert not life.outbox.late.resume(), "what is settled is forgotten"
    waiting = life.report().late.waiting
    assert waiting == 300 - len(wanted)
    life.now += 1000
    life.step()
    accounts.count_feed("i1", number, life.report())
    stored = [
        point
        for store in stores.values()
        for batch_id in store.batches
        for point in store.points[tuple(batch_id)]
    ]
    assert sorted(stored) == sorted(wanted.items())
    sums = accounts.points(())
    assert sums.sent == len(stored) + sums.dead_lettered
    letters = [letter.reason for letter in read(tmp_path / "letters")]
    assert letters.count("y: did not come within 1000 s") == waiting
    assert {reason for reason in letters if reason[0] == "x"} == {"x: expected 1 numbers, got 2"}
    assert UNKNOWN in letters, "more than once, if it was killed just then"
    life.outbox.close()
