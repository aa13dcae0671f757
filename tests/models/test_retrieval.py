"""Retrieval quality against slow and obvious computations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from streammac.models.retrieval import (
    ROWS,
    baselines,
    entropies,
    precision,
    true_neighbours,
)


def test_true_neighbours_are_the_nearest():
    rng = np.random.default_rng(0)
    database = rng.random((300, 8), np.float32)
    queries = rng.random((2 * ROWS + 20, 8), np.float32)
    found = true_neighbours(database, queries, 7)
    distances = ((queries[:, None] - database[None]) ** 2).sum(2)
    for row, near in zip(distances, found, strict=True):
        assert set(near) == set(np.argsort(row)[:7])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), retrieved=st.integers(1, 5))
def test_precision_is_the_expectation_over_all_orders_of_ties(seed, retrieved):
    rng = np.random.default_rng(seed)
    database = np.packbits(rng.integers(0, 2, (5, 3), np.uint8), axis=1)
    query = np.packbits(rng.integers(0, 2, (1, 3), np.uint8), axis=1)
    near = rng.permutation(5)[:2][None]
    distances = np.bitwise_count(database ^ query).sum(1)
    shares = []
    for order in permutations(range(5)):
        first = sorted(order, key=lambda i: (distances[i], order.index(i)))[:retrieved]
        shares.append(len(set(first) & set(near[0])) / retrieved)
    got = precision(query, database, near, retrieved)
    assert got == pytest.approx(np.mean(shares))


def test_more_is_asked_for_than_there_is():
    codes = np.zeros((3, 1), np.uint8)
    assert precision(codes[:1], codes, np.array([[0, 1]]), 10) == pytest.approx(0.2)


def test_long_codes_count_every_bit():
    rng = np.random.default_rng(1)
    codes = rng.integers(
        0, 256, (50, 20), np.uint8
    )  # 160 bits: three words, the last one partly used
    distances = np.bitwise_count(codes[:1] ^ codes).sum(1)
    near = np.argsort(distances, kind="stable")[:1][None]
    assert precision(codes[:1], codes, near, 1) == 1.0


def test_the_baselines_are_ranked_as_they_should_be_on_digits():
    x = load_digits().data.astype(np.float32)
    queries, database = x[:300], x[300:]
    near = true_neighbours(database, queries, 50)
    scores = {
        name: precision(encode(queries), encode(database), near, 50)
        for name, encode in baselines(database, 32, np.random.default_rng(0)).items()
    }
    assert scores["itq"] > scores["pca"]
    assert scores["itq"] > scores["random"] > 0.2


def test_the_entropy_of_a_bit():
    shares = np.array([1 / 16, 4 / 16, 8 / 16, 12 / 16])
    inner = -shares * np.log2(shares) - (1 - shares) * np.log2(1 - shares)
    entropy = entropies(np.array([0.0, *shares, 1.0]))
    np.testing.assert_allclose(entropy, [0.0, *inner, 0.0])
    assert not np.signbit(entropy).any()


class TestBaselines:
    """Independent inputs of known deviations, so that the principal components are known, too."""

    RNG = np.random.default_rng(0)
    X = (RNG.standard_normal((3000, 4)) * [1.0, 6.0, 0.5, 3.0] + 50.0).astype(np.float32)

    def bits(self, name, bits, seed=0):
        encode = baselines(self.X, bits, np.random.default_rng(seed))[name]
        return np.unpackbits(encode(self.X), axis=1, count=bits)

    def test_pca_has_the_signs_of_the_first_components_about_the_mean(self):
        signs = (self.X - self.X.mean(axis=0)) > 0
        for bit, column in zip(self.bits("pca", 2).T, (1, 3), strict=True):
            assert abs((bit == signs[:, column]).mean() - 0.5) > 0.48

    def test_pca_has_no_more_bits_than_inputs(self):
        bits = self.bits("pca", 6)
        assert [bit.std() > 0.4 for bit in bits.T] == [True] * 4 + [False] * 2

    def test_random_projections_split_at_the_mean_and_follow_the_seed(self):
        bits = self.bits("random", 8)
        np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=0.05)
        np.testing.assert_array_equal(bits, self.bits("random", 8))
        assert not np.array_equal(bits, self.bits("random", 8, seed=1))

    def test_itq_has_found_its_rotation(self):
        """Of points about the corners of a turned square, each corner gets a code of its own."""
        x = self.RNG.choice([-1.0, 1.0], (2000, 2)) + 0.2 * self.RNG.standard_normal((2000, 2))
        turned = x @ np.array([[0.8, -0.6], [0.6, 0.8]])
        encode = baselines(turned.astype(np.float32), 2, np.random.default_rng(3))["itq"]
        bits = np.unpackbits(encode(turned.astype(np.float32)), axis=1, count=2).astype(bool)
        corners = (x > x.mean(axis=0)) @ [1, 2]
        assert {len(set(map(tuple, bits[corners == corner]))) for corner in range(4)} == {1}
        assert len(set(map(tuple, bits))) == 4
