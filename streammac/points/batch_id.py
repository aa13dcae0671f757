"""The name of a batch, and how records number batches.

Records that are counted together share ``source`` and ``incarnation``:

=========  ==============  ==========================  ==============================================
they are   ``source``      ``incarnation``             number of a record
=========  ==============  ==========================  ==============================================
of a feed  the node's      below 0: minus the number   counted since the feed began
           name            of the feed
of pushes  the client's    the client's                ``PUSH_POINTS`` times the push's number, and
           name                                        the row in it
of what    the node's      the process's               counted since the process began
is read    name
only once
=========  ==============  ==========================  ==============================================

A batch is named after its first record: ``sequence`` is twice that one's number, and one more if its points are held
out. So whoever cuts the same records again gets the same names again.
"""

from __future__ import annotations

from typing import NamedTuple

PUSH_POINTS = 1 << 23
"""Most points of a push: their rows are the lower part of their numbers."""
MAX_PUSH = 1 << 39
"""Numbers of pushes are below, for the same reason."""


class BatchId(NamedTuple):
    """The name of a batch, for ever: what comes again under it is a duplicate.

    Sequences of one ``(source, incarnation)`` may arrive in any order and with gaps: a source spreads its
    batches over several shards.

    >>> first = BatchId.of_push("c", 1, push=2)
    >>> batch_id = first.later(5, held_out=True)
    >>> batch_id.record - first.record, batch_id.is_held_out, batch_id.feed
    (5, True, None)
    >>> BatchId.of_feed("i1", 7, record=0).feed
    7
    """

    source: str
    incarnation: int
    sequence: int

    @classmethod
    def of_feed(cls, node: str, feed: int, record: int) -> BatchId:
        """Return the batch that begins with a record of a feed, whose number is above 0."""
        return cls(node, -feed, 2 * record)

    @classmethod
    def of_push(cls, client: str, incarnation: int, push: int) -> BatchId:
        """Return the first batch of a client's push: the same whichever process takes it."""
        return cls(client, incarnation, 2 * push * PUSH_POINTS)

    @classmethod
    def of_stream(cls, node: str, incarnation: int, record: int) -> BatchId:
        """Return the batch that begins with a record that this process has read, and no other will."""
        return cls(node, incarnation, 2 * record)

    def later(self, records: int, *, held_out: bool) -> BatchId:
        """Return the batch that begins so many records later."""
        return self._replace(sequence=2 * (self.record + records) + held_out)

    @property
    def record(self) -> int:
        """Number of its first record."""
        return self.sequence // 2

    @property
    def is_held_out(self) -> bool:
        """Whether its points are held out."""
        return bool(self.sequence % 2)

    @property
    def feed(self) -> int | None:
        """Number of the feed that it is of; None: it is of none."""
        return -self.incarnation if self.incarnation < 0 else None
