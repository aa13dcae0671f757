"""How MPI starts processes: the command of Open MPI's starter, with what elastic jobs need.

The wheel of the extra ``mpi`` brings the starter along, beside the interpreter. ``streammac up`` starts its workers
with it; who starts them otherwise writes such a command themselves.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

ELASTIC = ("--with-ft", "ulfm")
"""The death of a rank is not the end of the others."""
PLACING = ("--host", "localhost:1000", "--map-by", ":INHERIT", "--bind-to", "none")
"""Here, as many ranks as are asked for, now or later; each has several threads, which may run on any core.

Were there more than there is room for, each look for what has come would give up its core, for milliseconds.
"""
COLLECTIVES = ("--mca", "coll", "^han,adapt,xhc,acoll,sm")
"""Not these: they hang where processes have come one after the other, and what is small does without."""
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
"""In a container everybody is root; what runs already with these rights gives them to its children alone."""

MISSING = (
    "network.transport: expected zeromq, for MPI is not installed here, got mpi - "
    "pip install 'streammac[mpi]'"
)


def is_usable() -> bool:
    """Return whether MPI is installed, with what workers need of it."""
    return starter() is not None and importlib.util.find_spec("mpi4py") is not None


def starter() -> list[str] | None:
    """Return the command before the number of ranks and the program; None if there is no MPI."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which("mpiexec", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    return None if program is None else [program, *ELASTIC, *PLACING, *COLLECTIVES]
