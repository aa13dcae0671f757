"""One story for all tests that look back on it: it takes more than a minute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.monitoring.programs import program
from tests.monitoring.story import Story, lived_through


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    program("prometheus")
    with contextlib.ExitStack() as stack:
        try:
            lived = stack.enter_context(lived_through(tmp_path_factory.mktemp("story")))
        except TimeoutError:  # a machine that was busy with something else: once more
            lived = stack.enter_context(lived_through(tmp_path_factory.mktemp("story")))
        yield lived
