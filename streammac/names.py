"""Names of processes: what command line, files and messages take for one.

A name is part of paths, addresses and pages: letters, digits and ``. _ -``, a letter or a digit first.
"""

from __future__ import annotations

import re

from streammac.errors import StreammacError

MOST_CHARACTERS = 64
RESERVED = ("coordinator", "supervisor")
"""Taken by processes of which a cluster has one."""
PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MOST_CHARACTERS - 1}}}\Z"


class BadName(StreammacError, ValueError):
    """A text is no name."""


def check_name(name: str) -> str:
    """Return a name as it is.

    Raises
    ------
    BadName
        If it is none.

    >>> check_name("w1")
    'w1'
    >>> check_name("../w1")
    Traceback (most recent call last):
    ...
    streammac.names.BadName: name: expected up to 64 letters, digits, . _ - (the first no . _ -), got '../w1'
    """
    if name in RESERVED:
        raise BadName(f"name: {name!r} is taken - use another one")
    if re.match(PATTERN, name):
        return name
    shown = name if len(name) <= MOST_CHARACTERS else name[:MOST_CHARACTERS] + "..."
    raise BadName(
        f"name: expected up to {MOST_CHARACTERS} letters, digits, . _ - (the first no . _ -), got {shown!r}"
    )


def plain(text: str, otherwise: str) -> str:
    """Return a text with nothing in it that a name may not have; ``otherwise`` if nothing is left.

    >>> plain("Anna's host", "host"), plain("!", "host")
    ('Anna-s-host', 'host')
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:MOST_CHARACTERS] or otherwise
