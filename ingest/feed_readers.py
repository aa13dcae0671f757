"""The node's feeds: opened by URI, then read to their ends by a thread each, which hands over to the `IngestQueue`.

The I/O loop starts them and asks how far they are. A feed that fails ends alone, and others go on: whatever a source
raises is its own fault. Any other failure of a reader is the node's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ingest.cutting import Origin
from ingest.ingest_queue import Delivery, IngestQueue, Stopping
from ingest.positions import Place, Position
from ingest.records import Chunk, pieces
from ingest.refusals import Refusals
from ingest.sources import Source, SourceError, open_source
from ingest.sources.base import Seekable, seekable
from streammac.points.batch_id import BatchId
from streammac.settings.schema import Settings
from streammac.threads import VitalThread
from streammac.wire.reports import Trouble

log = logging.getLogger(__name__)

SHOWN = 500
"""Characters of a failure that are told to the coordinator; the log has all of it."""
Item = TypeVar("Item")


class FeedReaders:
    """All feeds of one node.

    Parameters
    ----------
    node : str
        The node's name, which names the batches of feeds that can be read again.
    ingest_queue : IngestQueue
        Takes what they bring.
    settings : Settings
        Size of batches, and how long standard input may linger.
    wake : callable
        Wakes the I/O loop when a feed has ended; called from any thread.
    """

    def __init__(
        self, node: str, ingest_queue: IngestQueue, settings: Settings, wake: Callable[[], None]
    ) -> None:
        self._node = node
        self._ingest_queue = ingest_queue
        self._settings = settings.ingest
        self._wake = wake
        self._sources: list[Source] = []
        self._readers: list[VitalThread] = []
        self._refusals = Refusals()
        self.failures: list[str] = []
        """Which feeds have failed, and why."""

    def start(self, uris: Sequence[str], place: Callable[[str, Seekable], Position]) -> None:
        """Open feeds, and read them once all of them are open.

        Parameters
        ----------
        uris : sequence of str
            Their URIs.
        place : callable
            Tells where a feed of this name is to be read from.

        Raises
        ------
        SourceError
            Naming what is wrong.
        """
        sources = [open_source(uri, self._settings.linger_s) for uri in uris]
        self._sources = sources
        for uri, source in zip(uris, sources, strict=True):
            found = seekable(source)
            if found is None:
                deliveries = self._stream(source)
            else:
                # by its name alone: another rate or limit does not make it another feed
                deliveries = self._from_place(place(uri.partition("?")[0], found))
            reader = VitalThread(source.name, partial(self._read, deliveries))
            self._readers.append(reader)
            reader.start()

    @property
    def ended(self) -> bool:
        """Whether there are feeds and all of them are read to their ends."""
        return bool(self._sources) and not any(reader.is_alive() for reader in self._readers)

    def troubles(self) -> list[Trouble]:
        """Return what is wrong with feeds."""
        refused = self._refusals.said(ended=self.ended)
        return [
            *(Trouble("feed_failed", text) for text in self.failures),
            *(Trouble("feed_refused", text) for text in refused),
        ]

    def join(self, patience_s: float) -> None:
        """Wait until nobody reads any more, or for so long."""
        end = time.monotonic() + patience_s
        for reader in self._readers:
            reader.join(max(0.0, end - time.monotonic()))

    # -- the readers' threads -------------------------------------------------------------

    def _read(self, deliveries: Iterator[Delivery]) -> None:
        """Read a feed to its end."""
        try:
            for delivery in deliveries:
                self._ingest_queue.put(delivery)
                if self._ingest_queue.stopping:
                    return
        except Stopping:
            return
        except SourceError as error:
            log.error("a feed failed: %s", error, exc_info=error.__cause__)
            self.failures.append(str(error)[:SHOWN])
        finally:
            self._wake()

    def _stream(self, source: Source) -> Iterator[Delivery]:
        """Yield what a feed brings that can be read only once."""
        for chunk in _own(source.name, source.chunks(self._settings.batch_points)):
            for piece in pieces(chunk):
                yield self._delivery(source, piece)

    def _from_place(self, position: Position) -> Iterator[Delivery]:
        """Yield what a seekable feed brings from its position on."""
        begun, source, records = position.begun, position.source, position.at.records
        chunk_points = begun.chunk_points or begun.batch_points
        places = source.places(chunk_points, position.at.offset, records)
        for chunk, offset in _own(source.name, places):
            end = Place(records + len(chunk), offset)
            for piece in pieces(chunk):
                first = BatchId.of_feed(self._node, begun.number, records)
                origin = Origin(first, begun.batch_points, begun.share, records, durable=True)
                records += len(piece)
                yield replace(
                    self._delivery(source, piece),
                    origin=origin,
                    feed=begun.feed,
                    end=end if records == end.records else None,
                )

    def _delivery(self, source: Source, piece: Chunk) -> Delivery:
        parts = self._ingest_queue.prepare(piece)
        self._refusals.count(source.name, len(piece), parts.refused)
        return Delivery(source.name, source.format, parts)


def _own(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """Yield what a source does; whatever it raises becomes a `SourceError`."""
    try:
        yield from items
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{name}: {type(error).__name__}: {error}") from error
