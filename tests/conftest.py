"""What holds for all tests: how patient they are, and which of them may run side by side."""

from __future__ import annotations

import pytest
from hypothesis import settings

# on a busy machine an example may take long, and is no worse for it
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that start processes apart: one process of pytest runs them, one after the other.

    They share cores with whatever else runs and wait for it; two real clusters at a time would wait for each other.
    The story of `tests/monitoring` is lived through once: all who look back on it run where it was.
    """
    for item in items:
        if "story" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("story"))
        elif item.get_closest_marker("processes") or item.get_closest_marker("netns"):
            item.add_marker(pytest.mark.xdist_group("processes"))
