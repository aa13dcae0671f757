"""Which of a worker's batches may go to another worker: those whose senders have closed.

A sender that has not closed may still send a batch again, or give it to somebody else. `Handover` asks; the coordinator
tells who sends (`Routes`), `Receiver` what they have said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streammac.delivery.receiver import ReceiverSession


class Closing:
    """The senders of one worker.

    Parameters
    ----------
    sessions : mapping
        `Receiver.sessions`, as it changes.
    """

    def __init__(self, sessions: Mapping[str, ReceiverSession]) -> None:
        self._sessions = sessions
        self._senders: frozenset[str] | None = None

    def tell(self, senders: Collection[str]) -> None:
        """Take the names of all who may have something under way here: those that have not ended in good order.

        The sessions of all others are over: a late copy of what they sent would not be known again once the batch is
        with another worker. Who begins while an older word is on its way goes on with the next one.
        """
        self._senders = frozenset(senders)
        for name, session in self._sessions.items():
            if name in self._senders:
                session.go_on()
            elif not session.closed and not session.ended:
                session.end()

    def forget(self) -> None:
        """Forget them: nothing goes until they are told again."""
        self._senders = None
        for session in self._sessions.values():
            session.go_on()

    @property
    def open(self) -> set[str]:
        """Those of them who have not closed."""
        return set(filter(self._is_open, self._senders or ()))

    @property
    def closed(self) -> bool:
        """Return whether all have."""
        return self._senders is not None and not self.open

    def lets_go(self, sender: str) -> bool:
        """Return whether batches that this one brought may go."""
        if self._senders is None:
            return False
        session = self._sessions.get(sender)
        if session is None:
            return sender not in self._senders
        if session.ended and sender not in self._senders:
            session.let_go = True
            return True
        return session.closed

    def _is_open(self, name: str) -> bool:
        session = self._sessions.get(name)
        return session is None or not session.closed
