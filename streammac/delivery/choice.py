"""Which worker gets the next batch: in proportion to weights, among those with credit left.

Pure decisions, so that they can be read, tested and simulated.
"""

from __future__ import annotations

from collections.abc import Iterable

from streammac.delivery.session import Session


def choose(sessions: Iterable[Session], size: int, now: float) -> Session | None:
    """Return who gets a batch of so many bytes, None where nobody has credit.

    >>> from streammac.delivery.session import SessionNumbers
    >>> a, b = (Session(w, SessionNumbers(0), is_open=True, window_bytes=10) for w in ("w1", "w2"))
    >>> a.assigned, b.assigned = 5, 3
    >>> choose([a, b], 4, now=0.0).worker
    'w2'
    """
    able = [session for session in sessions if session.takes(size, now)]
    return min(able, key=lambda session: (session.assigned, session.worker), default=None)


def joining(sessions: Iterable[Session]) -> float:
    """Return what a new worker counts as assigned: as much as the one that is furthest behind.

    It then gets its share from now on, and not everything until it has caught up.
    """
    return min((session.assigned for session in sessions), default=0.0)
