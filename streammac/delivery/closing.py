"""Which of a worker's batches may go to another worker: those whose senders have closed.

A sender that has not closed may still send a batch again, or give it to somebody else. `Handover` asks; the coordinator
tells who sends (`Routes`), `Reception` what they have said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streammac.delivery.reception import Session


class Closing:
    """The senders of one worker.

    Parameters
    ----------
    sessions : mapping
        `Reception.sessions`, as it changes.
    """

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions
        self._feeds: frozenset[str] | None = None
        self._movers: frozenset[str] = frozenset()

    def tell(self, feeds: Collection[str], movers: Collection[str]) -> None:
        """Take the names of all who may have something under way here.

        Parameters
        ----------
        feeds : collection of str
            Ingest nodes that have not ended in good order. Their batches bear their names.
        movers : collection of str
            Workers that hand over batches, which bear the names of others.
        """
        self._feeds, self._movers = frozenset(feeds), frozenset(movers)

    @property
    def open(self) -> set[str]:
        """Who has not closed."""
        return {name for name in (self._feeds or frozenset()) | self._movers if self._is_open(name)}

    @property
    def closed(self) -> bool:
        """Return whether all have."""
        return self._feeds is not None and not self.open

    def lets_go(self, source: str) -> bool:
        """Return whether batches of this source may go."""
        if self._feeds is None or any(map(self._is_open, self._movers)):
            return False
        return source not in self._feeds or not self._is_open(source)

    def _is_open(self, name: str) -> bool:
        session = self._sessions.get(name)
        return session is None or not session.closed
