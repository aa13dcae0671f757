"""A run as one HTML file: the page's own charts, with the run's history and last status inside.

``streammac report`` calls `render`. It reads a run directory and, if the cluster runs, its newest status; it
changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streammac.errors import StreammacError
from streammac.page import document, history
from streammac.run_directory import RunDirectory


class NothingToReport(StreammacError):
    """There is no history in the directory."""


def render(
    directory: RunDirectory, status: Mapping[str, Any] | None, now: float, name: str = ""
) -> str:
    """Return the report.

    Parameters
    ----------
    directory : RunDirectory
        Where the run is or was.
    status : mapping or None
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
            "status": last,
            "lines": lines,
        }
    )


def _left_behind(directory: RunDirectory) -> dict[str, Any]:
    try:
        kept = json.loads(directory.last_status.read_text())
        status: dict[str, Any] = kept["status"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    return status
