"""Which messages are believed: those that come from the lines of the view's members.

A transport that knows from which line a message came asks here. What unknown lines send is kept for a moment: who hears
of a view first may send before we hear of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from workers.transports.base import RingMessage

STRANGERS = 100
"""Messages of unknown lines that are kept until the next view."""


class KnownLines:
    """The lines of the members of the view.

    Parameters
    ----------
    own : str
        What the other members know this one by. Without it, everybody is believed.

    Attributes
    ----------
    refused : int
        Messages of others that have come so far.
    """

    def __init__(self, own: str) -> None:
        self.refused = 0
        self._everybody = not own
        self._lines: frozenset[str] = frozenset()
        self._strangers: deque[tuple[str, RingMessage]] = deque(maxlen=STRANGERS)

    def renew(self, lines: Collection[str]) -> list[RingMessage]:
        """Take the lines of a new view; return what came from them before it."""
        self._lines = frozenset(lines)
        admitted = [message for line, message in self._strangers if line in self._lines]
        self._strangers.clear()
        return admitted

    def admit(self, line: str, message: RingMessage) -> bool:
        """Return whether a message is believed; one that is not is counted, and kept until the next view."""
        if self._everybody or line in self._lines:
            return True
        self.refused += 1
        self._strangers.append((line, message))
        return False
