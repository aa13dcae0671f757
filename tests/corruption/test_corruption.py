"""A directory of a real cluster, damaged in many ways."""

from __future__ import annotations

import pytest

from tests.corruption.hunt import hunt
from tests.corruption.made import make


@pytest.mark.processes
def test_whatever_is_damaged_the_next_start_loses_nothing_or_says_what(tmp_path):
    root, older = make(tmp_path)
    outcomes = hunt(root, older, tmp_path, 60, seed=0)
    assert outcomes["told"] > 15
    assert outcomes["harmless"] > 5
