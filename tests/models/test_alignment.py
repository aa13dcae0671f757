"""Bits are renamed after those of another model; nothing else changes."""

from __future__ import annotations

import time
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from streammac.models.alignment import alignment
from streammac.models.arrays import ArrayShard
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.models.serial import parmac
from streammac.points.block import PointBlock

BITS = 16
RENAMED = np.random.default_rng(2)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return load_digits().data.astype(np.float32)[:600]


def model_of(blocks: int | None = 8, features: int = 0) -> BinaryAutoencoderModel:
    options = {"rotations": 3, "starts": 3, "refined": 1, "features": features}
    return BinaryAutoencoderModel(bits=BITS, block_bits=blocks, **options)


def after_epochs(model, x, epochs):
    shard = {"w": ArrayShard(x, model.coordinate_shape())}
    *_, (params, _) = islice(parmac(model, shard, VisitPlan(seed=0, minibatch=512)), epochs)
    return params


@pytest.fixture(scope="module")
def trained(x):
    return after_epochs(model_of(), x, 3)


@given(seed=st.integers(0, 1000), bits=st.integers(1, 40))
def test_order_and_flips_are_found_again(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, (1000, bits)).astype(np.uint8)
    order, flips = rng.permutation(bits), rng.integers(0, 2, bits).astype(bool)
    like = codes[:, order] ^ flips
    noisy = like ^ (rng.random(like.shape) < 0.1)
    found, negated = alignment(codes, noisy)
    np.testing.assert_array_equal(codes[:, found] ^ negated, like)
    assert (alignment(like, noisy)[0] == np.arange(bits)).all()


def test_long_codes_are_aligned_fast() -> None:
    rng = np.random.default_rng(0)
    codes, like = (rng.integers(0, 2, (4096, 256)).astype(np.uint8) for _ in range(2))
    begin = time.thread_time()
    alignment(codes, like)
    assert time.thread_time() - begin < 1.0


@pytest.mark.parametrize(("blocks", "epochs", "features"), [(8, 1, 0), (8, 3, 20), (5, 3, 0)])
def test_a_renamed_model_is_the_same_with_its_bits_renamed(x, blocks, epochs, features):
    model = model_of(blocks, features)
    params = after_epochs(model, x, epochs)
    order, flips = RENAMED.permutation(BITS), RENAMED.integers(0, 2, BITS).astype(bool)
    renamed = model.renamed(params, order, flips)
    assert renamed.keys() == params.keys()
    assert {k: (v.dtype, v.shape) for k, v in renamed.items()} == {
        k: (v.dtype, v.shape) for k, v in params.items()
    }
    z = model.coordinates(params, x.copy())
    new = model.coordinates(renamed, x.copy())
    np.testing.assert_array_equal(new, z[:, order] ^ flips)
    np.testing.assert_allclose(model.decode(renamed, new), model.decode(params, z), atol=1e-3)
    before = model.z_step(params, PointBlock(x.copy()), z, 0.01)[1]
    after = model.z_step(renamed, PointBlock(x.copy()), new, 0.01)[1]
    assert after.nested == pytest.approx(before.nested, rel=1e-3)
    assert after.penalised == pytest.approx(before.penalised, rel=2e-3)
    back = model.aligned(renamed, x, z)
    np.testing.assert_array_equal(model.coordinates(back, x.copy()), z)


def test_within_a_lineage_nothing_is_renamed(x, trained):
    model = model_of()
    initial = {k: v for k, v in trained.items() if k.startswith(("init/", "input/"))}
    assert model.aligned(trained, x, model.coordinates(initial, x.copy())) is trained


def test_functions_are_what_codes_depend_on(x, trained):
    model = model_of()
    functions = model.functions(trained)
    decoder = trained | {"decoder/0-31/weight": trained["decoder/0-31/weight"] * 2}
    for name, tensor in model.functions(decoder).items():
        np.testing.assert_array_equal(tensor, functions[name])
    moved = model.functions(trained | {"encoder/8-15/bias": trained["encoder/8-15/bias"] + 1})
    assert any((moved[name] != functions[name]).any() for name in functions)
