"""A sender and its workers over a net that loses, doubles and reorders, while all of them are killed at any time.

The net is worse than any real one: messages reach whichever process has a worker's name by then. Workers return
with their shards, or never; the sender returns with its ledger and has its batches again. At any time a
settled batch (the ledger says so) is in the shard of the worker that settled it, in the end every batch is in one.
"""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streammac.delivery.batch import Batch, Ticket
from streammac.delivery.ledger import pack, unpack
from streammac.delivery.receiver import RETRY_S, Receiver
from streammac.delivery.records import Settled, State
from streammac.delivery.sender import Post, Sender, Write
from streammac.points.batch_id import BatchId
from streammac.wire.messages import Ack, Points, Route
from tests.delivery.memory_store import MemoryStore

WORKERS = ("w1", "w2", "w3")
RESEND_S = 1.0
BATCH_BYTES = 10
WINDOW = 3 * BATCH_BYTES
FATES = (*["sent"] * 40, "killed before", "killed after the ledger")
PATIENCE = 400
"""Turns without faults in which everything must be settled."""


class Worker:
    """A name, its shard, and the process that has it at present, if any."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.life = 0
        self.receiver: Receiver[None] | None = None
        self.weight = 1.0
        self.begin()

    def begin(self) -> None:
        self.life += 1
        self.receiver = Receiver(self.life, WINDOW, self.store)


class Delivery(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lives = 0
        self.state = State()
        self.batches = 0
        self.workers = {name: Worker() for name in WORKERS}
        self.gone: dict[str, Worker] = {}
        self.routes: dict[str, Route] = {}
        self.to_workers: list[tuple[str, object]] = []
        self.to_sender: list[tuple[str, object]] = []
        self.settling: dict[BatchId, str] = {}
        self.settled: dict[BatchId, str] = {}
        self.first: dict[BatchId, str] = {}

    # -- the sender -----------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.routes = {name: Route(name, "a", w.life) for name, w in self.workers.items()}
        self.start_sender()

    def start_sender(self) -> None:
        self.lives += 1
        # what outlives the process are the records of the ledger, as they are after it was written anew
        bodies = [pack(record, State.kinds) for record in self.state.records()]
        self.state = State()
        for body in bodies:
            self.state.apply(unpack(body, State.kinds))
        self.first = {
            batch_id: worker
            for batch_id, worker in self.first.items()
            if self.state.handed.get(batch_id) == worker
            or batch_id in self.state.revoked.get(worker, ())
        }
        self.sender = Sender("i1", self.lives << 32, RESEND_S, 1 << 30, self.state)
        for number in range(self.batches):
            self.put(number)
        self.sender.route(self.routes.values())

    def put(self, number) -> None:
        message = Points("i1", 1, number, False, {"x": np.zeros((1, 1), np.float32)})
        batch = Batch(message, BATCH_BYTES, Ticket(), durable=True)
        if not self.state.is_settled(batch.batch_id):
            self.sender.put(batch)

    @rule(count=st.integers(1, 4))
    def offer(self, count) -> None:
        for _ in range(count):
            self.put(self.batches)
            self.batches += 1

    @rule(fate=st.sampled_from(FATES))
    def send(self, fate="sent", seconds=0.3) -> None:
        self.now += seconds
        orders = self.sender.send(self.now)
        if fate != "killed before":
            for order in orders:
                if isinstance(order, Write):
                    for record in order.records:
                        self.write(record)
        if fate == "sent":
            posts = [order for order in orders if isinstance(order, Post)]
            for post in posts:
                self.only_one_worker_gets_it_for_the_first_time(post)
            self.to_workers += [(post.worker, post.message) for post in posts]
        else:
            self.start_sender()

    def only_one_worker_gets_it_for_the_first_time(self, post: Post) -> None:
        if isinstance(post.message, Points) and not post.message.again:
            batch_id = BatchId("i1", 1, post.message.sequence)
            assert self.first.setdefault(batch_id, post.worker) == post.worker

    def write(self, record) -> None:
        self.state.apply(record)
        if isinstance(record, Settled):
            batch_id = BatchId(record.source, record.incarnation, record.sequence)
            self.settled[batch_id] = self.settling[batch_id]

    # -- the net --------------------------------------------------------------------------

    @rule(seed=st.integers(0, 1 << 32), steps=st.integers(10, 100))
    def storm(self, seed, steps) -> None:
        """Everything happens, in any order."""
        random = Random(seed)
        loss, doubling = random.choice([0.0, 0.1, 0.3]), random.choice([0.0, 0.1, 0.3])
        self.order = random.choice([0.5, 0.1])
        happenings = {
            lambda: self.offer(random.randint(1, 3)): 2,
            lambda: self.send(random.choice(FATES), random.choice([0.1, 0.4])): 6,
            lambda: self.bring(random, loss, doubling): 20,
            lambda: self.kill(random.choice(WORKERS)): 0.5,
            lambda: self.restart(random.choice(WORKERS)): 0.5,
            lambda: self.notice(random.choice(WORKERS)): 1,
            lambda: self.route(
                random.choice(WORKERS), random.random() < 0.5, random.choice([0.0, 1.0, 2.0])
            ): 0.2,
            lambda: self.trouble_with_disk(
                random.choice(WORKERS), random.random() < 0.2, random.random() < 0.1
            ): 0.4,
        }
        for happening in random.choices(list(happenings), list(happenings.values()), k=steps):
            happening()
            self.what_is_settled_stays_where_it_was_settled()

    def bring(self, random, loss, doubling) -> None:
        """Some messages arrive, or are lost; mostly the oldest."""
        for _ in range(random.randint(1, 6)):
            self.bring_one(random, loss, doubling)

    def bring_one(self, random, loss, doubling) -> None:
        way = random.choice([self.to_workers, self.to_sender])
        if not way:
            return
        place = min(len(way) - 1, int(random.expovariate(self.order)))
        if random.random() < loss:
            del way[place]
        elif way is self.to_workers:
            self.arrive(place, again=random.random() < doubling)
        else:
            self.answer(place, again=random.random() < doubling)

    @rule(turns=st.integers(1, 4), seconds=st.sampled_from([0.3, RESEND_S]))
    def quiet(self, turns, seconds) -> None:
        """For a while the net does what it should."""
        for _ in range(turns):
            self.send(seconds=seconds)
            while self.to_workers:
                self.arrive(0)
            while self.to_sender:
                self.answer(0)

    def arrive(self, place, again=False) -> None:
        name, message = self.to_workers[place]
        if not again:
            del self.to_workers[place]
        worker = self.workers.get(name)
        if worker is None or worker.receiver is None:
            return
        answers = worker.receiver.take([(None, message)], self.now)
        self.to_sender += [(name, answer) for _, answer in answers]

    def answer(self, place, again=False) -> None:
        name, message = self.to_sender[place]
        if not again:
            del self.to_sender[place]
        if not isinstance(message, Ack):
            self.sender.credit(name, message)
            return
        batch = self.sender.acknowledge(name, message, self.now)
        if batch is not None:
            self.settling[batch.batch_id] = name

    # -- the workers ----------------------------------------------------------------------

    @rule(name=st.sampled_from(WORKERS))
    def kill(self, name) -> None:
        if name in self.workers:
            self.workers[name].receiver = None

    @rule(name=st.sampled_from(WORKERS))
    def restart(self, name) -> None:
        if name in self.workers:
            self.workers[name].begin()

    @rule(name=st.sampled_from(WORKERS[1:]), really=st.integers(0, 5))
    def burn(self, name, really) -> None:
        """A worker never returns, nor does its disk."""
        if name in self.workers and really == 0:
            self.gone[name] = self.workers.pop(name)

    @rule(name=st.sampled_from(WORKERS), full=st.booleans(), stuck=st.booleans())
    def trouble_with_disk(self, name, full, stuck) -> None:
        if name in self.workers:
            store = self.workers[name].store
            store.full, store.stuck = full, stuck

    # -- the coordinator ------------------------------------------------------------------

    def notice(self, name) -> None:
        """It notices what has happened to a worker."""
        worker = self.workers.get(name)
        if worker is not None:
            self.route(name, worker.receiver is not None, worker.weight)

    @rule(
        name=st.sampled_from(WORKERS), there=st.booleans(), weight=st.sampled_from([0.0, 1.0, 2.0])
    )
    def route(self, name, there, weight) -> None:
        """It takes a worker for dead or alive, rightly or not."""
        worker = self.workers.get(name)
        if there and worker is not None:
            self.routes[name] = Route(name, "a", worker.life, weight)
        else:
            self.routes.pop(name, None)
        self.sender.route(self.routes.values())

    # -- what is promised -----------------------------------------------------------------

    @invariant()
    def what_is_settled_stays_where_it_was_settled(self) -> None:
        for batch_id, name in self.settled.items():
            worker = self.workers.get(name) or self.gone[name]
            assert batch_id in worker.store.batches, (batch_id, name)

    def teardown(self) -> None:
        """Let everything heal; then every batch must be settled, and be in one place."""
        for worker in self.workers.values():
            worker.store.full = worker.store.stuck = False
            if worker.receiver is None:
                worker.begin()
        self.now += RETRY_S
        self.routes = {name: Route(name, "a", worker.life) for name, worker in self.workers.items()}
        self.sender.route(self.routes.values())
        for _ in range(PATIENCE):
            self.quiet(1, 0.3)
            told = not (self.state.revoked.keys() & self.workers.keys())
            if self.sender.idle and told:
                break
        assert self.sender.idle, "everything is settled in the end"
        assert self.sender.given_up == []
        self.what_is_settled_stays_where_it_was_settled()
        for number in range(self.batches):
            batch_id = BatchId("i1", 1, number)
            copies = [n for n, w in self.workers.items() if batch_id in w.store.batches]
            if self.settled.get(batch_id) in self.gone:
                assert copies == [], "it burnt with the worker that had it"
            else:
                assert len(copies) == 1, (batch_id, copies)
        assert all(s.outstanding_bytes == 0 for s in self.sender.sessions.values())


Delivery.TestCase.settings = settings(max_examples=40, stateful_step_count=12)
TestDelivery = Delivery.TestCase


@settings(max_examples=40)
@given(st.integers(0, 1 << 32))
def test_a_long_storm(seed):
    delivery = Delivery()
    delivery.begin()
    for part in range(10):
        delivery.storm(seed + part, 100)
    delivery.teardown()
