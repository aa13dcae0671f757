"""A run as one HTML file: the page's own charts, with the run's history and last status inside.

``streammac report`` calls `render`. It reads a run directory and, if the cluster runs, its newest status; it
changes nothing.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from streammac.coordinator.health import Health
from streammac.errors import StreammacError
from streammac.page import document, history
from streammac.run_directory import RunDirectory
from streammac.wire.status import ClusterStatus


class NothingToReport(StreammacError):
    """There is no history in the directory."""


def render(
    directory: RunDirectory, status: ClusterStatus | None, now: float, name: str = ""
) -> str:
    """Return the report.

    Parameters
    ----------
    directory : RunDirectory
        Where the run is or was.
    status : ClusterStatus or None
        The status of a cluster that runs there; None: it has ended, what it left behind is shown.
    now : float
        Unix time, s.
    name : str
        What to call the run, by default the name of its directory.

    Raises
    ------
    NothingToReport
        If nothing ever ran there.
    """
    lines = history.read(directory.history)
    running = status is not None
    last = status or _left_behind(directory)
    if not lines and not last:
        raise NothingToReport(
            f"{directory.root}: no history of a run - expected a directory that was given to "
            "`streammac up --dir`"
        )
    return document(
        {
            "name": name or directory.root.absolute().name,
            "made": round(now, 3),
            "running": running,
            "status": last or {},
            "lines": lines,
        }
    )


class _Kept(msgspec.Struct):
    status: ClusterStatus


def _left_behind(directory: RunDirectory) -> ClusterStatus | None:
    """Return the last status of a run that has ended, however it ended."""
    try:
        last = msgspec.json.decode(directory.last_status.read_bytes(), type=_Kept).status
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return replace(last, answers=Health().ended(last))
