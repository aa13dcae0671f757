"""Which rows hold numbers that the arithmetic carries."""

from __future__ import annotations

import numpy as np
import pytest

from streammac.points.range import largest, within

BEYOND = [np.nan, np.inf, -np.inf, 1.01, -1.01]
"""The finite ones in units of the largest."""


@pytest.mark.parametrize("bad", BEYOND)
@pytest.mark.parametrize("row", [0, 3])
def test_a_row_is_out_of_range_with_one_number_that_is(bad, row):
    x = np.full((4, 3), -largest(3))
    x[:, 1] = largest(3)
    assert within(x).tolist() == [True] * 4, "the largest is in range"
    x[row, 2] = bad * largest(3)
    assert within(x).tolist() == [n != row for n in range(4)]


@pytest.mark.parametrize("x", [np.full((2, 3), 255, np.uint8), np.zeros((2, 0)), np.zeros((0, 3))])
def test_bytes_and_nothing_are_in_range(x):
    assert within(x).tolist() == [True] * len(x)


@pytest.mark.parametrize("bad", [*BEYOND, 0.999])
def test_among_many_small_numbers_a_large_one_is_seen(bad):
    x = np.full((64, 128), 1e-3, np.float32)
    x[5, 7] = bad * largest(128)
    assert within(x).tolist() == [n != 5 or bad == 0.999 for n in range(64)]
