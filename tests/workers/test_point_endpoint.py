"""The worker's intake: nothing is acknowledged before it is safe, nothing is stored twice."""

from __future__ import annotations

import numpy as np
import pytest
import zmq
from msgspec.structs import replace

from streammac.points.batch_id import BatchId
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.wire.codec import decode_all, encode
from streammac.wire.messages import Ack, BatchIdRanges, Credit, OpenSession, Points, StreamSchema
from tests.patience import wait_for
from workers.point_endpoint import MAX_EARLY, PointEndpoint, PointSocket
from workers.shards import WorkerShards

SCHEMA = StreamSchema(4, "float32")


def batch(sequence, count=5, *, held_out=False, dim=4) -> Points:
    x = np.full((count, dim), sequence, np.float32)
    return Points("s", 1, sequence, held_out, {"x": x}, (), "i1", 1)


OPENING = OpenSession("i1", 1, 7)


class Bench:
    """An intake with its socket, and an ingest node's socket connected to it."""

    def __init__(self, path, **store) -> None:
        self.settings = Settings.model_validate({"store": store})
        self.context = zmq.Context()
        self.server = PointSocket(self.context, "127.0.0.1")
        self.client = self.context.socket(zmq.DEALER)
        self.client.connect(self.server.address)
        self.shards = WorkerShards("w1", RunDirectory(path), self.settings, SCHEMA)
        window_bytes = self.settings.ingest.window_bytes
        self.endpoint = PointEndpoint("w1", 7, window_bytes, self.server, self.shards)
        self.held_out: list[np.ndarray] = []

    def exchange(self, *messages, answers: int):
        """Send messages; serve until so many answers have come."""
        for message in messages:
            frames = encode(message) if not isinstance(message, list) else message
            self.client.send_multipart(frames)
        got = []

        def answered() -> bool:
            self.server.socket.poll(10)
            self.held_out += [h.tensors["x"] for h in self.endpoint.serve()]
            while self.client.poll(0):
                got.extend(decode_all(self.client.recv_multipart()))
            return len(got) >= answers

        if answers:
            wait_for(answered)
        assert len(got) == answers
        return got

    def close(self) -> None:
        self.shards.close()
        self.context.destroy(linger=0)

    def open_session(self) -> None:
        self.exchange(OPENING, answers=1)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_an_opening_is_answered_as_soon_as_the_shards_are_open(bench):
    bench.exchange(batch(1), OPENING, answers=0)
    wait_for(lambda: bench.server.keep_openings() or bench.server._early)
    (credit,) = bench.exchange(answers=1)
    assert credit == Credit(1, bench.settings.ingest.window_bytes)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_points_that_the_arithmetic_cannot_carry_are_refused_unless_they_move(bench, value):
    bench.open_session()
    forged = batch(1)
    forged.tensors["x"][2, 1] = value
    (answer,) = bench.exchange(forged, answers=1)
    assert (answer.outcome, bench.shards.train.points) == ("refused", 0)
    assert "beyond the range" in answer.reason
    (answer,) = bench.exchange(replace(forged, moved=True), answers=1)
    assert answer.outcome == "stored"  # of a shard that took them: they have no other place to go


def test_openings_that_wait_are_bounded(bench):
    senders = [f"i{n}" for n in range(MAX_EARLY + 10)]
    bench.exchange(*(OpenSession(sender, 1, 7) for sender in senders), OPENING, answers=0)
    while bench.server.socket.poll(200):
        bench.server.keep_openings()
    assert list(bench.server._early) == senders[:MAX_EARLY]


def test_a_batch_is_stored_once_and_acknowledged_each_time(bench):
    bench.open_session()
    acks = bench.exchange(batch(1), batch(2), batch(1), answers=3)
    assert [(a.sequence, a.outcome) for a in acks] == [
        (1, "stored"), (2, "stored"), (1, "duplicate"),
    ]  # fmt: skip
    counts = bench.endpoint.counts()
    assert (counts.points, counts.appended, counts.duplicates) == (10, 10, 5)
    rows = bench.shards.train.view().x(slice(None))
    np.testing.assert_array_equal(rows[:, 0], [1] * 5 + [2] * 5)


def test_held_out_points_are_stored_apart_and_handed_on(bench):
    bench.open_session()
    bench.exchange(batch(1), batch(2, held_out=True), answers=2)
    assert bench.shards.train.points == bench.shards.held_out.points == 5
    assert [x[0, 0] for x in bench.held_out] == [2.0]
    assert bench.endpoint.counts().held_out == 5
    remembered = bench.endpoint.remembered_held_out(3)
    np.testing.assert_array_equal(remembered.tensors["x"], np.full((3, 4), 2.0))
    assert len(bench.endpoint.remembered_held_out(9).tensors["x"]) == 5


def test_held_out_points_are_remembered_as_far_back_as_the_others_are_stored(bench):
    bench.open_session()
    bench.exchange(*(batch(n, 10, held_out=n % 2 == 1) for n in range(6)), answers=6)
    bench.shards.train.withdraw([BatchId("s", 1, n) for n in (0, 2)], remember=False)
    x = bench.endpoint.remembered_held_out(100).tensors["x"]
    np.testing.assert_array_equal(x, np.full((10, 4), 5.0))


def test_a_batch_that_does_not_fit_is_refused_with_the_reason(bench):
    bench.open_session()
    missing = Points("s", 1, 8, False, {}, (), "i1", 1)
    wrong, empty, good = bench.exchange(batch(7, dim=3), missing, batch(9), answers=3)
    # one that was stored before, but for its points
    number = Points("s", 1, 9, False, {"x": np.ones((), np.float32)}, (), "i1", 1)
    (again,) = bench.exchange(number, answers=1)
    assert again.outcome == "refused"
    assert isinstance(wrong, Ack)
    assert wrong.outcome == "refused"
    assert "expected shape (n, 4)" in wrong.reason
    assert empty.outcome == "refused"
    assert good.outcome == "stored"


def test_garbage_costs_a_counter(bench):
    bench.open_session()
    (ack,) = bench.exchange([b"garbage"], [b""], batch(1), answers=1)
    assert ack.outcome == "stored"
    assert bench.endpoint.malformed == 2


def test_no_acknowledgement_leaves_before_the_commit(tmp_path, monkeypatch):
    bench = Bench(tmp_path, ack="fsync")
    bench.open_session()
    order: list[str] = []
    commit, send = bench.shards.train.commit, PointSocket.send
    bench.shards.train.commit = lambda: (order.append("commit"), commit())[1]
    monkeypatch.setattr(PointSocket, "send", lambda *args: (order.append("ack"), send(*args))[1])
    bench.exchange(batch(1), answers=1)
    assert order == ["commit", "ack"]
    bench.close()


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_refuses_with_a_fact_and_takes_points_again_when_there_is_room(
    bench, monkeypatch
):
    bench.open_session()
    with monkeypatch.context() as disk:
        disk.setattr(bench.shards.train, "_write", full)
        (refused,) = bench.exchange(batch(1), answers=1)
        assert (refused.outcome, refused.window_bytes) == ("refused", 0)
        assert "No space" in refused.reason
        assert bench.endpoint.counts().refusing
        disk.setattr(bench.shards.train, "enforce_retention", full)
        bench.shards.enforce_retention()
    monkeypatch.setattr(bench.endpoint.receiver, "_retry_at", 0.0)  # as if it had passed
    (again,) = bench.exchange(batch(1), answers=1)
    assert again.outcome == "stored"
    assert not bench.endpoint.counts().refusing


def test_a_newer_session_withdraws_what_it_disowns_from_both_shards(bench):
    bench.open_session()
    bench.exchange(batch(1), batch(2, held_out=True), batch(3), answers=3)
    revoked = (BatchIdRanges("s", 1, ((1, 2),)),)
    bench.exchange(OpenSession("i1", 2, 7, revoked), answers=1)
    counts = bench.endpoint.counts()
    assert (counts.points, counts.withdrawn, counts.held_out) == (5, 10, 0)


def test_damaged_segments_are_a_fact(bench):
    bench.open_session()
    (bench.shards.train.path / "quarantine" / "00000001").mkdir(parents=True)
    assert bench.endpoint.counts().quarantined == 1
