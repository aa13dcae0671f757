"""Waiting for what other threads and processes do: with patience, for the machine may have something else to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

PATIENCE_S = 60.0
"""Longest wait for something that is to happen; only a test that fails waits so long."""
LOOK_S = 0.005


def wait_for(health: Callable[[], Value]) -> Value:
    """Look again and again until a condition is true; return its value."""
    end = time.monotonic() + PATIENCE_S
    while not (value := health()):
        assert time.monotonic() < end, f"it did not happen within {PATIENCE_S:.0f} s"
        time.sleep(LOOK_S)
    return value
