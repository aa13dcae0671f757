"""Open MPI's starter, for tests that are skipped where it is not installed.

Where ``STREAMMAC_REQUIRE`` names ``mpi`` such a test fails instead.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

from streammac.supervisor.mpi_starter import starter


def mpiexec() -> list[str]:
    """The command that starts ranks, or no test."""
    found = starter()
    if found is None or importlib.util.find_spec("mpi4py") is None:
        if "mpi" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
            pytest.fail("there is no MPI, but STREAMMAC_REQUIRE names mpi")
        pytest.skip("there is no MPI - install the extra: pip install 'streammac[mpi]'")
    return found
