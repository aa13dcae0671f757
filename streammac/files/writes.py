"""Small files that a process writes while it runs: a disk that takes nothing ends nobody.

Supervisor and coordinator write all theirs through `Writes`. What cannot be written waits, the newest of each file, and
is tried again; whoever runs the process hears when it begins and when it is over. What must not be said before it is on
disk asks `Writes.do` whether it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

RETRY_S = 1.0
"""Time between two attempts."""
Kind = Literal["disk_full", "disk_room"]


class Writes:
    """The writes of one process.

    Parameters
    ----------
    tell : callable
        Is given ``disk_full`` and the reason when writes begin to fail, ``disk_room`` when all are done.
    clock : callable
        Monotonic, s.

    Attributes
    ----------
    trouble : str
        What cannot be written at present and why; empty: nothing.
    """

    def __init__(
        self, tell: Callable[[Kind, str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._waiting: dict[str, Callable[[], object]] = {}
        self._again_at = 0.0
        self.trouble = ""

    def do(self, what: str, write: Callable[[], object]) -> bool:
        """Write a file, if not now then later in place of an older content; return whether it is written."""
        self._waiting[what] = write
        self.retry()
        return what not in self._waiting

    def retry(self) -> None:
        """Try again what waits, when it is time to; call it often."""
        if not self._waiting or self._clock() < self._again_at:
            return
        failed = ""
        for what, write in list(self._waiting.items()):
            try:
                write()
            except OSError as error:
                failed = failed or f"{what} cannot be written: {error.strerror or error}"
            else:
                del self._waiting[what]
        before, self.trouble = self.trouble, failed
        if failed:
            self._again_at = self._clock() + RETRY_S
        if failed and not before:
            self._tell("disk_full", failed)
        elif before and not failed:
            self._tell("disk_room", "everything that could not be written is on disk now")
