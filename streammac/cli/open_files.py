"""How many files and sockets a process may have open: as many as the system lets it ask for.

The commands that start a process call `allow_many` once. The usual soft limit of 1,024 is kept low for programs that
use ``select``; nothing here does, and every worker, client and HTTP connection takes a socket.
"""

from __future__ import annotations

import resource


def allow_many() -> int:
    """Raise the soft limit to the hard one; return the limit that holds now, -1 for none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # some systems do not allow even their own hard limit
        return soft
    return hard
