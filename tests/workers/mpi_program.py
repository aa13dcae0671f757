"""Open MPI's starter, for tests that are skipped where it is not installed.

Where ``STREAMMAC_REQUIRE`` names ``mpi`` such a test fails instead.
"""

from __future__ import annotations

import os

import pytest

from streammac.supervisor.mpi_starter import is_usable, starter


def mpiexec() -> list[str]:
    """The command that starts ranks, or no test."""
    found = starter()
    if found is None or not is_usable():
        if "mpi" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
            pytest.fail("there is no MPI, but STREAMMAC_REQUIRE names mpi")
        pytest.skip("there is no MPI - install the extra: pip install 'streammac[mpi]'")
    return found
