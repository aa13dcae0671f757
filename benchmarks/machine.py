"""On what a benchmark ran: the facts without which its numbers mean little."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_info

LIBRARIES = ("numpy", "scipy", "numba", "pyzmq", "msgspec")


def facts() -> dict[str, str]:
    """Return processor, cores, BLAS, versions, commit, date and load."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "blas": _blas(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def commit(folder: Path = Path(__file__).parent) -> str:
    """Return the commit that is checked out there, marked where files differ from it."""
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _blas() -> str:
    import numpy  # noqa: F401 - loads it

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    if not found:
        return "unknown"
    told = (found[0].get(key) for key in ("internal_api", "version", "architecture"))
    threads = found[0]["num_threads"]
    return f"{' '.join(filter(None, told))}, {threads} thread{'s' if threads > 1 else ''}"
