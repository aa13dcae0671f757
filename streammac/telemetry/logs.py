"""Logs: one line per record, for people or for programs, with the name of the process in each.

The commands that run a process call `configure` once at their start; nothing else sets up logging. What is
given as ``extra`` to a log call is a field of its own in JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Format = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)s {name} %(name)s: %(message)s"
OURS = "streammac"
"""Name of the handler that `configure` sets up, and replaces when it is called again."""
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else on it was given as ``extra``."""


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, process, logger, text, and the fields of ``extra``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._name,
            "logger": record.name,
            "text": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class LogFile(logging.FileHandler):
    """The end of a file; what a full disk does not take is lost, and nobody fails of it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; the file is opened with the first."""
        try:
            super().emit(record)
        except OSError:  # not opened: the next line tries again
            self.handleError(record)

    def close(self) -> None:
        """Close the file, whether its last lines find room or not."""
        with contextlib.suppress(OSError):
            super().close()


def configure(
    name: str, format: Format = "text", *, quiet: bool = False, file: Path | None = None
) -> None:
    """Set up logging for this process.

    Parameters
    ----------
    name : str
        The process's name in the cluster, in every line.
    format : {"text", "json"}
        Lines for people or JSON objects.
    quiet : bool
        Warnings and errors only.
    file : Path, optional
        Lines go to its end; without it to standard error.
    """
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    logging.raiseExceptions = False  # a line that cannot be written is no news for the terminal
    handler = logging.StreamHandler() if file is None else LogFile(file, delay=True)
    text = logging.Formatter(TEXT.format(name=name.replace("%", "%%")))
    handler.setFormatter(JsonLines(name) if format == "json" else text)
    handler.set_name(OURS)
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if handler.get_name() == OURS]:
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING if quiet else logging.INFO)
