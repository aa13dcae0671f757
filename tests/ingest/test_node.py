"""The node itself, over real sockets, between a coordinator and a worker that the test plays."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import zmq

from ingest.dead_letters import read
from ingest.listeners import Listeners
from ingest.node import IngestNode
from ingest.progress import IngestState
from ingest.pushes import MAX_EARLY
from ingest.records import MAX_KEY_BYTES
from ingest.sources.river_stream import RiverSource
from streammac.delivery.batch import BATCH_OVERHEAD_BYTES
from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import Receiver
from streammac.errors import ExitCode
from streammac.link.claim import Claim
from streammac.link.coordinator import CoordinatorLink
from streammac.link.interrupt import Interrupt
from streammac.link.registration import register
from streammac.link.whereabouts import Whereabouts
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.run_directory import RunDirectory
from streammac.security import open_context
from streammac.settings.schema import Network, Settings
from streammac.wire.codec import decode, decode_all, encode
from streammac.wire.messages import (
    Goodbye,
    Heartbeat,
    Points,
    Push,
    Pushed,
    Register,
    Registered,
    Route,
    Routes,
    Stop,
    StreamSchema,
)
from streammac.wire.reports import IngestReport
from tests.delivery.memory_store import batch_id_of
from tests.patience import PATIENCE_S, wait_for

POINTS = 500
LIFE = 7
X = np.random.default_rng(0).random((POINTS, 4), np.float32)


class Stage:
    """Coordinator and worker, played by a thread."""

    def __init__(self, settings: Settings, stored=None, lose_acks=0) -> None:
        self.settings = settings
        self.context = zmq.Context()
        self.control = self.context.socket(zmq.ROUTER)
        self.control_address = self.bind(self.control)
        self.data = self.context.socket(zmq.ROUTER)
        self.data_address = self.bind(self.data)
        self.stored: dict[BatchId, Points] = {} if stored is None else stored
        self.receiver: Receiver[bytes] = Receiver(LIFE, settings.ingest.window_bytes, self)
        self.received = 0
        self.seen: set[BatchId] = set()
        self.report = IngestReport()
        self.beats = 0
        self.goodbye: Goodbye | None = None
        self.client_address = ""
        self.schema: StreamSchema | None = None
        self.acking = True
        self.lose_acks = lose_acks
        self.lose_proposals = 0
        self.node_identity = b""
        self._stop_node = threading.Event()
        self._ending = threading.Event()
        self.thread = threading.Thread(target=self.play, daemon=True)
        self.thread.start()

    @staticmethod
    def bind(socket) -> str:
        return f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"

    def play(self) -> None:
        poller = zmq.Poller()
        poller.register(self.control, zmq.POLLIN)
        poller.register(self.data, zmq.POLLIN)
        while not self._ending.is_set():
            ready = dict(poller.poll(10))
            if self.control in ready:
                identity, *frames = self.control.recv_multipart()
                self.coordinate(identity, decode(frames))
            if self.data in ready:
                identity, *frames = self.data.recv_multipart()
                for message in decode_all(frames):
                    self.work(identity, message)
            if self._stop_node.is_set():
                self._stop_node.clear()
                self.control.send_multipart([self.node_identity, *encode(Stop("test"))])

    def coordinate(self, identity, message) -> None:
        def tell(answer):
            self.control.send_multipart([identity, *encode(answer)])

        match message:
            case Register():
                self.node_identity = identity
                self.client_address = message.addresses["client"]
                tell(Registered("c", self.settings.model_dump_json()))
                tell(Routes((Route("w1", self.data_address, LIFE),)))
            case StreamSchema() if self.lose_proposals:
                self.lose_proposals -= 1
            case StreamSchema():
                self.schema = self.schema or message
                tell(self.schema)
            case Heartbeat():
                self.report = message.ingest
                self.beats += 1
            case Goodbye():
                self.goodbye = message

    def work(self, identity, message) -> None:
        points = isinstance(message, Points)
        self.received += points
        if points:
            self.seen.add(batch_id_of(message))
        if points and not self.acking:
            return
        for to, answer in self.receiver.take([(identity, message)], time.monotonic()):
            if points and self.lose_acks:
                self.lose_acks -= 1
                continue
            self.data.send_multipart([to, *encode(answer)])

    # -- the worker's store ---------------------------------------------------------------

    def append(self, batches) -> list[str]:
        return [self._append(batch) for batch in batches]

    def _append(self, batch) -> str:
        batch_id = batch_id_of(batch)
        if batch_id in self.stored:
            return "duplicate"
        self.stored[batch_id] = batch
        return "stored"

    def withdraw(self, batch_ids, sender) -> int:
        return sum(self.stored.pop(batch_id, None) is not None for batch_id in batch_ids)

    def commit(self) -> None:
        pass

    def close(self) -> None:
        self._ending.set()
        self.thread.join()
        self.context.destroy(linger=0)


@contextmanager
def running(tmp_path, sources=(), workers=1, stored=None, lose_acks=0, code=ExitCode.OK, **ingest):
    settings = Settings.model_validate(
        {
            "cluster": {"heartbeat_s": 0.05, "workers": workers},
            "ingest": {"batch_points": 50, "resend_s": 0.3} | ingest,
            "held_out": {"share": 0.04},
        }
    )
    stage = Stage(settings, stored, lose_acks)
    directory = RunDirectory(tmp_path)
    context = open_context(None)
    claim = Claim("i1", 1, "home", io.BytesIO())
    link = CoordinatorLink(context, "ingest", claim, Whereabouts(stage.control_address))
    listeners = Listeners(context, "i1", Network(), link.pulse)
    link.addresses |= listeners.addresses
    registration = register(link, Interrupt())
    ledger = Ledger(directory.ledger("i1"), IngestState())
    node = IngestNode(link, listeners, directory, registration, ledger, Interrupt())
    codes: list[ExitCode] = []

    def run() -> None:
        codes.append(node.run(list(map(str, sources))))
        listeners.close()
        context.destroy(linger=1000)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield stage, node
    finally:
        stage.acking = True
        stage._stop_node.set()
        thread.join(PATIENCE_S)
        wait_for(lambda: stage.goodbye is not None)
        stage.close()
    assert codes == [code]


def turns(stage, count=5) -> bool:
    """Wait until the node has been round its loop again: its heartbeats tell."""
    until = stage.beats + count
    return wait_for(lambda: stage.beats >= until)


def stored_rows(stage) -> np.ndarray:
    rows = np.concatenate([m.tensors["x"] for m in stage.stored.values()])
    return rows[np.lexsort(rows.T)]


def ordered(x) -> np.ndarray:
    return x[np.lexsort(x.T)]


@pytest.fixture
def feed(tmp_path):
    path = tmp_path / "feed.npy"
    np.save(path, X)
    return path


def test_a_file_is_delivered_whole_and_the_node_says_that_it_is_done(tmp_path, feed):
    with running(tmp_path, [feed]) as (stage, _):
        wait_for(lambda: stage.report.finished)
    np.testing.assert_array_equal(stored_rows(stage), ordered(X))
    assert stage.schema == StreamSchema(4, "float32")
    held_out = sum(len(m.tensors["x"]) for m in stage.stored.values() if m.held_out)
    assert 20 < held_out < 100
    report = stage.goodbye.ingest
    assert (report.sent, report.acknowledged, report.dead_lettered) == (POINTS, POINTS, 0)
    assert report.unacknowledged == 0
    assert report.first_ack_s > 0


def test_batches_whose_answers_are_lost_are_sent_again_and_counted_once(tmp_path, feed):
    with running(tmp_path, [feed], lose_acks=5) as (stage, _):
        wait_for(lambda: stage.report.finished)
    np.testing.assert_array_equal(stored_rows(stage), ordered(X))
    report = stage.goodbye.ingest
    assert (report.acknowledged, report.sent) == (POINTS, POINTS)
    assert report.resent >= 5


def test_bad_lines_become_dead_letters_and_the_rest_goes_through(tmp_path):
    path = tmp_path / "feed.ndjson"
    path.write_text('[1, 2]\nbroken\n{"x": [3]}\n{"x": [5, 6]}\n')
    with running(tmp_path, [path]) as (stage, _):
        wait_for(lambda: stage.report.finished)
    np.testing.assert_array_equal(stored_rows(stage), ordered(np.array([[1, 2], [5, 6]], "<f4")))
    report = stage.goodbye.ingest
    assert (report.sent, report.dead_lettered) == (4, 2)
    assert [letter.raw for letter in read(tmp_path / "dead-letters")] == [b"broken", b'{"x": [3]}']


def test_a_node_is_ready_while_a_worker_takes_points(tmp_path, feed):
    with running(tmp_path, [feed]) as (stage, node):
        pulse = node.link.pulse
        wait_for(lambda: stage.stored)
        wait_for(lambda: not pulse.unready)
        stage.control.send_multipart([stage.node_identity, *encode(Routes(()))])
        wait_for(lambda: pulse.unready == "no worker takes points")
        node.stop()
        assert node._unready == "it ends"


def test_a_worker_that_stalls_holds_the_feed_up_and_memory_stays_bounded(tmp_path):
    with running(tmp_path, ["digits:"], window_bytes=40_000) as (stage, node):
        stage.acking = False
        wait_for(lambda: stage.received)

        def held_up():
            before = node.outbox.sent, len(stage.seen)
            turns(stage)
            after = node.outbox.sent, len(stage.seen)
            return before == after and not node.outbox.sender.has_room

        wait_for(held_up)
        session = node.outbox.sender.sessions["w1"]
        assert session.outstanding_bytes <= 40_000
        batch = 50 * 128
        assert node.outbox.sender.waiting.bytes <= node.outbox.sender.waiting.room_bytes + batch
        assert node.ingest_queue.feeds.qsize() <= node.ingest_queue.feeds.maxsize
        wait_for(lambda: stage.report.blocked_s > 0)


@contextmanager
def connected(stage):
    with zmq.Context.instance().socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(stage.client_address)
        yield client


def answer(client):
    assert client.poll(int(PATIENCE_S * 1000))
    pushed = decode(client.recv_multipart())
    assert isinstance(pushed, Pushed)
    return pushed


def push(stage, x, sequence):
    with connected(stage) as client:
        client.send_multipart(encode(Push("c", 1, sequence, {"x": x})))
        return answer(client)


def test_a_push_is_answered_when_it_is_stored_and_the_same_again_when_it_comes_again(tmp_path):
    with running(tmp_path, resend_s=PATIENCE_S) as (stage, _):
        first = push(stage, X, 1)
        assert (first.accepted, first.dead_lettered, first.busy) == (POINTS, 0, False)
        received = stage.received
        assert push(stage, X, 1) == first
        assert stage.received == received
    np.testing.assert_array_equal(stored_rows(stage), ordered(X))


def test_a_push_that_is_sent_again_while_it_is_under_way_is_stored_once(tmp_path):
    with running(tmp_path, lose_acks=3) as (stage, _):
        with connected(stage) as client:
            for _ in range(3):
                client.send_multipart(encode(Push("c", 1, 1, {"x": X})))
            assert answer(client).accepted == POINTS
    assert stage.goodbye.ingest.sent == POINTS
    np.testing.assert_array_equal(stored_rows(stage), ordered(X))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({}, "x: missing"),
        ({"x": np.array(3, np.float32)}, "x: missing"),
        ({"x": np.empty((2_000_000, 0), np.float32)}, "with D from 1"),
        ({"x": X, "y": X[:3]}, "one for each x"),
        ({"x": X, "time": X.astype("<f8")}, "one for each x"),
    ],
)
def test_a_push_that_makes_no_sense_is_refused_with_the_reason(tmp_path, tensors, said):
    with running(tmp_path) as (stage, _):
        with connected(stage) as client:
            client.send_multipart([b"garbage"])
            client.send_multipart(encode(Push("c", 1, 1, tensors)))
            pushed = answer(client)
        assert said in pushed.reason
        assert (pushed.accepted, pushed.dead_lettered) == (0, 0)
        wait_for(lambda: stage.report.malformed == 1)


def test_a_push_with_bad_points_settles_the_good_ones(tmp_path):
    x = X[:10].copy()
    x[3, 1] = np.nan
    with running(tmp_path) as (stage, _):
        pushed = push(stage, x, 1)
    assert (pushed.accepted, pushed.dead_lettered) == (9, 1)
    assert "NaN" in pushed.reason


def test_a_proposal_that_is_lost_is_made_again(tmp_path, feed):
    with running(tmp_path) as (stage, _):
        stage.lose_proposals = 1
        assert push(stage, X, 1).accepted == POINTS
        assert stage.lose_proposals == 0


def test_pushes_that_come_together_cannot_outrun_the_room(tmp_path):
    with running(tmp_path, window_bytes=40_000) as (stage, node):
        push(stage, X, 1)
        stage.acking = False
        pushes = 200
        with connected(stage) as client:
            for sequence in range(2, 2 + pushes):
                client.send_multipart(encode(Push("c", 1, sequence, {"x": X})))
            busy = 0

            def all_are_taken_or_refused():
                nonlocal busy
                while client.poll(0):
                    busy += answer(client).busy
                return busy + len(node.pushes._under_way) == pushes

            wait_for(all_are_taken_or_refused)
        assert 0 < pushes - busy < 20
        one = X.nbytes + 20 * BATCH_OVERHEAD_BYTES
        assert node.outbox.sender.waiting.bytes <= node.outbox.sender.waiting.room_bytes + one


def test_pushes_before_the_schema_is_agreed_are_bounded_and_kept_once(tmp_path):
    with running(tmp_path) as (stage, node):
        stage.lose_proposals = 1_000_000
        with connected(stage) as client:
            for sequence in [1, 1, 1, *range(2, 40)]:
                client.send_multipart(encode(Push("c", 1, sequence, {"x": X[:5]})))
            for _ in range(39 - MAX_EARLY):
                assert answer(client).busy
            assert len(node.pushes._early) == MAX_EARLY
            stage.lose_proposals = 0
            for _ in range(MAX_EARLY):
                assert answer(client).accepted == 5
    assert stage.goodbye.ingest.sent == 5 * MAX_EARLY


def test_keys_of_any_number_and_allowed_length_reach_the_worker(tmp_path):
    path = tmp_path / "feed.ndjson"
    keys = [f"{n:04}" + "k" * (MAX_KEY_BYTES - 4) for n in range(4000)]
    path.write_text("\n".join(json.dumps({"x": [1], "key": key}) for key in keys))
    with running(tmp_path, [path], batch_points=4000) as (stage, _):
        wait_for(lambda: stage.report.finished)
    stored = [key.decode() for m in stage.stored.values() for key in m.keys]
    assert sorted(stored) == keys


def test_a_wrong_source_ends_the_node_with_the_code_for_bad_input(tmp_path, caplog):
    with running(tmp_path, [tmp_path / "missing.npy"], code=ExitCode.BAD_INPUT) as (stage, _):
        wait_for(lambda: stage.goodbye is not None)
    assert "no file" in caplog.text


def test_a_feed_that_fails_ends_alone_and_the_node_says_so_at_its_end(tmp_path, feed, caplog):
    rows = "\n".join(",".join(map(str, row)) for row in X).encode()
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(rows)[:-2000])
    code = ExitCode.BAD_INPUT
    with running(tmp_path, [cut, feed], code=code) as (stage, node):
        wait_for(lambda: stage.report.finished)
        assert stage.report.sent > POINTS, "the good records of the one, and all of the other"
        assert stage.report.acknowledged == stage.report.sent
        assert node.feeds.ended
    (text,) = stage.goodbye.ingest.failed
    assert "cut.csv.gz: damaged" in text
    assert "Traceback" not in caplog.text


def test_whatever_a_source_raises_is_its_own_fault(tmp_path, feed, monkeypatch):
    def chunks(self, points):
        yield PointBlock(X[:10])
        raise ZeroDivisionError("its library")

    monkeypatch.setattr(RiverSource, "chunks", chunks)
    sources = ["river:ImageSegments", feed]
    with running(tmp_path, sources, code=ExitCode.BAD_INPUT) as (stage, _):
        wait_for(lambda: stage.report.finished)
    assert stage.report.sent == POINTS + 10
    assert stage.report.failed == ("river:ImageSegments: ZeroDivisionError: its library",)


def test_a_feed_of_which_most_is_refused_says_why(tmp_path, caplog):
    path = tmp_path / "words.csv"
    path.write_text("1,2\n" + "3,n/a\n" * 2)
    with running(tmp_path, [path]) as (stage, _):
        wait_for(lambda: stage.report.finished)
    (one,) = stage.goodbye.ingest.troubles
    assert one.kind == "feed_refused"
    assert "above all: column 2: expected a number, got 'n/a'" in one.text
    assert one.text in caplog.text, "a warning of the node"


def test_points_wait_for_the_workers_that_are_to_come_but_not_for_ever(tmp_path, feed, monkeypatch):
    monkeypatch.setattr("ingest.node.START_PATIENCE_S", float("inf"))
    with running(tmp_path, [feed], workers=2) as (stage, node):

        def granted():
            session = node.outbox.sender.sessions.get("w1")
            return session is not None and session.window_bytes

        wait_for(granted)
        turns(stage)
        assert stage.received == 0
        began = node._began
        patience_s = time.monotonic() - began + 0.2
        monkeypatch.setattr("ingest.node.START_PATIENCE_S", patience_s)
        wait_for(lambda: stage.received)
        assert time.monotonic() - began > patience_s
        wait_for(lambda: stage.report.finished)
    np.testing.assert_array_equal(stored_rows(stage), ordered(X))
