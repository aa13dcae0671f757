"""Batches of records: of the asked size, within the wire's limits, the same again when they are cut again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ingest.cutting import FEW, Origin, cut
from ingest.records import MAX_KEY_BYTES
from streammac.delivery.batch import Ticket
from streammac.points.batch_id import MAX_PUSH, PUSH_POINTS, BatchId
from streammac.points.block import PointBlock
from streammac.wire.codec import decode, encode


def points(count: int) -> PointBlock:
    return PointBlock(np.arange(count, dtype=np.float32).repeat(2).reshape(-1, 2))


def messages(arrays, origin):
    return [batch.message for batch in cut(arrays, origin, Ticket())]


def origin(first=0, batch_points=4, share=0.3, source="i1", incarnation=5, before=0) -> Origin:
    batch_id = BatchId.of_stream(source, incarnation, first)
    return Origin(batch_id, batch_points, share, before, durable=True)


@given(st.integers(0, 60), st.integers(1, 20), st.floats(0, 1), st.integers(0, 1 << 40))
def test_every_point_is_in_one_batch_and_sequences_are_of_the_records(count, most, share, first):
    sent = messages(points(count), origin(first, most, share))
    rows = [int(v) for m in sent for v in m.tensors["x"][:, 0]]
    assert sorted(rows) == list(range(count))
    assert len({m.sequence for m in sent}) == len(sent)
    for m in sent:
        begin = m.sequence // 2 - first
        assert m.held_out == m.sequence % 2
        assert begin % most == 0
        assert all(begin <= v < begin + most for v in m.tensors["x"][:, 0])


def test_what_is_cut_again_is_the_same():
    first, again = (messages(points(40), origin(80)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert (a.source, a.incarnation, a.sequence, a.held_out) == (
            b.source, b.incarnation, b.sequence, b.held_out,
        )  # fmt: skip
        np.testing.assert_array_equal(a.tensors["x"], b.tensors["x"])
    assert 0 < sum(m.held_out for m in first) < len(first)


def test_while_points_are_few_more_of_them_are_held_out():
    def held_out(count, before, share=0.04):
        sent = messages(points(count), origin(before, 1000, share, before=before))
        return sum(len(m.tensors["x"]) for m in sent if m.held_out)

    assert held_out(10_000, before=0) == pytest.approx(1000, abs=100)
    assert held_out(30_000, before=FEW - 10_000) == pytest.approx(1000 + 800, abs=130)
    assert held_out(10_000, before=FEW) == pytest.approx(400, abs=70)
    assert held_out(10_000, before=0, share=0.4) == pytest.approx(5000, abs=200)
    assert held_out(10_000, before=0, share=0.0) == 0


def test_what_is_held_out_differs_from_chunk_to_chunk_and_from_feed_to_feed():
    def held_out(*args):
        return {int(v) for m in messages(*args) if m.held_out for v in m.tensors["x"][:, 0]}

    base = held_out(points(100), origin(0))
    assert base != held_out(points(100), origin(100))
    assert base != held_out(points(100), origin(0, incarnation=6))


def test_pushes_of_a_client_never_share_a_sequence():
    former, following = (BatchId.of_push("c", 1, number) for number in (3, 4))
    last = former.later(PUSH_POINTS - 1, held_out=True)
    assert last.sequence + 1 == following.sequence
    assert BatchId.of_push("c", 1, MAX_PUSH).sequence == 1 << 63


def test_batches_fit_into_frames_and_headers_however_wide_their_points_and_keys_are():
    count = 3000
    keys = tuple(bytes([n % 251]) * MAX_KEY_BYTES for n in range(count))
    keyed = messages(PointBlock(np.ones((count, 2), "<f4"), keys=keys), origin(0, 10_000, 0.0))
    wide = messages(PointBlock(np.ones((20, 1 << 20), "<f4")), origin(0, 10_000, 0.0))
    decoded = [
        decode([bytes(frame) for frame in encode(replace(m, sender="i1"))]) for m in (*keyed, *wide)
    ]
    assert sum((m.keys for m in decoded), ()) == keys
    assert max(m.tensors["x"].nbytes for m in decoded) <= 8 << 20
    assert sum(len(m.tensors["x"]) for m in decoded) == count + 20


def test_what_is_held_out_of_a_feed_does_not_change_with_the_release():
    cut_now = messages(points(64), origin(batch_points=64, before=1 << 30))
    held_out = [m.tensors["x"][:, 0].astype(int).tolist() for m in cut_now if m.held_out]
    assert held_out[0][:12] == [1, 4, 8, 9, 13, 15, 18, 22, 23, 28, 32, 33]
