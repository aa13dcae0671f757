"""A lock that goes with its process: the kernel releases it, however the process ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from streammac.errors import StreammacError


class Locked(StreammacError):
    """Another process holds the lock; the message says of what, and what to do."""


def lock(path: Path, refusal: str = "", *, wait: bool = False) -> IO[bytes]:
    """Take the lock that a file stands for; it is held until the returned file is closed.

    A child process that inherits the file holds the lock with its parent.

    Parameters
    ----------
    path : Path
        The file; made if need be.
    refusal : str
        Message of the error.
    wait : bool
        Whether to wait until the lock is free.

    Raises
    ------
    Locked
        If it is taken.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        raise Locked(refusal or f"{path}: another process holds this lock") from None
    return file
