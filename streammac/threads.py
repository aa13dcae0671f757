"""Threads that a process cannot do without: when one of them fails, the process ends.

A thread that dies by itself leaves a process behind that looks alive and does only part of its work. Whoever
supervises the process starts it again instead, and what is on disk is made for that.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable

from streammac.errors import ExitCode

log = logging.getLogger(__name__)

TURN_S = 0.0005
"""So long a thread keeps the interpreter that others want."""


def take_short_turns() -> None:
    """Let the I/O loop have the interpreter soon, whatever other threads compute.

    It gives it up with each call of the kernel. By default it would then wait up to 5 ms to get it back, many times
    for one batch.
    """
    sys.setswitchinterval(TURN_S)


class VitalThread(threading.Thread):
    """A thread whose failure ends its process, with the reason in the log.

    Parameters
    ----------
    name : str
        For the log.
    work : callable
        What it does; to return is to be done.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work

    def run(self) -> None:
        """Do the work."""
        try:
            self._work()
        except BaseException as error:  # a SystemExit, too: in a thread nobody would hear of it
            said = f"{type(error).__name__}: {error}"
            log.critical(
                "the thread %s failed, the process ends: %s", self.name, said, exc_info=True
            )
            end_process()


def end_process() -> None:
    """End this process at once: other threads may wait for the one that failed."""
    logging.shutdown()
    os._exit(ExitCode.UNEXPECTED)
