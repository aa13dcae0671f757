"""Late targets under seeded faults: an ingest node's real outbox, its files, real receivers, and what can go wrong.

A client pushes points without y, and targets: before their points, after them, twice, for nobody. Its pushes come
again. The node is killed between any two changes of its files, in the middle of one, or while it makes dead letters;
its disk fills up; workers die, return, and answers are lost. One seed tells one story. `python -m
tests.ingest.late_story` tells many.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from ingest.cutting import Origin
from ingest.dead_letters import DeadLetterFile
from ingest.formats import decode_json
from ingest.ingest_queue import Delivery
from ingest.late_targets import KEY_WAITS, Targets
from ingest.outbox import Outbox
from ingest.parts import Parts
from ingest.progress import IngestState
from ingest.waiting_room import WaitingRoom
from streammac.coordinator.accounts import Accounts
from streammac.delivery.batch import Ticket
from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import Receiver
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.settings.schema import Settings
from streammac.wire.messages import Points, Route
from tests.delivery.memory_store import MemoryStore, batch_id_of
from tests.files.failing_disk import Died, FailingDisk

PATIENCE_S = 20.0
KEYS = 12
DIM = 160
"""A few points fill the waiting room."""
SETTINGS = Settings.model_validate(
    {
        "stream": {"targets": 1, "late_targets": f"{PATIENCE_S:g}s"},
        "ingest": {"batch_points": 2, "resend_s": 1.0, "late_bytes": 4096},
        "held_out": {"share": 0.2},
    }
)
NOTHING = PointBlock(np.empty((0, DIM), np.float32), np.empty((0, 1), np.float32))


class Violation(AssertionError):
    """What must never be."""


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


class Store(MemoryStore):
    """A worker's shard: what each batch holds."""

    def __init__(self) -> None:
        super().__init__()
        self.points: dict[BatchId, list[tuple[float, float]]] = {}

    def _append(self, batch: Points) -> str | Exception:
        kept = super()._append(batch)
        if kept == "stored":
            x, y = (batch.tensors[name][:, 0].tolist() for name in ("x", "y"))
            self.points[batch_id_of(batch)] = list(zip(x, y, strict=True))
        return kept

    def withdraw(self, batch_ids, sender) -> int:
        wanted = list(batch_ids)
        for batch_id in wanted:
            self.points.pop(batch_id, None)
        return super().withdraw(wanted, sender)


class Letters(DeadLetterFile):
    """Dead letters, on a disk that may kill the process before it makes them; all are remembered."""

    def __init__(self, path: Path, disk: FailingDisk) -> None:
        super().__init__(path, 1 << 30)
        self.disk = disk
        self.all: list[tuple[str, dict]] = []

    def append(self, source, form, refused) -> None:
        self.disk.step()
        kept = list(refused)
        super().append(source, form, kept)
        for one in kept:
            record = decode_json(one.raw)
            value = record.x if record.x else record.y
            self.all.append((one.reason, value[0]))


@dataclass
class Push:
    """One push: what it brings by numbers that are its own, and what was said of it."""

    number: int
    keys: tuple[bytes, ...]
    values: tuple[float, ...]
    is_points: bool
    ticket: Ticket | None = None
    times: int = 0

    @property
    def content(self) -> PointBlock | Targets:
        """What is pushed."""
        values = np.array(self.values, np.float32).reshape(-1, 1)
        if not self.is_points:
            return Targets(self.keys, values)
        return PointBlock(np.repeat(values, DIM, axis=1), None, keys=self.keys)


@dataclass
class Story:
    """What happens by one seed."""

    seed: int
    folder: Path
    rng: Random = field(init=False)
    now: float = 0.0
    lives: int = 0
    value: int = 0
    pushes: list[Push] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.disk = FailingDisk()
        self.letters = Letters(self.folder / "letters" / "i1.ndjson", self.disk)
        self.stores = {name: Store() for name in ("w1", "w2")}
        self.incarnations = dict.fromkeys(self.stores, 1)
        self.there = set(self.stores)
        self.outbox: Outbox | None = None
        self.receivers: dict[str, Receiver] = {}
        self.accounts = Accounts()
        self.begin()

    # -- the node's lives -----------------------------------------------------------------

    def begin(self) -> None:
        """Begin a process of the node; a client pushes again what it has no answer to."""
        self.lives += 1
        self.disk.steps = self.disk.room = None
        self._ledger = Ledger(self.folder / "ledger", IngestState(), self.disk)
        self._room = Ledger(self.folder / "room", WaitingRoom(), self.disk)
        number = self.lives << 40
        self.outbox = Outbox("i1", number, SETTINGS, self._ledger, self.letters, self._room)
        self.route()
        for push in self.pushes:
            if push.ticket is None:
                self.take(push)

    def kill(self) -> None:
        """End the process; files are as it left them."""
        self._ledger.close()
        self._room.close()
        self.begin()

    def route(self) -> None:
        """Tell the node which workers there are."""
        for name, incarnation in self.incarnations.items():
            known = self.receivers.get(name)
            if known is None or known.incarnation != incarnation:
                self.receivers[name] = Receiver(incarnation, 1 << 16, self.stores[name])
        self.outbox.route(Route(name, "a", self.incarnations[name]) for name in sorted(self.there))

    # -- the client -----------------------------------------------------------------------

    def push(self, *, is_points: bool) -> None:
        """Push something new."""
        count = self.rng.randint(1, 3)
        keys = tuple(bytes([97 + self.rng.randrange(KEYS)]) for _ in range(count))
        values = tuple(float(self.value + n) for n in range(count))
        self.value += count
        push = Push(len(self.pushes) + 1, keys, values, is_points)
        self.pushes.append(push)
        self.take(push)

    def take(self, push: Push) -> None:
        """Have the node take a push, once more perhaps."""
        push.times += 1
        first = BatchId.of_push("c", 1, push.number)
        origin = Origin(first, 2, 0.2, 0, durable=True)
        parts = (
            Parts(NOTHING, waiting=push.content)
            if push.is_points
            else Parts(NOTHING, targets=push.content)
        )

        def settled(ticket: Ticket) -> None:
            push.ticket = push.ticket or ticket

        self.outbox.take(Delivery("c", "json", parts, settled, origin))

    # -- time -----------------------------------------------------------------------------

    def turn(self, loss: float) -> None:
        """Let the node send, workers answer, and some of it be lost."""
        self.now += 0.5
        for post in self.outbox.flush(self.now):
            if self.rng.random() < loss or post.worker not in self.there:
                continue
            receiver = self.receivers[post.worker]
            for _, answer in receiver.take([(None, post.message)], self.now):
                if self.rng.random() >= loss:
                    self.outbox.handle(post.worker, answer, self.now)
        if self.rng.random() < 0.3:
            self.accounts.count_feed("i1", self.lives, self.outbox.report())

    def happen(self) -> None:
        """Let one thing happen."""
        what, rng = self.rng.random(), self.rng
        if what < 0.3:
            self.push(is_points=True)
        elif what < 0.55:
            self.push(is_points=False)
        elif what < 0.62 and self.pushes:
            self.take(rng.choice(self.pushes))
        elif what < 0.66:
            self.now += rng.choice([1.0, PATIENCE_S / 2, PATIENCE_S])
        elif what < 0.70:
            name = rng.choice(sorted(self.stores))
            if name in self.there:
                self.there.discard(name)
            else:
                self.there.add(name)
                self.incarnations[name] += 1
            self.route()
        elif what < 0.73:
            self.disk.room = rng.choice([None, 0, 30, 200])
        elif what < 0.78:
            self.disk.steps = rng.randrange(4)

    def tell(self) -> Counter[str]:
        """Let things happen, then come to rest; return what there was of each kind."""
        loss = self.rng.choice([0.0, 0.0, 0.2, 0.5])
        for _ in range(self.rng.randint(5, 60)):
            self._survive(self.happen)
            self._survive(lambda: self.turn(loss))
            self.check()
        return self.come_to_rest()

    def _survive(self, do) -> None:
        try:
            do()
        except Died:
            self.kill()

    def come_to_rest(self) -> Counter[str]:
        """Let all faults end and everybody wait for long enough; everything is settled then."""
        self.disk.steps = self.disk.room = None
        if self.rng.random() < 0.5:
            self.kill()
        self.there = set(self.stores)
        self.route()
        for _ in range(20):
            self.turn(0.0)
        self.now += 2 * PATIENCE_S
        for _ in range(20):
            self.turn(0.0)
        found = self.check(the_end=True)
        self._ledger.close()
        self._room.close()
        return found

    # -- what must hold -------------------------------------------------------------------

    def stored(self) -> Iterator[tuple[float, float]]:
        """Yield the points with their targets that are in shards, and not revoked there."""
        for name, store in self.stores.items():
            session = self.outbox.sender.session(name)
            revoked = session.revoked if session is not None else ()
            for batch_id, points in store.points.items():
                if batch_id not in revoked:
                    yield from points

    def check(self, *, the_end: bool = False) -> Counter[str]:
        """Look at all points and targets."""
        keys = {
            value: key
            for push in self.pushes
            for value, key in zip(push.values, push.keys, strict=True)
        }
        came = {value: push.number for push in self.pushes for value in push.values}
        stored = list(self.stored())
        points, used = Counter(x for x, _ in stored), Counter(y for _, y in stored)
        for x, y in stored:
            _must(keys[x] == keys[y], f"point {x} of key {keys[x]} has target {y} of key {keys[y]}")
        _must(max(points.values(), default=1) == 1, f"stored twice: {points.most_common(1)}")
        _must(max(used.values(), default=1) == 1, f"used twice: {used.most_common(1)}")
        told: dict[float, set[str]] = {}
        for reason, value in self.letters.all:
            told.setdefault(value, set()).add(reason)
        gone = {
            value for value, reasons in told.items() if any("did not come" in r for r in reasons)
        }
        _must(not gone & points.keys(), f"stored, and told of as expired: {gone & points.keys()}")
        late = self.outbox.late
        _must(
            late.waiting + len(stored) + len(gone) <= len(came), "there are more points than came"
        )
        if the_end:
            self._check_the_end(points, used, told, gone)
        return Counter(points=len(came), stored=len(stored), expired=len(gone), lives=self.lives)

    def _check_the_end(self, points, used, told, gone) -> None:
        outbox = self.outbox
        _must(outbox.idle, "it does not come to rest")
        _must(outbox.late.waiting == 0, "something waits still")
        _must(not self._room.state.untold, "something was never told of")
        _must(not self._room.state.labelled, "a batch is never forgotten")
        self.accounts.count_feed("i1", self.lives, outbox.report())
        books = self.accounts.points(())
        both = sum(points.values()) + books.dead_lettered
        _must(books.sent == both, f"{books.sent} sent, {both} stored or dead-lettered")
        for push in self.pushes:
            _must(push.ticket is not None, f"push {push.number} has no answer")
            for value in push.values:
                reasons = told.get(value, set())
                if push.is_points:
                    there = (value in points) + (value in gone)
                    refused = KEY_WAITS in reasons
                    _must(
                        there == 1 or (there == 0 and refused),
                        f"point {value} is {there} times, {reasons}",
                    )
                    _must(
                        not refused or there == 0 or push.times > 1,
                        f"point {value} is refused and {there}",
                    )
                elif push.times == 1:
                    _must(
                        value in used or bool(reasons) or bool(push.ticket.duplicate),
                        f"target {value} is lost",
                    )
            ticket = push.ticket
            if not push.is_points:
                told_of = ticket.stored + ticket.duplicate + ticket.given_up
                _must(told_of == len(push.values), f"push {push.number} was answered by {ticket}")


def tell(seed: int) -> Counter[str]:
    """Tell the story of a seed.

    Raises
    ------
    Violation
        If something is lost, or there twice.
    """
    logging.disable(logging.CRITICAL)  # full disks are what it is about
    try:
        with tempfile.TemporaryDirectory() as folder:
            return Story(seed, Path(folder)).tell()
    finally:
        logging.disable(logging.NOTSET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    asked = parser.parse_args()
    sums: Counter[str] = Counter()
    failed = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        try:
            sums += tell(seed)
        except Exception as error:  # whatever is raised is a finding
            failed += 1
            print(f"seed {seed}: {type(error).__name__}: {error}")
    print(
        f"{asked.seeds} seeds, {failed} failed;",
        ", ".join(f"{n:,} {what}" for what, n in sums.items()),
    )
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
