"""ADWIN as River has it, and nothing of what River loads beside it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from river.drift import ADWIN

from workers.adwin import Adwin


def test_it_says_what_rivers_own_says():
    rng = np.random.default_rng(0)
    means = np.repeat(rng.random(8), rng.integers(1, 400, 8))
    ours, rivers = Adwin(0.002, clock=8), ADWIN(delta=0.002, clock=8)
    changes = 0
    for value in means + 0.1 * rng.standard_normal(len(means)):
        ours.update(float(value))
        rivers.update(float(value))
        told = (rivers.drift_detected, rivers.estimation)
        assert (ours.drift_detected, ours.estimation) == told
        changes += ours.drift_detected
    assert changes > 2


def test_it_loads_little():
    program = "import sys, workers.adwin as a; a.Adwin(0.1, 8); print({'sklearn', 'pandas'} & {*sys.modules})"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
