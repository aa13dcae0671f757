"""The two shufflings: every row once, another order for every visit, whole runs, recent ones preferred."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.models import shuffling
from streammac.models.shuffling import LEAST_STEPS, RUN, Part, minibatch_rows, ring_order

KEY = (0, 1, 0, "w1")


# few ahead: so that a small shard, too, has more of them than are made at a time, and a last one that is not full
@given(
    points=st.integers(0, 3000), minibatch=st.integers(1, 600), ahead=st.sampled_from([1, 2, 64])
)
def test_a_visit_meets_every_row_once(points, minibatch, ahead):
    with mock.patch.object(shuffling, "AHEAD", ahead):
        batches = list(minibatch_rows(points, minibatch, KEY))
    assert sorted(row for rows in batches for row in rows) == list(range(points))
    assert all((np.diff(rows) > 0).all() for rows in batches)
    assert all(len(rows) <= max(minibatch, RUN) for rows in batches)


def test_large_shards_get_the_asked_minibatch_and_small_ones_enough_steps():
    assert {len(rows) for rows in minibatch_rows(512 * 100, 512, KEY)} == {512}
    for points in (40 * RUN, 100 * RUN, 1000 * RUN):
        assert len(list(minibatch_rows(points, 512, KEY))) >= LEAST_STEPS


@pytest.mark.parametrize("part", range(4))
def test_the_order_depends_on_every_part_of_the_key(part):
    other = list(KEY)
    other[part] = "another" if isinstance(other[part], str) else 7
    first = np.concatenate(list(minibatch_rows(5000, 64, KEY)))
    again = np.concatenate(list(minibatch_rows(5000, 64, KEY)))
    second = np.concatenate(list(minibatch_rows(5000, 64, tuple(other))))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


@given(points=st.integers(RUN, 5000), limit=st.integers(1, 6000))
def test_a_limit_is_kept_in_whole_runs(points, limit):
    rows = np.concatenate(list(minibatch_rows(points, 64, KEY, limit=limit)))
    assert len(rows) == len(set(rows))
    assert len(rows) <= max(limit, RUN)
    if limit < points:
        assert len(rows) > limit - 2 * RUN


@given(points=st.integers(RUN, 5000), newest=st.integers(0, 5000))
def test_new_points_come_by_turns_and_nothing_is_lost(points, newest):
    plain = list(minibatch_rows(points, RUN, KEY))
    turns = list(minibatch_rows(points, RUN, KEY, newest=newest))
    assert sorted(row for rows in turns for row in rows) == list(range(points))
    new = [rows[-1] >= newest for rows in turns]
    pairs = min(sum(new), len(new) - sum(new))
    assert new[: 2 * pairs] == [True, False] * pairs
    of_old = [rows[0] for rows in plain if rows[-1] < newest]
    assert [rows[0] for rows in turns if rows[-1] < newest] == of_old, "in the order that they had"


def test_recency_prefers_new_points_and_leaves_old_ones_a_chance():
    drawn = np.concatenate(
        [
            rows
            for epoch in range(30)
            for rows in minibatch_rows(3200, 64, (0, epoch, 0, "w"), limit=320, recency=3.0)
        ]
    )
    newest, oldest = (drawn >= 2400).mean(), (drawn < 800).mean()
    assert newest > 0.4
    assert 0.01 < oldest < 0.15


def test_where_all_points_are_drawn_recency_changes_nothing():
    drawn = [list(minibatch_rows(320, 64, KEY, limit=320, recency=r)) for r in (0.0, 3.0)]
    for one, other in zip(*drawn, strict=True):
        assert one.tolist() == other.tolist()


def test_a_runs_chance_falls_by_e_over_the_shard_divided_by_recency():
    runs, recency = 32, 4.0
    ages = []
    for epoch in range(1500):
        (rows,) = minibatch_rows(runs * RUN, 64, (0, epoch, 0, "w"), limit=RUN, recency=recency)
        ages.append(runs - 1 - rows[0] // RUN)
    chances = np.exp(-recency * np.arange(runs) / runs)
    expected = (np.arange(runs) * chances).sum() / chances.sum()
    assert np.mean(ages) == pytest.approx(expected, abs=4 * np.std(ages) / np.sqrt(len(ages)))


@pytest.mark.parametrize(("limit", "runs"), [(1, 1), (RUN, 1), (2 * RUN - 1, 1), (2 * RUN, 2)])
@pytest.mark.parametrize("recency", [0.0, 1.0])
def test_a_limit_is_rounded_down_to_runs_but_not_to_nothing(limit, runs, recency):
    rows = np.concatenate(list(minibatch_rows(5 * RUN, 64, KEY, limit=limit, recency=recency)))
    assert len(rows) == runs * RUN


class TestRingOrder:
    def test_is_a_permutation_that_everybody_agrees_on(self):
        names = ["w3", "w1", "w2"]
        assert sorted(ring_order(names, 0, 5)) == sorted(names)
        assert ring_order(names, 0, 5) == ring_order(sorted(names), 0, 5)

    def test_is_new_in_every_epoch_and_for_every_seed(self):
        names = [f"w{i}" for i in range(8)]
        assert len({ring_order(names, 0, epoch) for epoch in range(50)}) > 45
        assert ring_order(names, 0, 1) != ring_order(names, 1, 1)


class TestParts:
    @given(st.integers(0, 5000), st.integers(1, 40), st.integers(0, 3))
    def test_the_slices_of_a_pass_share_out_all_rows(self, points, slices, age):
        part, met = Part(age, 0, slices), []
        for _ in range(slices):
            rows = part.rows(points, 7, "w1")
            met.append(np.arange(points) if rows is None else rows)
            assert part.age == age
            assert (np.diff(met[-1]) > 0).all()
            part = part.following(slices)
        assert (part.age, part.slice) == (age + 1, 0)
        assert sorted(np.concatenate(met).tolist()) == list(range(points))

    def test_slices_are_of_about_as_many_rows_and_others_in_every_pass_and_at_every_member(self):
        sizes = [len(Part(0, i, 7).rows(10_000, 0, "w1")) for i in range(7)]
        assert max(sizes) - min(sizes) <= RUN
        first = Part(0, 0, 7).rows(10_000, 0, "w1").tolist()
        assert first != Part(1, 0, 7).rows(10_000, 0, "w1").tolist()
        assert first != Part(0, 0, 7).rows(10_000, 0, "w2").tolist()
        assert first != Part(0, 0, 7).rows(10_000, 1, "w1").tolist()

    def test_a_slice_stays_what_it_is_while_the_shard_grows(self):
        before = Part(2, 3, 7).rows(7 * RUN * 10, 0, "w1")
        after = Part(2, 3, 7).rows(7 * RUN * 25 + 5, 0, "w1")
        assert before.tolist() == after[: len(before)].tolist()

    def test_progress_is_in_passes(self):
        assert [Part(2, i, 4).progress for i in range(4)] == [2.0, 2.25, 2.5, 2.75]
