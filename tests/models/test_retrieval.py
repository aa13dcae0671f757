"""Retrieval quality against slow and obvious computations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from streammac.models.retrieval import baselines, precision, true_neighbours


def test_true_neighbours_are_the_nearest():
    rng = np.random.default_rng(0)
    database, queries = rng.random((300, 8), np.float32), rng.random((20, 8), np.float32)
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
