"""A headless Chromium for the tests of the page.

They are skipped where there is none, unless ``STREAMMAC_REQUIRE`` names ``chromium``: then they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.page.browser import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def unavailable(what: str) -> NoReturn:
    if "chromium" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
        pytest.fail(f"{what}, but STREAMMAC_REQUIRE names chromium")
    pytest.skip(f"{what} - install chromium and chromium-driver, and selenium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    try:
        import selenium  # noqa: F401
    except ImportError:
        unavailable("selenium is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        unavailable("there is no Chromium with its driver")
    opened = Browser(program, driver, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()
