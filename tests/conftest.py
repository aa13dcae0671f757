"""What holds for all tests: how patient they are, and which of them stay together on two cores."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from streammac.cli.app import ONE_THREAD

# before numpy is loaded: what two processes compute is compared bit for bit
for variable in ONE_THREAD:
    os.environ.setdefault(variable, "1")

# on a busy machine an example may take long, and is no worse for it
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

collect_ignore = ["workers/mpi_rank.py"]
"""To import it is to start MPI."""
STORY = ("tests/monitoring/test_every_panel.py", "tests/monitoring/test_stranger.py")
"""They look back on one long story, which is to be lived through once."""


class Together(LoadScopeScheduling):
    """Tests of one file run one after the other: many share a cluster, or wait for cores."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "story" if path in STORY else path


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Together(config, log)
