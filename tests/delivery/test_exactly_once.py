"""A sender and its workers over a net that loses, doubles and reorders, while all of them are killed at any time.

The net is worse than any real one: messages reach whichever process has a worker's name by then. Workers return
with their shards, or never; the sender returns with its ledger and has its batches again. At any time a
settled batch is in the shard of the worker that settled it; in the end every batch is in exactly one.
"""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streammac.delivery.courier import Batch, Courier, Post, Ticket, Write
from streammac.delivery.ledger import State, pack, unpack
from streammac.delivery.reception import RETRY_S, Reception
from streammac.store.points import Mark
from streammac.wire.messages import Ack, Points, Route
from tests.delivery.memory_store import MemoryStore

WORKERS = ("w1", "w2", "w3")
RESEND_S = 1.0
BATCH_BYTES = 10
WINDOW = 3 * BATCH_BYTES
PATIENCE = 400
"""Turns without faults in which everything must be settled."""


class Worker:
    """A name, its shard, and the process that has it at present, if any."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.life = 0
        self.reception: Reception[None] | None = None
        self.weight = 1.0
        self.begin()

    def begin(self) -> None:
        self.life += 1
        self.reception = Reception(self.life, WINDOW, self.store)


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
        self.settled: dict[Mark, str] = {}

    # -- the sender -----------------------------------------------------------------------

    @initialize()
    def start_sender(self) -> None:
        self.lives += 1
        # what outlives the process are the bytes of the ledger, as they are after it was written anew
        content = b"".join(map(pack, self.state.records()))
        self.state = State()
        for record, _ in unpack(content):
            self.state.apply(record)
        # a clock that stands still: it learns from the workers which sessions there were
        self.courier = Courier("i1", 1, RESEND_S, 1 << 30, self.state)
        for number in range(self.batches):
            self.put(number)
        self.courier.route(self.routes.values())

    def put(self, number) -> None:
        message = Points("i1", 1, number, False, {"x": np.zeros((1, 1), np.float32)})
        batch = Batch(message, BATCH_BYTES, Ticket(), durable=True)
        if not self.state.is_settled(batch.mark):
            self.courier.put(batch)

    @rule()
    def offer(self) -> None:
        self.put(self.batches)
        self.batches += 1

    @rule(
        fate=st.sampled_from(["sent", "sent", "sent", "killed before", "killed after the ledger"])
    )
    def send(self, fate="sent") -> None:
        self.now += 0.3
        orders = self.courier.send(self.now)
        if fate != "killed before":
            for order in orders:
                if isinstance(order, Write):
                    for record in order.records:
                        self.state.apply(record)
        if fate == "sent":
            posts = [order for order in orders if isinstance(order, Post)]
            self.to_workers += [(post.worker, post.message) for post in posts]
        else:
            self.start_sender()

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds) -> None:
        self.now += seconds

    # -- the net --------------------------------------------------------------------------

    @rule(data=st.data(), again=st.booleans())
    def bring_to_worker(self, data, again) -> None:
        if self.to_workers:
            self.arrive(data.draw(st.integers(0, len(self.to_workers) - 1)), again)

    def arrive(self, place, again=False) -> None:
        name, message = self.to_workers[place]
        if not again:
            del self.to_workers[place]
        worker = self.workers.get(name)
        if worker is None or worker.reception is None:
            return
        answers = worker.reception.take([(None, message)], self.now)
        self.to_sender += [(name, answer) for _, answer in answers]

    @rule(data=st.data(), again=st.booleans())
    def bring_to_sender(self, data, again) -> None:
        if self.to_sender:
            self.answer(data.draw(st.integers(0, len(self.to_sender) - 1)), again)

    def answer(self, place, again=False) -> None:
        name, message = self.to_sender[place]
        if not again:
            del self.to_sender[place]
        if not isinstance(message, Ack):
            self.courier.credit(name, message)
            return
        batch = self.courier.acknowledge(name, message, self.now)
        if batch is not None:
            self.settled[batch.mark] = name

    @rule(data=st.data())
    def lose(self, data) -> None:
        lost = data.draw(st.sampled_from([self.to_workers, self.to_sender]))
        if lost:
            del lost[data.draw(st.integers(0, len(lost) - 1))]

    # -- the workers ----------------------------------------------------------------------

    @rule(name=st.sampled_from(WORKERS))
    def kill(self, name) -> None:
        if name in self.workers:
            self.workers[name].reception = None

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

    @rule(
        name=st.sampled_from(WORKERS), there=st.booleans(), weight=st.sampled_from([0.0, 1.0, 2.0])
    )
    def route(self, name, there, weight) -> None:
        """It notices what has happened to a worker, or takes a healthy one for dead."""
        worker = self.workers.get(name)
        if there and worker is not None:
            self.routes[name] = Route(name, "a", worker.life, weight)
        else:
            self.routes.pop(name, None)
        self.courier.route(self.routes.values())

    # -- what is promised -----------------------------------------------------------------

    @invariant()
    def what_is_settled_stays_where_it_was_settled(self) -> None:
        for mark, name in self.settled.items():
            worker = self.workers.get(name) or self.gone[name]
            assert mark in worker.store.batches, (mark, name)

    def teardown(self) -> None:
        """Let everything heal; then every batch must be settled, and be in one place."""
        for worker in self.workers.values():
            worker.store.full = worker.store.stuck = False
            if worker.reception is None:
                worker.begin()
        self.now += RETRY_S
        self.routes = {name: Route(name, "a", worker.life) for name, worker in self.workers.items()}
        self.courier.route(self.routes.values())
        for _ in range(PATIENCE):
            self.send()
            while self.to_workers:
                self.arrive(0)
            while self.to_sender:
                self.answer(0)
            told = not (self.state.disowned.keys() & self.workers.keys())
            if self.courier.idle and told:
                break
        assert self.courier.idle, "everything is settled in the end"
        assert self.courier.given_up == []
        self.what_is_settled_stays_where_it_was_settled()
        for number in range(self.batches):
            mark = Mark("i1", 1, number)
            copies = [n for n, w in self.workers.items() if mark in w.store.batches]
            if self.settled.get(mark) in self.gone:
                assert copies == [], "it burnt with the worker that had it"
            else:
                assert len(copies) == 1, (mark, copies)
        assert all(lane.outstanding_bytes == 0 for lane in self.courier.lanes.values())


Delivery.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestDelivery = Delivery.TestCase
