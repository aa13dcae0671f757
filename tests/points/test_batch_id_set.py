"""Batch ids of batches: exact, small, and the same after a round trip."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streammac.points.batch_id import BatchId
from streammac.points.batch_id_set import BatchIdSet, Ranges


@given(st.lists(st.integers(0, 60), unique=True))
def test_ranges_are_a_set(numbers):
    ranges = Ranges()
    for number in numbers:
        assert number not in ranges
        ranges.add(number)
    assert {n for n in range(62) if n in ranges} == set(numbers)
    pairs = ranges.to_json()
    assert all(a <= b for a, b in pairs)
    gaps = zip(pairs, pairs[1:], strict=False)
    assert all(first[1] + 1 < second[0] for first, second in gaps), "neighbours are joined"


def test_a_source_that_sends_everything_here_costs_one_range():
    ranges = Ranges()
    for number in range(10_000):
        ranges.add(number)
    assert ranges.to_json() == [[0, 9_999]]


batch_ids = st.builds(BatchId, st.sampled_from("ab"), st.integers(1, 2), st.integers(0, 20))


@given(st.lists(batch_ids), batch_ids)
def test_marks_survive_a_round_trip(taken, other):
    known = BatchIdSet()
    for batch_id in taken:
        known.add(batch_id)
    again = BatchIdSet(json.loads(json.dumps(known.to_json())))
    assert all(batch_id in again for batch_id in taken)
    assert (other in again) == (other in taken)
