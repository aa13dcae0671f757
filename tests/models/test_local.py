"""What a machine does with its shard: every point once, in order, and no longer than it may."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.models.arrays import ArrayShard
from streammac.models.base import Block, Objective
from streammac.models.local import CHUNK, VisitKey, VisitPlan, enter, minibatches, z_pass
from streammac.models.shuffling import RUN, Part, minibatch_rows
from tests.models.recorder import Recorder

COUNT = 2 * CHUNK + 500


def shard(count=COUNT) -> ArrayShard:
    """Return points that are their own numbers."""
    return ArrayShard(np.arange(count, dtype=np.float32)[:, None], ((1,), np.dtype(np.int64)))


def labelled(count=COUNT) -> ArrayShard:
    """Return points that are their own numbers, with the negative ones for targets."""
    x = np.arange(count, dtype=np.float32)[:, None]
    return ArrayShard(x, ((1,), np.dtype(np.int64)), -x)


def after(polls):
    """Return a clock that runs out when it is looked at for so many times."""
    left = iter([False] * (polls - 1) + [True])
    return lambda: next(left)


class TestVisit:
    BLOCK = Block("b", 3, sample=640)

    def batches(self, data, plan, block=BLOCK, **options):
        key = VisitKey(5, 2, "w1")
        found = minibatches(data, plan, key, sample=block.sample, **options)
        return [(one.x.copy(), one.z, one.y) for one in found]

    @pytest.mark.parametrize(
        ("sample", "budget", "limit"),
        [(None, None, None), (640, None, 640), (None, 320, 320), (640, 320, 320), (320, 640, 320)],
    )
    def test_meets_the_rows_that_its_key_says(self, sample, budget, limit):
        plan = VisitPlan(7, 64, budget, recency=2.0)
        key = (7, 5, 0, "w1")  # the same in every lap
        rows = list(minibatch_rows(COUNT, 64, key, limit=limit, recency=2.0))
        got = self.batches(shard(), plan, Block("b", 3, sample))
        assert [x[:, 0].tolist() for x, _, _ in got] == [r.tolist() for r in rows]

    def test_all_visits_of_an_epoch_meet_the_same_also_after_one_that_ended_early(self):
        data, plan, memo = shard(), VisitPlan(7, 64), {}
        early = self.batches(data, plan, memo=memo, expired=after(3))
        alone, first, again = (self.batches(data, plan, memo=m) for m in ({}, memo, memo))
        assert len(early) == 3
        for (x, _, _), *others in zip(alone, first, again, strict=True):
            assert all((x == other).all() for other, _, _ in others)

    def test_brings_the_coordinates_of_its_points_and_none_of_a_fresh_model(self):
        data = shard()
        data.set_z(slice(None), -np.arange(COUNT)[:, None])
        for x, z, y in self.batches(data, VisitPlan(0, 64)):
            assert z.ravel().tolist() == (-x[:, 0]).tolist()
            assert y is None
        assert {z is None for _, z, _ in self.batches(data, VisitPlan(0, 64), fresh=True)} == {True}

    def test_brings_the_targets_of_its_points(self):
        data = labelled(100)
        for x, _, y in self.batches(data, VisitPlan(0, 64), Block("b", 3)):
            assert y.tolist() == (-x).tolist()

    def test_meets_the_rows_of_its_slice_and_no_others(self):
        part = Part(2, 1, 3)
        got = self.batches(shard(), VisitPlan(7, 64, part=part), Block("b", 3))
        met = sorted(n for x, _, _ in got for n in x[:, 0])
        assert met == part.rows(COUNT, 7, "w1").tolist()

    def test_ends_when_its_time_is_over(self):
        whole = self.batches(shard(), VisitPlan(0, 64))
        short = self.batches(shard(), VisitPlan(0, 64), expired=after(3))
        assert [x.tolist() for x, _, _ in short] == [x.tolist() for x, _, _ in whole[:3]]

    @pytest.mark.parametrize("minibatch", [1, RUN, 512])
    def test_has_memory_for_every_minibatch(self, minibatch):
        met = [n for x, _, _ in self.batches(shard(100), VisitPlan(0, minibatch)) for n in x[:, 0]]
        assert sorted(met) == list(range(100))


class TestEntry:
    @pytest.mark.parametrize("first", [0, 10, CHUNK, COUNT])
    def test_gives_new_points_their_coordinates_and_leaves_the_others(self, first):
        data = shard()
        enter(Recorder(), {}, data, first)
        assert not data.z(slice(0, first)).any()
        assert data.z(slice(first, None)).ravel().tolist() == list(range(first + 1, COUNT + 1))

    def test_tells_the_errors_in_order_of_arrival(self):
        data, told = shard(), []
        enter(Recorder(), {}, data, 10, lambda _, of: told.extend(of["error"].tolist()))
        assert told == [2.0 * n for n in range(10, COUNT)]
        assert data.z(slice(10, None)).ravel().tolist() == list(range(11, COUNT + 1))

    def test_the_errors_are_of_points_with_their_targets(self):
        told = []
        enter(Recorder(), {}, labelled(), 10, lambda _, of: told.extend(of["error"].tolist()))
        assert told == [-n for n in range(10, COUNT)]


class TestZPass:
    @pytest.mark.parametrize("first", [0, 1, CHUNK, CHUNK + 300, COUNT - 1, COUNT])
    def test_goes_round_once_from_where_it_begins(self, first):
        model, data = Recorder(), shard()
        total = z_pass(model, {}, data, 0.5, first=first)
        met = [n for _, numbers, _ in model.calls for n in numbers]
        assert met == [*range(first, COUNT), *range(first)]
        assert (data.z(slice(None)) == 1).all()
        assert all(len(numbers) <= CHUNK and mu == 0.5 for _, numbers, mu in model.calls)
        calls = len(model.calls)
        assert total == Objective(COUNT, calls, 2.0 * calls, 3.0 * calls, 4.0 * calls)

    def test_goes_through_the_rows_that_it_is_given(self):
        model, data, rows = Recorder(), shard(), np.arange(0, COUNT, 2)
        assert z_pass(model, {}, data, 0.5, rows=rows).points == len(rows)
        assert [n for _, numbers, _ in model.calls for n in numbers] == rows.tolist()
        assert data.z(slice(None)).ravel().tolist() == [i % 2 == 0 for i in range(COUNT)]

    def test_brings_the_targets_of_its_points(self):
        class Targets(Recorder):
            def z_step(self, params, points, z, mu):
                assert (points.y == -points.x).all()
                return super().z_step(params, points, z, mu)

        assert z_pass(Targets(), {}, labelled(), 0.5, first=CHUNK).points == COUNT

    def test_ends_when_its_time_is_over(self):
        data = shard()
        total = z_pass(Recorder(), {}, data, 0.5, first=CHUNK, expired=after(2))
        changed = data.z(slice(None)).ravel()
        assert not changed[:CHUNK].any()
        assert changed[CHUNK:].all()
        assert total.points == COUNT - CHUNK
