"""The real promtool and Prometheus, for tests that are skipped where they are not installed.

Where ``STREAMMAC_REQUIRE`` names ``prometheus`` such a test fails instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MONITORING = Path(__file__).parents[2] / "monitoring"
PATIENCE_S = 60


def program(name: str) -> str:
    """The path of a program, or no test."""
    found = shutil.which(name)
    if found is None:
        if "prometheus" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
            pytest.fail(f"there is no {name}, but STREAMMAC_REQUIRE names prometheus")
        pytest.skip(f"there is no {name} - install prometheus")
    return found


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """What promtool prints; it must be content."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
