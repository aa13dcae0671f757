"""One story for all tests that look back on it: it takes more than a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitoring.programs import program
from tests.monitoring.story import Story, lived_through


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    program("prometheus")
    with lived_through(tmp_path_factory.mktemp("story")) as lived:
        yield lived
