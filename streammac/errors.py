"""The root of all exceptions, the exit codes of ``streammac``, and the exception by which a command ends with one.

Commands and the supervisor raise `Failure`; `streammac.cli.app.main` prints its message and exits.
"""

from __future__ import annotations

from enum import IntEnum


class StreammacError(Exception):
    """What this project raises: the message says what is wrong, and where it can, what to do."""


class ExitCode(IntEnum):
    """What the exit status of a command means (docs/cli.md)."""

    OK = 0
    UNEXPECTED = 1
    """An error in streammac itself: the message names a file with its traceback, please report it."""
    USAGE = 2
    """The command line is wrong."""
    CONFIGURATION = 3
    """A setting is wrong; the message names where it comes from and what is expected."""
    NOT_RUNNING = 4
    """No cluster runs there or it does not answer, or one runs where none may."""
    PROCESS_DIED = 5
    """A process of the cluster ended by itself; the rest was stopped in good order."""
    BAD_INPUT = 6
    """A source, file or version that was named is not there or not usable, or the disk takes nothing."""
    REFUSED = 7
    """The cluster runs, but does not do what it was asked; the message says why."""
    NOT_KEPT = 8
    """``streammac chaos``: the cluster did not keep a promise; the report says which."""


class Failure(StreammacError):
    """A command cannot do what it was asked; the message says why and what to do."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code
