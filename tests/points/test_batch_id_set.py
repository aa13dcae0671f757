"""Batch ids of batches: exact, small, and the same after a round trip."""

from __future__ import annotations

import json

from hypothesis import given, settings
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


numbers = st.sets(st.integers(0, 30))


def ranges_of(members) -> Ranges:
    ranges = Ranges()
    for number in sorted(members, key=lambda n: n * 17 % 31):
        ranges.add(number)
    return ranges


def written(members) -> list[list[int]]:
    """Return the fewest ranges that hold a set's members."""
    firsts = sorted(n for n in members if n - 1 not in members)
    lasts = sorted(n for n in members if n + 1 not in members)
    return [list(pair) for pair in zip(firsts, lasts, strict=True)]


@given(numbers, numbers)
def test_what_is_taken_out_is_gone_and_nothing_else(members, out):
    ranges = ranges_of(members)
    for number in out:
        ranges.discard(number)
    assert ranges.to_json() == written(members - out)
    assert len(ranges) == len(written(members - out))


@given(numbers, numbers)
def test_all_numbers_of_another_set_are_added(members, others):
    ranges, other = ranges_of(members), ranges_of(others)
    ranges.update(other)
    assert ranges.to_json() == written(members | others)
    assert other.to_json() == written(others)


def test_a_source_that_sends_everything_here_costs_one_range():
    ranges = Ranges()
    for number in range(10_000):
        ranges.add(number)
    assert ranges.to_json() == [[0, 9_999]]


batch_ids = st.builds(BatchId, st.sampled_from("ab"), st.integers(1, 2), st.integers(0, 20))


def in_order(some) -> list[BatchId]:
    return sorted(set(some), key=lambda b: (b.source, b.incarnation, b.sequence))


@given(st.lists(batch_ids), batch_ids)
def test_batch_ids_survive_a_round_trip(taken, other):
    known = BatchIdSet()
    for batch_id in taken:
        known.add(batch_id)
    assert list(known) == in_order(taken)
    assert bool(known) == bool(taken)
    again = BatchIdSet(json.loads(json.dumps(known.to_json())))
    assert all(batch_id in again for batch_id in taken)
    assert (other in again) == (other in taken)


@settings(max_examples=50)
@given(st.lists(batch_ids, max_size=12), st.lists(batch_ids, max_size=12))
def test_they_are_a_set_of_all_sources(taken, others):
    known, other = BatchIdSet(), BatchIdSet()
    for batch_id in taken:
        known.add(batch_id)
    for batch_id in others:
        other.add(batch_id)
    known.update(other)
    assert list(known) == in_order([*taken, *others])
    for batch_id in others:
        known.discard(batch_id)
    left = set(taken) - set(others)
    assert list(known) == in_order(left)
    assert bool(known) == bool(left), "a source without batch ids is forgotten"
    assert list(other) == in_order(others), "it is left as it was"
