"""The guard tells slower from noisy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.guard import PAIRS, TOLERANCE, judge

RATIOS = st.floats(0.01, 100)


@settings(max_examples=30)
@given(st.lists(RATIOS, min_size=1, max_size=60))
def test_nothing_is_slower_where_half_of_the_pairs_say_no(ratios):
    if np.median(ratios) >= 1 - TOLERANCE:
        assert not judge(ratios).slower


@settings(max_examples=10)
@given(st.lists(st.floats(0.1, 0.89), min_size=PAIRS, max_size=60))
def test_what_is_slower_in_every_pair_is_told(ratios):
    assert judge(ratios).slower


def test_noise_of_any_size_is_no_slower_code():
    rng = np.random.default_rng(0)
    noise = rng.lognormal(0, 1.0, (100, PAIRS))
    assert sum(judge(list(ratios)).slower for ratios in noise) <= 1


def test_a_loss_of_a_quarter_is_noticed_in_the_noise_of_a_shared_machine():
    rng = np.random.default_rng(0)
    slowed = 0.75 * rng.lognormal(0, 0.1, (40, PAIRS))
    assert sum(judge(list(ratios)).slower for ratios in slowed) >= 38


def test_few_pairs_prove_nothing():
    assert not judge([0.1, 0.1, 0.1]).slower
