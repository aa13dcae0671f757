"""The binary autoencoder: its Z step, its submodels, its first model, and odd data."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from streammac.models import kernels
from streammac.models.arrays import ArrayShard
from streammac.models.base import Block
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.code_z_step import ENUMERATE_BITS
from streammac.models.linear_svm import SvmState, train
from streammac.models.local import VisitPlan
from streammac.models.registry import ModelError, create
from streammac.models.serial import parmac
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from tests.models.batches import batches_of


def trained(model, x, epochs=3, members=2, minibatch=64):
    shards = {f"w{i}": ArrayShard(x[i::members], model.coordinate_shape()) for i in range(members)}
    *_, (params, objective) = islice(parmac(model, shards, VisitPlan(0, minibatch)), epochs)
    return params, objective


def digits() -> np.ndarray:
    return load_digits().data.astype(np.float32)


def problem(rng, points, bits, dim=6):
    A = rng.standard_normal((dim, bits)).astype(np.float32)
    x = rng.standard_normal((points, dim)).astype(np.float32)
    h = rng.integers(0, 2, (points, bits), np.uint8)
    z = rng.integers(0, 2, (points, bits), np.uint8)
    return A, x, h, z


def objective(A, x, h, z, mu):
    return ((x - z @ A.T) ** 2).sum(1) + mu * (z != h).sum(1)


class TestZStep:
    @settings(max_examples=60)
    @given(
        seed=st.integers(0, 2**32 - 1),
        bits=st.integers(1, 24),
        mu=st.floats(1e-3, 1e3),
        kernel=st.sampled_from(["alternate", "enumerate_codes"]),
    )
    def test_never_raises_a_points_objective(self, seed, bits, mu, kernel):
        bits = min(bits, 8) if kernel == "enumerate_codes" else bits
        A, x, h, z = problem(np.random.default_rng(seed), 20, bits)
        new = z.copy()
        getattr(kernels, kernel)(A.T @ A, x @ A, h, new, np.float32(mu))
        before, after = objective(A, x, h, z, mu), objective(A, x, h, new, mu)
        assert (after <= before * (1 + 1e-4) + 1e-4).all()

    @settings(max_examples=25)
    @given(seed=st.integers(0, 2**32 - 1), bits=st.integers(1, 7), mu=st.floats(1e-3, 1e2))
    def test_enumeration_is_exact(self, seed, bits, mu):
        A, x, h, z = problem(np.random.default_rng(seed), 10, bits)
        kernels.enumerate_codes(A.T @ A, x @ A, h, z, np.float32(mu))
        codes = np.array(list(product([0, 1], repeat=bits)), np.uint8)
        best = [objective(A, x[i : i + 1], h[i : i + 1], codes, mu).min() for i in range(len(x))]
        np.testing.assert_allclose(objective(A, x, h, z, mu), best, rtol=1e-3, atol=1e-3)

    @settings(max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1), bits=st.integers(9, 20), mu=st.floats(1e-3, 1e2))
    def test_alternation_ends_where_no_single_flip_helps(self, seed, bits, mu):
        A, x, h, z = problem(np.random.default_rng(seed), 10, bits)
        kernels.alternate(A.T @ A, x @ A, h, z, np.float32(mu))
        reached = objective(A, x, h, z, mu)
        for bit in range(bits):
            flipped = z.copy()
            flipped[:, bit] ^= 1
            assert (objective(A, x, h, flipped, mu) >= reached - 1e-3 * (1 + reached)).all()

    @pytest.mark.parametrize("bits", [6, 16])
    def test_of_the_model_never_raises_the_penalised_objective(self, bits):
        model = BinaryAutoencoderModel(bits=bits, rotations=5)
        x = digits()
        params, _ = trained(model, x)
        z = np.random.default_rng(0).integers(0, 2, (len(x), bits), np.uint8)
        for mu in (0.01, 0.3, 3.0):
            once, first = model.z_step(params, PointBlock(x.copy()), z, mu)
            again, second = model.z_step(params, PointBlock(x.copy()), once, mu)
            assert second.penalised <= first.penalised * (1 + 1e-6)
            assert second.changed <= first.changed
            assert first.points == len(x)
            z = again

    def test_the_objectives_are_what_their_definitions_say(self):
        model = BinaryAutoencoderModel(bits=12, rotations=5)
        x = digits()
        params, _ = trained(model, x)
        h = model.coordinates(params, x.copy())
        z, total = model.z_step(params, PointBlock(x.copy()), h, 0.2)
        scale = float(params["input/scale"][0])
        nested = ((x - model.decode(params, h)) ** 2).sum() / (x.shape[1] * scale**2)
        assert total.nested == pytest.approx(nested, rel=1e-3)
        assert total.nested == pytest.approx(model.errors(params, PointBlock(x)).sum(), rel=1e-3)
        assert total.violated == pytest.approx((z != h).mean(axis=1).sum())

    @settings(max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1), mu=st.floats(1e-2, 3.0))
    def test_of_long_codes_begins_at_the_best_of_three(self, seed, mu):
        """At the code that is there, at h(x), or at the truncated solution of the relaxed problem."""
        model = BinaryAutoencoderModel(bits=12)
        A, x, _, z = problem(np.random.default_rng(seed), 20, 12)
        params = plain_params(A)
        h = model.coordinates(params, x.copy())
        penalty = mu * (A**2).sum() / 12
        relaxed = np.linalg.solve(
            A.T @ A + penalty * np.eye(12), (x @ A + penalty * h).T
        ).T  # (A'A + mu I) z = A' x + mu h
        new, total = model.z_step(params, PointBlock(x.copy()), z, mu)
        reached = objective(A, x, h, new, penalty)
        for start in (z, h, (relaxed > 0.5).astype(np.uint8)):
            assert (reached <= objective(A, x, h, start, penalty) * (1 + 1e-4)).all()
        assert total.penalised == pytest.approx(reached.sum() / x.shape[1], rel=1e-3)
        assert total.changed == pytest.approx((new != z).mean(axis=1).sum())

    @pytest.mark.parametrize("bits", [ENUMERATE_BITS, ENUMERATE_BITS + 1])
    def test_of_short_codes_finds_the_best_of_all(self, bits):
        model = BinaryAutoencoderModel(bits=bits)
        A, x, _, z = problem(np.random.default_rng(0), 30, bits, dim=16)
        params = plain_params(A)
        new, _ = model.z_step(params, PointBlock(x.copy()), z, 0.3)
        h = model.coordinates(params, x.copy())
        penalty = 0.3 * (A**2).sum() / bits
        codes = np.array(list(product([0, 1], repeat=bits)), np.uint8)
        best = [
            objective(A, x[i : i + 1], h[i : i + 1], codes, penalty).min() for i in range(len(x))
        ]
        reached = objective(A, x, h, new, penalty)
        exact = np.isclose(reached, best, rtol=1e-3)
        assert exact.all() if bits == ENUMERATE_BITS else exact.mean() > 0.5


def plain_params(A):
    """Return a model with this decoder (D, L), its transpose as hash functions, and plain inputs."""
    return {
        "input/mean": np.zeros(len(A), np.float32),
        "input/scale": np.ones(1, np.float32),
        "init/encoder": np.ascontiguousarray(A.T),
        "init/decoder": A,
        "init/offset": np.zeros(len(A), np.float32),
    }


def test_a_tiny_penalty_with_bits_that_say_the_same_is_no_singular_matrix():
    model = BinaryAutoencoderModel(bits=12)
    params = {
        "input/mean": np.zeros(3, np.float32), "input/scale": np.ones(1, np.float32),
        "init/encoder": np.ones((12, 3), np.float32), "init/decoder": np.ones((3, 12), np.float32),
        "init/offset": np.zeros(3, np.float32),
    }  # fmt: skip
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    _, total = model.z_step(params, PointBlock(x), np.zeros((20, 12), np.uint8), mu=1e-9)
    assert np.isfinite([total.nested, total.penalised]).all()


class TestSchedule:
    def test_mu_grows_to_its_cap_and_stays(self):
        model = BinaryAutoencoderModel(mu_start=0.01, mu_factor=2.0, mu_cap=0.1)
        assert [model.mu(age) for age in range(6)] == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
        assert model.mu(10**9) == 0.1

    def test_hash_functions_rest_once_an_epoch_has_ended_at_the_cap(self):
        model = BinaryAutoencoderModel(
            bits=8, block_bits=8, rotations=2, mu_start=0.01, mu_factor=2.0, mu_cap=0.1
        )
        params, _ = trained(model, digits()[:100], epochs=2)
        (block, *_) = model.blocks(Signature(64), 1)
        assert not model.rests(4)
        assert model.rests(5)
        for age, rests in enumerate([False] * 5 + [True] * 2):
            state = model.start(block, Signature(64), params, age)
            assert ("encoder/0-7/rests" in state) == rests
            assert (state["encoder/0-7/eta0"][0] == 0) == (age == 0), "a restart tunes anew"
        batches = batches_of(digits()[:100], np.ones((100, 8), np.uint8))
        after = model.visit(block, params, state, 1, batches)
        np.testing.assert_array_equal(after["encoder/0-7/weight"], params["encoder/0-7/weight"])
        ended = model.end_lap(block, params, after, 1)
        np.testing.assert_array_equal(ended["encoder/0-7/bias"], params["encoder/0-7/bias"])
        assert "encoder/0-7/rests" not in ended

    @pytest.mark.parametrize(("factor", "age"), [(2.0, 2), (1.2, 7), (1.0, 1000)])
    def test_a_warm_continuation_begins_where_the_penalty_is_a_third_of_its_cap(self, factor, age):
        model = BinaryAutoencoderModel(mu_start=0.1, mu_factor=factor, mu_cap=1.0)
        assert model.warm_age == age
        assert BinaryAutoencoderModel(mu_start=5.0).warm_age == 0

    @pytest.mark.parametrize("bits", [4, 9, 40])
    def test_the_penalty_of_a_bit_does_not_depend_on_how_many_there_are(self, bits):
        """Bits of the same weight, h = 0, and a pull towards 1 that beats mu = 0.9 and not mu = 1.1."""
        model = BinaryAutoencoderModel(bits=bits)
        params = plain_params(np.eye(bits, dtype=np.float32))
        params["init/encoder"] = np.zeros((bits, bits), np.float32)
        x = np.ones((5, bits), np.float32)
        for mu, bit in ((0.9, 1), (1.1, 0)):
            new, _ = model.z_step(params, PointBlock(x.copy()), np.zeros((5, bits), np.uint8), mu)
            assert (new == bit).all()


class TestBlocks:
    @pytest.mark.parametrize(
        ("bits", "members", "groups"),
        [
            (32, 0, 1), (32, 1, 1), (32, 2, 2), (32, 3, 3), (32, 8, 8), (32, 99, 8), (64, 12, 12),
            (16, 3, 3), (4, 5, 1), (3, 5, 1),
        ],
    )  # fmt: skip
    def test_are_as_many_as_members_but_none_is_tiny(self, bits, members, groups):
        assert BinaryAutoencoderModel(bits=bits).groups_for(members) == groups
        assert BinaryAutoencoderModel(bits=bits, block_bits=3).groups_for(members) == -(-bits // 3)

    @pytest.mark.parametrize(("dim", "decoders"), [(64, 4), (4, 4), (3, 3), (1, 1)])
    def test_go_as_many_laps_as_they_need(self, dim, decoders):
        model = BinaryAutoencoderModel(bits=32, laps=5, sample=77, rotations=11)
        blocks = model.blocks(Signature(dim), groups=4)
        assert blocks[:4] == tuple(
            Block(f"encoder/{first}-{first + 7}", 5) for first in (0, 8, 16, 24)
        )
        assert [(block.name.split("/")[0], block.laps) for block in blocks[4:]] == [
            ("decoder", 1)
        ] * decoders
        assert model.initial_blocks(Signature(dim)) == (Block("init", 8, 77),)

    def test_are_trained_on_centred_points_and_their_own_bits(self):
        """A visit is a pass of SGD; the last lap's weights are averaged."""
        model = BinaryAutoencoderModel(bits=4, block_bits=2, laps=2, decay=0.01, neighbours=0)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((60, 3)).astype(np.float32) + 5.0
        z = rng.integers(0, 2, (60, 4), np.uint8)
        params = {"input/mean": np.full(3, 5.0, np.float32), "input/scale": np.full(1, 2.0)}
        block = model.blocks(Signature(3), 2)[1]
        start = SvmState(np.ones((2, 3), np.float32), np.zeros(2, np.float32), np.full(2, 0.1), 7)
        state = {
            "encoder/2-3/weight": start.weight, "encoder/2-3/bias": start.bias,
            "encoder/2-3/eta0": np.array([0.1]), "encoder/2-3/steps": np.array([7]),
        }  # fmt: skip
        for lap in range(2):
            batches = batches_of(x, z, size=20)
            state = model.end_lap(
                block, params, model.visit(block, params, state, lap, batches), lap
            )
            pairs = [(x[i : i + 20] - 5.0, z[i : i + 20, 2:]) for i in (0, 20, 40)]
            start = train(start, pairs, 2.0, 0.01, average=lap == 1)
        done = start.averaged()
        np.testing.assert_allclose(state["encoder/2-3/weight"], done.weight, rtol=1e-5)
        np.testing.assert_allclose(state["encoder/2-3/bias"], done.bias, rtol=1e-5)
        assert state["encoder/2-3/steps"].tolist() == [127]
        assert state.keys() == {
            f"encoder/2-3/{name}" for name in ("weight", "bias", "eta0", "steps")
        }


class TestDecoders:
    """They need sums over a shard's points, which are made once in an epoch."""

    def visited(self, x, z, groups, memo):
        model = BinaryAutoencoderModel(bits=4)
        params = {"input/mean": np.full(6, 5.0, np.float32), "input/scale": np.full(1, 2.0)}
        blocks = model.blocks(Signature(6), groups)[-groups:]
        found = []
        for block in blocks:
            batches = [replace(b, memo=memo) for b in batches_of(x, z, size=20)]
            state = model.visit(
                block, params, model.start(block, Signature(6), params, 1), 0, batches
            )
            found.append([state[f"{block.name}/{name}"] for name in ("gram", "cross")])
        return found

    def points(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((50, 6)).astype(np.float32) + 5.0
        return x, rng.integers(0, 2, (50, 4), np.uint8)

    def test_of_one_member_share_them(self):
        x, z = self.points()
        ((gram, cross),) = self.visited(x, z, 1, {})
        codes = np.concatenate([z, np.ones((50, 1))], axis=1)
        np.testing.assert_allclose(gram, codes.T @ codes)
        np.testing.assert_allclose(cross, codes.T @ (x - 5.0) / 2.0, rtol=1e-4, atol=1e-4)
        memo = {}
        first, second, third = self.visited(x, z, 3, memo)
        for one in (first, second, third):
            np.testing.assert_array_equal(one[0], gram)
        np.testing.assert_array_equal(
            np.concatenate([first[1], second[1], third[1]], axis=1), cross
        )
        (again,) = self.visited(np.full_like(x, np.nan), z, 1, memo)  # nobody looks at the points
        np.testing.assert_array_equal(again[1], cross)

    def test_leave_out_a_point_that_is_far_although_its_part_is_not(self):
        x, z = self.points()
        near = self.visited(x[1:], z[1:], 3, {})
        x[0, 0] = 1e6
        for one, other in zip(near, self.visited(x, z, 3, {}), strict=True):
            assert one[0][-1, -1] == other[0][-1, -1] == 49
            np.testing.assert_allclose(one[1], other[1], rtol=1e-4, atol=1e-4)


class TestTraining:
    def test_lowers_the_nested_objective_of_the_first_model(self):
        model = BinaryAutoencoderModel(bits=16, neighbours=0)
        _, first = trained(model, digits(), epochs=1)
        _, later = trained(model, digits(), epochs=12)
        assert later.nested < 0.99 * first.nested

    def test_ends_with_the_constraints_fulfilled(self):
        _, last = trained(BinaryAutoencoderModel(bits=16), digits(), epochs=20)
        assert last.violated / last.points < 0.002

    def test_the_step_size_is_tuned_once_and_travels(self):
        model = BinaryAutoencoderModel(bits=8, block_bits=8, rotations=5)
        params, _ = trained(model, digits(), epochs=3)
        assert params["encoder/0-7/eta0"][0] > 0
        # two epochs of two laps over every point
        assert params["encoder/0-7/steps"][0] == 2 * 2 * len(digits())

    def test_a_restart_tunes_the_step_size_anew_and_keeps_the_weights(self):
        model = BinaryAutoencoderModel(bits=8, block_bits=8, rotations=5)
        params, _ = trained(model, digits(), epochs=3)
        block = model.blocks(Signature(64), 1)[0]
        state = model.start(block, Signature(64), params, age=0)
        assert state["encoder/0-7/eta0"][0] == 0
        np.testing.assert_array_equal(state["encoder/0-7/weight"], params["encoder/0-7/weight"])

    def test_the_decoder_is_the_least_squares_solution(self):
        model = BinaryAutoencoderModel(bits=8, rotations=5)
        x = digits()
        shard = ArrayShard(x, model.coordinate_shape())
        steps = parmac(model, {"w": shard}, VisitPlan(0, 64))
        next(steps)
        z = shard.z(slice(None)).astype(np.float64)
        params, _ = next(steps)
        scaled = (x - params["input/mean"]) / params["input/scale"]
        inputs = np.column_stack([z, np.ones(len(z))])
        best = np.linalg.lstsq(inputs, scaled, rcond=None)[0]
        ours = np.column_stack([params["decoder/0-63/weight"], params["decoder/0-63/bias"]]).T
        lost = ((scaled - inputs @ ours) ** 2).sum() / ((scaled - inputs @ best) ** 2).sum()
        assert 1.0 - 1e-6 <= lost < 1.0001


class TestSvm:
    def test_separates_what_can_be_separated(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2000, 5)).astype(np.float32)
        bits = (x @ rng.standard_normal((5, 3)) > 0.3).astype(np.uint8)
        state = SvmState.untuned(np.zeros((3, 5), np.float32), np.zeros(3, np.float32))
        for lap in range(20):
            batches = [(x[i : i + 50], bits[i : i + 50]) for i in range(0, 2000, 50)]
            state = train(state, batches, 1.0, 1e-5, average=lap == 19)
        state = state.averaged()
        assert ((x @ state.weight.T + state.bias > 0) == bits).mean() > 0.98

    def test_inputs_of_any_scale_give_the_same_machines(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((500, 5)).astype(np.float32)
        bits = (x[:, :2] > 0).astype(np.uint8)
        start = SvmState(np.zeros((2, 5), np.float32), np.zeros(2, np.float32), np.full(2, 0.1))
        small = train(start, [(x, bits)], 1.0, 1e-3, average=False)
        large = train(start, [(x * 64, bits)], 64.0, 1e-3, average=False)
        np.testing.assert_allclose(small.weight, large.weight, rtol=1e-5)

    def test_without_points_nothing_happens(self):
        state = SvmState.untuned(np.ones((2, 5), np.float32), np.zeros(2, np.float32))
        after = train(state, [], 1.0, 1e-3, average=True).averaged()
        np.testing.assert_array_equal(after.weight, state.weight)
        assert after.eta0.tolist() == [0.0, 0.0]


class TestFirstModel:
    def test_does_not_depend_on_where_the_points_are(self):
        x = digits() + 1e4  # a large offset is where sums of squares lose their digits
        model = BinaryAutoencoderModel(bits=8, rotations=5, sample=10**6)
        one, _ = trained(model, x, epochs=1, members=1)
        many, _ = trained(model, x, epochs=1, members=4)
        np.testing.assert_allclose(one["input/mean"], many["input/mean"], rtol=1e-5)
        np.testing.assert_allclose(one["input/scale"], many["input/scale"], rtol=1e-4)
        np.testing.assert_allclose(one["input/mean"], x.mean(0), rtol=1e-5)


ODD = {
    "one point": np.ones((1, 5)),
    "all the same": np.full((100, 5), 3.0),
    "rank one": np.outer(np.arange(100.0), np.ones(5)),
    "a constant feature": np.column_stack(
        [np.random.default_rng(0).random((100, 4)), np.ones(100)]
    ),
    "one input": np.random.default_rng(0).random((100, 1)),
    "fewer points than bits": np.random.default_rng(0).random((4, 5)),
    "huge values": np.random.default_rng(0).random((100, 5)) * 1e15,
    "tiny values": np.random.default_rng(0).random((100, 5)) * 1e-15,
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("bits", [4, 16])
def test_odd_data_gives_finite_models(name, bits):
    x = ODD[name].astype(np.float32)
    model = BinaryAutoencoderModel(bits=bits, rotations=3)
    params, total = trained(model, x, epochs=4)
    assert all(np.isfinite(tensor).all() for tensor in params.values())
    assert np.isfinite([total.nested, total.penalised]).all()
    assert model.encode(params, x.copy()).shape == (len(x), bits // 8 + (bits % 8 > 0))


def test_wide_data_goes_through_subspace_iteration():
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 1500))
    x = (latent + 0.01 * rng.standard_normal((300, 1500))).astype(np.float32)
    model = BinaryAutoencoderModel(bits=6, rotations=20)
    params, _ = trained(model, x, epochs=2)
    dense = np.linalg.svd((x - x.mean(0)), full_matrices=False)[2][:6]
    ours = params["init/encoder"].astype(np.float64)
    ours = np.linalg.qr(ours.T)[0]
    assert np.linalg.norm(dense @ ours) ** 2 == pytest.approx(6, abs=0.05)


def test_export_applies_to_raw_inputs():
    model = BinaryAutoencoderModel(bits=16, rotations=5)
    x = digits()
    params, _ = trained(model, x)
    plain = model.export(params)
    bits = (x @ plain["encoder.weight"].T + plain["encoder.bias"] > 0).astype(np.uint8)
    z = model.coordinates(params, x.copy())
    assert (bits == z).mean() > 0.9999
    np.testing.assert_array_equal(np.packbits(z, axis=1), model.encode(params, x.copy()))
    back = z @ plain["decoder.weight"].T + plain["decoder.bias"]
    np.testing.assert_allclose(back, model.decode(params, z), atol=1e-2)


def test_the_limits_are_allowed():
    least = {
        "bits": 1, "laps": 1, "block_bits": 1, "decay": 0.0, "neighbours": 0.0, "features": 0, "mu_start": 1e-9,
        "mu_factor": 1.0, "mu_cap": 1e-9, "rotations": 1, "starts": 1, "refined": 1, "sample": 1,
    }  # fmt: skip
    assert create("binary_autoencoder", **least).hyper_parameters() == least | {"seed": 0}
    most = {"bits": 1024, "laps": 100, "block_bits": 1024, "decay": 1.0, "refined": 24}
    assert create("binary_autoencoder", **most).bits == 1024


def test_a_model_is_rebuilt_from_its_hyper_parameters():
    model = BinaryAutoencoderModel(bits=24, mu_factor=1.3)
    assert create(model.family, **model.hyper_parameters()) == model


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("nonesuch", {}, "model.family: no 'nonesuch', there is binary_autoencoder"),
        ("binary_autoencoder", {"bit": 3}, "model.options.bit: binary_autoencoder has bits"),
        ("binary_autoencoder", {"bits": 0}, "bits: expected a number from 1 to 1024, got 0"),
        ("binary_autoencoder", {"bits": 1025}, "bits: expected a number from 1 to 1024, got 1025"),
        ("binary_autoencoder", {"laps": 0}, "laps: expected a number from 1 to 100, got 0"),
        ("binary_autoencoder", {"block_bits": 0}, "block_bits: expected a number from 1"),
        ("binary_autoencoder", {"decay": -0.1}, "decay: expected a number from 0 to 1, got -0.1"),
        (
            "binary_autoencoder",
            {"neighbours": -1.0},
            "neighbours: expected a number from 0 to 1000000",
        ),
        ("binary_autoencoder", {"features": -1}, "features: expected a number from 0 to 65536"),
        ("binary_autoencoder", {"mu_start": 0.0}, "mu_start: expected a number from 1e-09"),
        ("binary_autoencoder", {"mu_factor": 0.9}, "mu_factor: expected a number from 1 to 100"),
        ("binary_autoencoder", {"mu_cap": 0.0}, "mu_cap: expected a number from 1e-09"),
        ("binary_autoencoder", {"rotations": 0}, "rotations: expected a number from 1 to 1000"),
        ("binary_autoencoder", {"starts": 0}, "starts: expected a number from 1 to 1000"),
        (
            "binary_autoencoder",
            {"starts": 3, "refined": 4},
            "refined: expected a number from 1 to 3",
        ),
        ("binary_autoencoder", {"sample": 0}, "sample: expected a number from 1"),
        ("binary_autoencoder", {"seed": -1}, "seed: expected a number from 0"),
        ("binary_autoencoder", {"laps": "x"}, r"model\.options\.laps: expected `int`, got `str`"),
        ("binary_autoencoder", {"laps": 1.5}, r"model\.options\.laps: expected `int`, got `float`"),
        ("binary_autoencoder", {"bits": True}, r"model\.bits: expected `int`, got `bool`"),
    ],
)
def test_a_wrong_setting_is_named(family, options, said):
    with pytest.raises(ModelError, match=said):
        create(family, **options)
