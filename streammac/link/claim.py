"""A process's claim to its name in its run directory: one process has it at a time.

The claim is a lock, so it goes with its process. Its file tells the directory from all others.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from streammac.errors import ExitCode, Failure
from streammac.files.lock import Locked, lock
from streammac.run_directory import RunDirectory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process is as long as it runs.

    Attributes
    ----------
    name : str
        Its name.
    incarnation : int
        Which process of the name it is; it grows.
    home : str
        Tells its run directory from all others, copies of it included.
    """

    name: str
    incarnation: int
    home: str
    lock: IO[bytes]

    @classmethod
    def take(cls, directory: RunDirectory, name: str) -> Claim:
        """Return the claim of this process to a name.

        Raises
        ------
        Failure
            If another process of the name runs in the directory.
        """
        path = directory.processes / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = lock(path)
        except Locked:
            pid = (directory.last_announced(name) or {}).get("pid", "unknown")
            raise Failure(
                ExitCode.REFUSED,
                f"{name} runs already in {directory.root} (process {pid}) - end it, or start this one "
                "with another --name",
            ) from None
        return cls(name, directory.next_incarnation(name), _home(path, held), held)

    def release(self) -> None:
        """Let another process have the name."""
        self.lock.close()


def _home(path: Path, held: IO[bytes]) -> str:
    text = path.read_text(errors="replace")
    if not re.fullmatch("[0-9a-f]{32}", text):
        text = uuid.uuid4().hex
        try:
            held.truncate(0)
            held.write(text.encode())
            held.flush()
        except OSError as error:
            log.warning("%s: %s", path, error)
    return f"{text}-{path.stat().st_ino:x}"
