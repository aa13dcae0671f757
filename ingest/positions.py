"""How far each feed is settled, so that a node that was killed goes on from there and not from the beginning.

The node tells what it has taken of a feed; once all of a chunk is settled the position moves behind it, which makes
a record for the ledger. Chunks behind the position are never read again; those after it are cut as they were
before, because how they are cut is remembered with the feed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingest.progress import FeedAt, FeedBegun, IngestState
from ingest.records import Refused
from ingest.sources.base import Seekable
from streammac.delivery.batch import Ticket

READ_POINTS = 1024
"""So many records are read, checked and handed over at a time, where batches are smaller."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk of a feed ends: records so far, and the source's own offset."""

    records: int
    offset: int


@dataclass(slots=True)
class _Chunk:
    """A chunk that was taken, in pieces; ``end`` once all of them were."""

    tickets: list[Ticket] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    records: int = 0
    apart: int = 0
    end: Place | None = None

    @property
    def settled(self) -> bool:
        return self.end is not None and all(ticket.settled for ticket in self.tickets)


@dataclass(frozen=True, slots=True)
class Moved:
    """A position has moved: what to write, and the dead letters on the way (before it is written)."""

    record: FeedAt
    refused: Sequence[Refused]


class Position:
    """One feed's.

    Attributes
    ----------
    source : Seekable
        The feed.
    begun : FeedBegun
        Its name and number, and how it is cut.
    at : FeedAt
        Up to where it is settled.
    taken : int
        Records taken since it began that count here, see `FeedAt`.
    """

    def __init__(self, source: Seekable, begun: FeedBegun, at: FeedAt) -> None:
        self.source = source
        self.begun = begun
        self.at = at
        self.taken = at.points
        self._chunks: deque[_Chunk] = deque()

    def take(
        self,
        ticket: Ticket,
        records: int,
        refused: Sequence[Refused],
        end: Place | None,
        apart: int = 0,
    ) -> None:
        """Take a piece of a chunk; ``end``: it is the last one. ``apart`` of its records are counted elsewhere."""
        if not self._chunks or self._chunks[-1].end is not None:
            self._chunks.append(_Chunk())
        chunk = self._chunks[-1]
        chunk.tickets.append(ticket)
        chunk.refused += refused
        chunk.records += records
        chunk.apart += apart
        chunk.end = end
        self.taken += records - apart

    def move(self) -> Moved | None:
        """Move behind the chunks that are settled; None where there is none."""
        refused: list[Refused] = []
        end, dead, apart = None, self.at.dead_lettered, self.at.apart
        while self._chunks and self._chunks[0].settled:
            chunk = self._chunks.popleft()
            refused += chunk.refused
            dead += len(chunk.refused) + sum(ticket.given_up for ticket in chunk.tickets)
            apart += chunk.apart
            end = chunk.end
        if end is None:
            return None
        self.at = FeedAt(self.begun.feed, end.records, end.offset, dead, apart)
        return Moved(self.at, refused)


class Positions:
    """Those of a node's feeds.

    Parameters
    ----------
    state : IngestState
        What the ledger knows of them.
    number : int
        The process's incarnation: feeds that begin have greater numbers.
    """

    def __init__(self, state: IngestState, number: int) -> None:
        self._state = state
        self._number = number
        self._positions: dict[str, Position] = {}
        self._replaced = state.replaced
        self._not_open = {name: feed.at for name, feed in state.feeds.items()}

    @property
    def taken(self) -> int:
        """Return the records of all feeds ever, open in this life of the node or not."""
        elsewhere = self._replaced.records + sum(at.points for at in self._not_open.values())
        return elsewhere + sum(position.taken for position in self)

    @property
    def dead_lettered(self) -> int:
        """Return how many of them are settled as dead letters."""
        feeds = [*self._not_open.values(), *(position.at for position in self)]
        return self._replaced.dead_lettered + sum(at.dead_lettered for at in feeds)

    def __iter__(self) -> Iterator[Position]:
        return iter(self._positions.values())

    def __getitem__(self, feed: str) -> Position:
        return self._positions[feed]

    def open(
        self, name: str, source: Seekable, batch_points: int, share: float
    ) -> tuple[Position, FeedBegun | None]:
        """Return a feed's position, and a record to write where the feed is new or its content is.

        Parameters
        ----------
        name : str
            What the feed is known by, from one start of the node to the next.
        source : Seekable
            The feed.
        batch_points, share
            How it is cut if it is new.
        """
        while name in self._positions:
            name += "+"  # the same feed twice
        known = self._state.feeds.get(name)
        begun = None
        if known is None or not source.continues(known.begun.identity, known.at.offset):
            self._number += 1
            points = source.chunk_points(batch_points)
            together = source.chunk_points(points * max(1, READ_POINTS // points))
            chunk = max(points, together - together % points)
            begun = FeedBegun(name, source.identity, self._number, points, share, chunk)
            position = Position(source, begun, FeedAt(name, 0, 0, 0))
        else:
            position = Position(source, known.begun, known.at)
            del self._not_open[name]
        self._positions[name] = position
        return position, begun
