"""Whatever arrives in whatever order: what is decoded is right, more never makes it worse, and all is exact."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.coding.code import Code, cut, encoded, repeated, uncoded, whole
from streammac.coding.decoder import Decoder
from streammac.coding.design import designed

DESIGNED = designed(16, 8, checks=2, weight=3, erased=2)


@st.composite
def codes(draw: st.DrawFn) -> Code:
    """Any code whatever, not only good ones."""
    parts = draw(st.integers(1, 8))
    word = st.sets(st.integers(0, parts - 1), min_size=1, max_size=4).map(
        lambda w: tuple(sorted(w))
    )
    words = st.lists(word, max_size=4).map(tuple)
    return Code(parts, tuple(draw(st.lists(words, min_size=1, max_size=4))))


def sent(code: Code, parts: np.ndarray) -> list:
    return [one for worker in range(len(code.workers)) for one in encoded(code, worker, parts)]


@settings(max_examples=60)
@given(codes(), st.randoms(use_true_random=False))
def test_each_arrival_brings_the_projection_nearer(code: Code, chance):
    parts = np.random.default_rng(chance.randrange(1 << 30)).normal(size=(code.parts, 3))
    messages = sent(code, parts)
    chance.shuffle(messages)
    decoder, rows, error = Decoder(code.parts), [], np.inf
    for word, value in messages:
        before = set(decoder.found)
        new = decoder.add(word, value)
        assert not before & set(new)
        for part, value in decoder.found.items():
            np.testing.assert_allclose(value, parts[part], atol=1e-9)
        rows.append([float(part in word) for part in range(code.parts)])
        A = np.array(rows)
        estimate = decoder.estimate(3)
        np.testing.assert_allclose(estimate, np.linalg.pinv(A) @ A @ parts, atol=1e-5)
        now = float(np.linalg.norm(estimate - parts))
        assert now <= error + 1e-5
        error = now


@settings(max_examples=60)
@given(codes(), st.integers(0, 3))
def test_what_a_code_says_it_loses_is_lost(code: Code, gone: int):
    erased = set(range(gone)) & set(range(len(code.workers)))
    parts, decoder = np.zeros((code.parts, 1)), Decoder(code.parts)
    for worker in set(range(len(code.workers))) - erased:
        for word, value in encoded(code, worker, parts):
            decoder.add(word, value)
    assert code.lost(erased) == pytest.approx(1 - len(decoder.found) / code.parts)


@given(st.integers(1, 40), st.integers(1, 12))
def test_gradients_are_cut_and_put_together(length: int, parts: int):
    gradient = np.arange(length, dtype=np.float32)
    np.testing.assert_array_equal(whole(cut(gradient, parts), length), gradient)


def test_without_a_code_what_is_erased_is_lost():
    assert uncoded(16, 8).lost({1, 5}) == 0.25
    assert repeated(16, 8, 3).lost({1, 2}) == 0.0


def test_a_designed_code_loses_little_of_any_two_workers():
    lost = [DESIGNED.lost(pair) for pair in combinations(range(8), 2)]
    assert np.mean(lost) < 0.01
    assert DESIGNED.lost(()) == 0
    assert (DESIGNED.messages, repeated(16, 8, 3).messages) == (4, 6)
    assert DESIGNED.load <= 8


def test_a_designed_code_has_less_in_common_than_one_of_random_sums():
    few = designed(12, 6, checks=2, weight=3, erased=1, seed=1)
    assert few.lost({0}) == 0
    assert few.common < repeated(12, 6, 3).common


def test_a_design_refuses_sums_of_more_parts_than_there_are():
    with pytest.raises(ValueError, match="weight"):
        designed(8, 4, checks=1, weight=7, erased=1)
