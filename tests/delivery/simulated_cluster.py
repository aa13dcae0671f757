"""Workers that hand their batches over, and a feed, in memory: processes are killed at any write or message.

What survives a kill is a worker's shards and ledgers, and the feed's. Between two processes messages arrive in order,
or, when either is killed, some or all of the rest never do.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.closing import Closing
from streammac.delivery.handover import Handover
from streammac.delivery.ledger import pack, unpack
from streammac.delivery.receiver import Receiver
from streammac.delivery.records import State
from streammac.delivery.scan import Shards, Wanted
from streammac.delivery.sender import Sender, Write
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.wire.messages import Ack, Credit, OpenSession, Points, Route

FEED = "i1"
RESEND_S = 3.0
ROOM_BYTES = 8000


class Killed(Exception):
    """The process that was writing is dead."""


@dataclass
class Disk:
    """Survives the process. ``fuse``: the process dies at the write after so many, before or after it is done."""

    shards: dict[bool, dict[BatchId, tuple[str, np.ndarray]]] = field(
        default_factory=lambda: {False: {}, True: {}}
    )
    ledger: list[bytes] = field(default_factory=list)
    fuse: int | None = None
    after: bool = False

    def writing(self, effect):
        if self.fuse == 0 and not self.after:
            self.fuse = None
            raise Killed
        result = effect()
        if self.fuse == 0:
            self.fuse = None
            raise Killed
        if self.fuse is not None:
            self.fuse -= 1
        return result


class MemoryLedger:
    """`streammac.delivery.ledger.Ledger` on such a disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.state = State()
        for body in disk.ledger:
            self.state.apply(unpack(body, State.kinds))

    def write(self, records) -> None:
        records = list(records)
        if not records:
            return
        self.disk.writing(
            lambda: self.disk.ledger.extend(pack(record, State.kinds) for record in records)
        )
        for record in records:
            self.state.apply(record)


class MemoryShard:
    """The part of `streammac.store.Shard` that is moved."""

    def __init__(self, disk: Disk, held_out: bool) -> None:
        self.disk, self.kept = disk, disk.shards[held_out]

    def batches(self):
        yield from [(batch_id, sender) for batch_id, (sender, _) in self.kept.items()]

    def batch(self, batch_id):
        found = self.kept.get(batch_id)
        return None if found is None else PointBlock(found[1])

    def withdraw(self, batch_ids, *, remember, sender=None):
        assert not remember
        here = [m for m in batch_ids if m in self.kept]
        gone = [m for m in here if sender is None or self.kept[m][0] == sender]
        return self.disk.writing(lambda: sum(len(self.kept.pop(m)[1]) for m in gone))


class Store:
    """A worker's shards, as its receiver sees them."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.shards = Shards(MemoryShard(disk, held_out=False), MemoryShard(disk, held_out=True))

    def append(self, batches):
        return [self._append(batch) for batch in batches]

    def _append(self, batch):
        shard = self.shards.shard(batch.held_out)
        kept = shard.kept
        batch_id = BatchId(batch.source, batch.incarnation, batch.sequence)
        try:
            if batch_id in kept:
                if not batch.moved or batch.sender == kept[batch_id][0]:
                    return "duplicate"
                shard.withdraw([batch_id], remember=False)
            new = batch.sender, batch.tensors["x"]
            self.disk.writing(lambda: kept.__setitem__(batch_id, new))
        except OSError as error:
            return error
        return "stored"

    def withdraw(self, batch_ids, sender):
        batch_ids = list(batch_ids)
        shards = (self.shards.train, self.shards.held_out)
        return sum(shard.withdraw(batch_ids, remember=False, sender=sender) for shard in shards)

    def commit(self):
        pass


class Worker:
    """One life of a worker."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.disk = cluster.disks[name]
        self.incarnation = cluster.next()
        self.store = Store(self.disk)
        self.receiver = Receiver(self.incarnation, ROOM_BYTES // 2, self.store)
        self.ledger = MemoryLedger(self.disk)
        self.handover = Handover(
            name, cluster.session(), RESEND_S, ROOM_BYTES, self.store.shards, self.ledger
        )
        self.closing = Closing(self.receiver.sessions)

    def hear(self, sender: str, message) -> None:
        if isinstance(message, OpenSession | Points):
            for peer, answer in self.receiver.take([(sender, message)], self.cluster.now):
                self.cluster.post(self.name, peer, answer)
        elif isinstance(message, Credit):
            self.handover.credit(sender, message)
        elif isinstance(message, Ack):
            self.handover.acknowledge(sender, message, self.cluster.now)

    def step(self) -> None:
        for post in self.handover.step(self.cluster.now):
            self.cluster.post(self.name, post.worker, post.message)
        if self.handover.idle:  # it has no use for routes, nor for what was said of its senders
            self.handover.route([])
            self.closing.forget()

    def route(self, routes, senders) -> None:
        self.closing.tell(senders - {self.name})
        self.handover.route(routes)

    @property
    def unsettled(self) -> bool:
        return bool(self.ledger.state.handed) or not self.handover.idle


class Feed:
    """One life of an ingest node: it sends every batch of its feed that its ledger does not know as settled."""

    def __init__(self, cluster: Cluster, name: str = FEED) -> None:
        self.cluster, self.name = cluster, name
        self.disk = cluster.disks[name]
        self.ledger = MemoryLedger(self.disk)
        self.incarnation = cluster.next()
        self.sender = Sender(name, cluster.session(), RESEND_S, ROOM_BYTES, self.ledger.state)
        for sequence in range(cluster.fed):
            if not self.ledger.state.is_settled(BatchId(name, 1, sequence)):
                self.put(sequence)

    def put(self, sequence: int) -> None:
        x = np.full((1 + sequence % 3, 2), sequence, np.float32)
        message = Points(self.name, 1, sequence, sequence % 4 == 3, {"x": x})
        self.sender.put(Batch(message, 1000, Ticket(), durable=True))

    def hear(self, sender: str, message) -> None:
        if isinstance(message, Credit):
            self.sender.credit(sender, message)
        elif isinstance(message, Ack):
            self.sender.acknowledge(sender, message, self.cluster.now)

    def step(self) -> None:
        for order in self.sender.send(self.cluster.now):
            if isinstance(order, Write):
                self.ledger.write(order.records)
            else:
                self.cluster.post(self.name, order.worker, order.message)

    def route(self, routes, senders) -> None:
        self.sender.route(routes)


class Cluster:
    """Everybody; ``random`` decides what happens."""

    def __init__(self, names: list[str], rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.count = 0
        self.fed = 0
        self.disks = {name: Disk() for name in (*names, FEED)}
        self.drains: dict[str, Wanted] = {}
        self.queues: dict[tuple[str, str], deque] = {}
        self.here: dict[str, Worker | Feed] = {}
        self.blocked: set[tuple[str, str]] = set()
        """Ways, from sender to receiver, on which messages wait for now."""
        self.untold: set[str] = set()
        self.unsettled: set[str] = {FEED}
        for name in (FEED, *names):
            self.begin(name)

    def next(self) -> int:
        self.count += 1
        return self.count

    def session(self) -> int:
        """Return a number above all sessions of former lives."""
        return 1000 * self.next()

    # -- what happens ---------------------------------------------------------------------

    def begin(self, name: str) -> None:
        self.here[name] = Feed(self) if name == FEED else Worker(self, name)
        if name in self.drains and isinstance(self.here[name], Worker):
            del self.drains[name]  # the order was given to its former life
        self.changed()

    def kill(self, name: str) -> None:
        process = self.here.pop(name)
        if isinstance(process, Worker):
            self.unsettled.add(name)
        for (sender, receiver), queue in self.queues.items():
            if receiver == name:
                queue.clear()
            elif sender == name:
                for _ in range(self.rng.randint(0, len(queue))):
                    queue.pop()
        self.disks[name].fuse = None
        self.changed()

    def feed(self) -> None:
        self.fed += 1
        if FEED in self.here:
            self.here[FEED].put(self.fed - 1)

    def drain(self, name: str, points: int | None = None, to: list[str] | None = None) -> None:
        worker = self.here[name]
        self.drains[name] = wanted = Wanted(worker.closing, to, points)
        self.unsettled.add(name)
        self.changed()
        self.tell(name)  # the order comes with the newest routes, and names
        worker.handover.order(wanted)

    def stay(self, name: str) -> None:
        self.here[name].handover.order(None)
        del self.drains[name]
        self.changed()

    def post(self, sender: str, receiver: str, message) -> None:
        if receiver in self.here:
            self.queues.setdefault((sender, receiver), deque()).append(message)

    def changed(self) -> None:
        self.untold = set(self.here)

    def tell(self, name: str) -> None:
        self.untold.discard(name)
        if isinstance(self.here[name], Worker) and name not in self.unsettled:
            return  # it moves nothing
        routes = [
            Route(n, n, w.incarnation, 0.0 if n in self.drains else 1.0)
            for n, w in self.here.items()
            if isinstance(w, Worker)
        ]
        self.here[name].route(routes, set(self.unsettled))

    def look(self) -> None:
        """The coordinator hears who has nothing unsettled any more."""
        for name, process in self.here.items():
            if isinstance(process, Worker) and name in self.unsettled and not process.unsettled:
                self.unsettled.discard(name)
                self.changed()

    def step(self, what: str, name: str) -> None:
        """Let a process do something; it may die of it."""
        process = self.here.get(name)
        if process is None:
            return
        try:
            if what == "turn":
                process.step()
            elif what == "tell" and name in self.untold:
                self.tell(name)
            elif what == "hear":
                waiting = [sender for sender, receiver in self.arrived if receiver == name]
                if waiting:
                    sender = self.rng.choice(waiting)
                    process.hear(sender, self.queues[sender, name].popleft())
        except Killed:
            self.kill(name)

    def quiet(self) -> bool:
        """Let everybody live and do what is due, for long; return whether nothing is left to do."""
        for disk in self.disks.values():
            disk.fuse = None
        for name in self.disks.keys() - self.here.keys():
            self.begin(name)
        for name, wanted in list(self.drains.items()):
            if wanted.to is not None and self.drains.keys() >= set(wanted.to):
                self.stay(name)
        self.blocked.clear()
        return self.run(lambda: self.at_rest)

    @property
    def arrived(self) -> list[tuple[str, str]]:
        """Ways on which something can be heard."""
        return [way for way, queue in self.queues.items() if queue and way not in self.blocked]

    def run(self, until: Callable[[], bool]) -> bool:
        """Let everybody do what is due until something is true; return False if that takes too long."""
        for _ in range(400):
            self.now += 0.5
            for name in list(self.here):
                self.step("tell", name)
                self.step("turn", name)
            while self.arrived:
                for _, receiver in self.arrived:
                    if until():
                        return True
                    self.step("hear", receiver)
            self.look()
            if until():
                return True
        return False

    @property
    def at_rest(self) -> bool:
        workers = [w for n, w in self.here.items() if isinstance(w, Worker)]
        moved = all(w.handover.done if w.name in self.drains else not w.unsettled for w in workers)
        sender = self.here[FEED].sender
        return moved and sender.idle and not sender.revoked and not self.untold

    def holders(self) -> dict[int, list[str]]:
        """Return by sequence who stores it."""
        found: dict[int, list[str]] = {sequence: [] for sequence in range(self.fed)}
        for name, disk in self.disks.items():
            for batches in disk.shards.values():
                for batch_id in batches:
                    found[batch_id.sequence].append(name)
        return found
