"""The first model: statistics that add up over shards, the contest of rotations, the scaling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from streammac.models.initialisation import (
    JURY_LEAST,
    JURY_NEIGHBOURS,
    JURY_POINTS,
    JURY_QUERIES,
    JURY_QUERIES_IN_ALL,
    ROTATION_POINTS,
    ROTATION_POINTS_IN_ALL,
    STEPS,
    Initialisation,
)
from streammac.models.rotations import nearest_rotation, procrustes
from tests.models.batches import batches_of

RNG = np.random.default_rng(0)
WIDTHS = np.array([5.0, 1.0, 3.0, 0.5])
"""Deviations of independent inputs: the principal components are about the inputs 0, 2, 1, 3."""
X = (RNG.standard_normal((2000, 4)) * WIDTHS + [100.0, 0.0, -50.0, 7.0]).astype(np.float32)
MAKING = Initialisation(bits=2, rotations=3, starts=4, refined=2, seed=0)


def batches(x, size=500):
    return batches_of(x, size=size)


def lap(state, number, *shards, making=MAKING):
    for x in shards:
        state = making.visit(state, number, batches(x))
    return making.end_lap(state, number)


def measured(*shards, making=MAKING):
    """The state after the laps that tell what is far."""
    return lap(lap(making.start(4), 0, *shards, making=making), 1, *shards, making=making)


def moments(*shards, making=MAKING):
    return lap(measured(*shards, making=making), 2, *shards, making=making)


def projected(state, x=X):
    return (x - state["input/mean"]) / state["input/scale"] @ state["init/basis"]


class TestMoments:
    STATE = moments(X[:700], X[700:])

    def test_are_those_of_all_points(self):
        np.testing.assert_allclose(self.STATE["input/mean"], X.mean(0), rtol=1e-4)
        deviation = np.sqrt(X.var(axis=0).mean())
        assert self.STATE["input/scale"].tolist() == pytest.approx([deviation], rel=1e-4)
        for name in ("input/mean", "input/scale"):
            assert self.STATE[name].dtype == np.float32

    def test_give_the_principal_components(self):
        components = np.linalg.svd(X - X.mean(0), full_matrices=False)[2][:2].T
        ours = np.abs(self.STATE["init/basis"])
        np.testing.assert_allclose(ours, np.abs(components), atol=1e-3)

    def test_begin_the_contest_with_rotations(self):
        rotations = MAKING._random(4)
        assert rotations.shape == (4, 2, 2)
        for rotation in rotations:
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(2), atol=1e-12)
        assert len({rotation.tobytes() for rotation in rotations}) == 4
        np.testing.assert_array_equal(self.STATE["init/rotations"], rotations[:2])
        assert self.STATE["init/procrustes"].shape == (2, 2, 2)
        assert not self.STATE["init/procrustes"].any()
        assert self.STATE["init/shards"].tolist() == [2]

    def test_of_fewer_inputs_than_bits_leave_directions_empty(self):
        state = moments(X, making=Initialisation(6, 3, 4, 2, 0))
        assert state["init/basis"].shape == (4, 6)
        assert not state["init/basis"][:, 4:].any()
        np.testing.assert_allclose(np.abs(state["init/basis"][:, :4]).max(axis=1), 1.0, atol=0.01)

    def test_of_equal_points_keep_a_scale_of_one(self):
        state = moments(np.full((10, 4), 3.0, np.float32))
        assert state["input/scale"].tolist() == [1.0]
        np.testing.assert_array_equal(state["input/mean"], [3.0] * 4)

    def test_of_nothing_are_zeros(self):
        state = moments(X[:0])
        assert state["input/mean"].tolist() == [0.0] * 4
        assert state["input/scale"].tolist() == [1.0]


class TestRotations:
    def test_take_the_procrustes_solution_of_all_shards(self):
        """The rotation that brings the points closest to their signs (ITQ, equation 3)."""
        making = replace(MAKING, rotations=1)
        state = moments(X)
        V = projected(state)
        rotated = lap(state, 3, X[:300], X[300:], making=making)
        for old, new in zip(state["init/rotations"], rotated["init/rotations"], strict=True):
            signs = np.where(V @ old > 0, 1.0, -1.0)
            left, _, right = np.linalg.svd(V.T @ signs)
            np.testing.assert_allclose(new, left @ right, atol=1e-3)

    def test_of_one_shard_are_those_of_as_many_iterations_one_by_one(self):
        many = replace(MAKING, rotations=STEPS + 3)
        assert many.laps == 2 + MAKING.laps - 1
        begin = state = moments(X, making=many)
        for number in (3, 4):
            state = lap(state, number, X, making=many)
        rotations = begin["init/rotations"]
        for _ in range(STEPS + 3):
            one = lap(
                begin | {"init/rotations": rotations}, 3, X, making=replace(MAKING, rotations=1)
            )
            rotations = one["init/rotations"]
        np.testing.assert_allclose(state["init/rotations"], rotations, atol=1e-2)

    @pytest.mark.parametrize(("by_kind", "lost"), [(False, 0.05), (True, 0.15)])
    def test_of_several_shards_are_about_those_of_itq_on_all_points(self, by_kind, lost):
        """They reach its quantisation error, and not much less where each shard has points of its own kinds."""
        digits = load_digits()
        x = digits.data.astype(np.float32)
        order = np.argsort(digits.target, kind="stable") if by_kind else np.arange(len(x))
        shards = [
            x[part]
            for part in (np.array_split(order, 3) if by_kind else [order[i::3] for i in range(3)])
        ]
        making = Initialisation(bits=8, rotations=40, starts=6, refined=6, seed=1)
        state = making.start(64)
        for number in range(making.laps - 2):
            state = lap(state, number, *shards, making=making)
        V = projected(state, x)

        def error(rotation):
            rotated = V @ rotation
            return ((np.where(rotated > 0, 1, -1) - rotated) ** 2).mean()

        alone = making._random(64)
        for _ in range(40):
            alone = nearest_rotation(procrustes(V, alone))
        wanted, random = ([error(R) for R in several] for several in (alone, making._random(64)))
        ours = [error(R) for R in state["init/rotations"]]
        assert np.mean(ours) < np.mean(wanted) + lost * (np.mean(random) - np.mean(wanted))

    def test_look_at_a_sample_of_a_shard(self):
        many = np.concatenate([X, X])
        state = moments(many)
        some = MAKING.visit(state, 3, batches(many[:ROTATION_POINTS]))
        more = MAKING.visit(state, 3, batches(many))
        np.testing.assert_array_equal(some["init/procrustes"], more["init/procrustes"])

    def test_look_at_less_of_each_where_there_are_many_shards(self):
        state = moments(X) | {"init/shards": np.array([24])}
        some = MAKING.visit(state, 3, batches(X[: ROTATION_POINTS_IN_ALL // 24]))
        more = MAKING.visit(state, 3, batches(X))
        np.testing.assert_array_equal(some["init/procrustes"], more["init/procrustes"])

    def test_of_no_points_add_nothing(self):
        assert not MAKING.visit(moments(X), 3, [])["init/procrustes"].any()

    def test_end_with_the_contest(self):
        making = replace(MAKING, rotations=3 * STEPS)
        state = moments(X)
        for number in (3, 4):
            state = lap(state, number, X, making=making)
            assert "init/scores" not in state
            assert not state["init/procrustes"].any()
        last = lap(state, 5, X, making=making)
        assert last["init/scores"].tolist() == [0.0] * 6
        assert "init/procrustes" not in last


class TestContest:
    """Two far groups of points on one input: a bit that splits them finds all neighbours."""

    MAKING = Initialisation(bits=1, rotations=1, starts=1, refined=1, seed=0)

    @pytest.fixture(autouse=True)
    def _rotations(self, monkeypatch):
        # the first bit tells the groups apart, the second is the same for all
        monkeypatch.setattr(Initialisation, "_random", lambda self, dim: np.array([[[1.0], [0.0]]]))

    def judged(self, *shards, among=1):
        state = {
            "input/mean": np.zeros(2, np.float32),
            "input/scale": np.ones(1, np.float32),
            "init/basis": np.eye(2),
            "init/rotations": np.array([[[0.0], [0.0]]]),
            "init/scores": np.zeros(2),
            "init/shards": np.array([among]),
        }
        for x in shards:
            state = self.MAKING.visit(state, 4, batches(x))
        return state

    def groups(self, count):
        x = RNG.standard_normal((count, 2)).astype(np.float32)
        x[:, 0] = np.where(np.arange(count) % 2, 10.0, -10.0) + 0.1 * x[:, 0]
        return x

    def test_counts_the_neighbours_that_codes_find(self):
        count = 160
        queries, database = count // 4, count - count // 4
        scores = self.judged(self.groups(count), self.groups(count))["init/scores"]
        # half of the points have the right code, any of all points has the only one
        expected = [JURY_LEAST / (database / 2), JURY_LEAST / database]
        np.testing.assert_allclose(scores, 2 * queries * np.array(expected), rtol=1e-6)

    def test_looks_at_so_many_points_and_no_more(self):
        x = self.groups(JURY_QUERIES + JURY_POINTS)
        scores = self.judged(x)["init/scores"]
        more = self.judged(np.concatenate([x, self.groups(2000)]))["init/scores"]
        np.testing.assert_array_equal(scores, more)
        wanted = round(JURY_NEIGHBOURS * JURY_POINTS)
        assert scores[1] == pytest.approx(JURY_QUERIES * wanted / JURY_POINTS)

    def test_hears_less_of_each_where_there_are_many_shards(self):
        x = self.groups(JURY_QUERIES + JURY_POINTS)
        wanted = round(JURY_NEIGHBOURS * JURY_POINTS)
        scores = self.judged(x, among=16)["init/scores"]
        assert scores[1] == pytest.approx(JURY_QUERIES_IN_ALL / 16 * wanted / JURY_POINTS)

    def test_hears_no_shard_that_is_too_small(self):
        assert not self.judged(self.groups(3))["init/scores"].any()
        assert self.judged(self.groups(4))["init/scores"].tolist() == [1.0, 1.0]

    @pytest.mark.parametrize(("scores", "best"), [([3.0, 1.0], 1.0), ([1.0, 3.0], 0.0)])
    def test_is_won_by_the_highest_score(self, scores, best):
        state = self.judged() | {"init/scores": np.array(scores)}
        chosen = self.MAKING.end_lap(state, 4)
        assert chosen["init/encoder"].tolist() == [[best], [0.0]]
        assert chosen["init/activation"].tolist() == [0.0]


class TestModel:
    def made(self, *shards):
        state = MAKING.start(4)
        for number in range(MAKING.laps):
            state = lap(state, number, *shards)
        return state

    def test_has_activations_of_one_on_average(self):
        model = self.made(X[:800], X[800:])
        scaled = (X - model["input/mean"]) / model["input/scale"]
        np.testing.assert_allclose(np.abs(scaled @ model["init/encoder"].T).mean(0), 1.0, rtol=1e-3)
        assert model["init/encoder"].dtype == np.float32
        assert model.keys() == {
            "input/mean", "input/scale", "init/encoder", "init/decoder", "init/offset",
        }  # fmt: skip

    def test_decodes_its_codes_by_least_squares(self):
        model = self.made(X[:800], X[800:])
        scaled = (X - model["input/mean"]) / model["input/scale"]
        codes = scaled @ model["init/encoder"].T > 0
        inputs = np.column_stack([codes, np.ones(len(X))])
        best = np.linalg.lstsq(inputs, scaled, rcond=None)[0]
        np.testing.assert_allclose(model["init/decoder"], best[:-1].T, atol=0.01)
        np.testing.assert_allclose(model["init/offset"], best[-1], atol=0.01)

    def test_is_made_of_a_shards_copy(self):
        state = MAKING.start(4)
        before = {name: tensor.copy() for name, tensor in state.items()}
        MAKING.visit(state, 0, batches(X))
        assert state.keys() == before.keys()
        for name, tensor in before.items():
            np.testing.assert_array_equal(state[name], tensor)
