"""From what sources and requests bring to what the node's I/O loop takes: decoding and validation.

Runs in the threads of sources and of the HTTP endpoint, so that the I/O loop only moves bytes. Nothing can
be validated before the stream's schema is agreed; the first chunk with a usable point proposes one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ingest.cutting import Origin
from ingest.parts import Parts, separate
from ingest.positions import Place
from ingest.records import Chunk
from ingest.validation import propose
from streammac.delivery.batch import Ticket
from streammac.errors import StreammacError
from streammac.wire.messages import StreamSchema

NOTHING_USABLE = StreamSchema(1, "float32")
"""Stands in where no schema is agreed and a chunk has no usable point: all of it is refused anyway."""
CHUNKS_AHEAD = 8
"""Validated chunks of feeds that may wait for the I/O loop."""


class Stopping(StreammacError):
    """The node ends: whoever waits for it is to give up."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Validated points, with the records that were refused.

    Attributes
    ----------
    parts : Parts
        What the chunk has come to.
    settled : callable, optional
        Called, in the I/O loop, with the ticket once every point has its answer.
    origin : Origin, optional
        Names the batches; without it the node counts them.
    feed : str
        The seekable feed that it is a piece of; empty: of none.
    end : Place, optional
        It is the last piece of a chunk, which ends there.
    """

    source: str
    format: str
    parts: Parts
    settled: Callable[[Ticket], None] | None = None
    origin: Origin | None = None
    feed: str = ""
    end: Place | None = None


class IngestQueue:
    """Where the node's threads hand over.

    Parameters
    ----------
    record_bytes : int
        Largest record.
    wake : callable
        Wakes the I/O loop; called from any thread.
    late : bool
        Whether targets may come later than their points.
    """

    def __init__(self, record_bytes: int, wake: Callable[[], None], *, late: bool = False) -> None:
        self._record_bytes = record_bytes
        self._late = late
        self._wake = wake
        self._agreed = threading.Event()
        self._stopping = threading.Event()
        self.schema: StreamSchema | None = None
        self.proposal: StreamSchema | None = None
        """The last one that was taken."""
        self._proposals: queue.SimpleQueue[StreamSchema] = queue.SimpleQueue()
        self.feeds: queue.Queue[Delivery] = queue.Queue(CHUNKS_AHEAD)
        self.requests: queue.SimpleQueue[Delivery] = queue.SimpleQueue()

    # -- any thread -----------------------------------------------------------------------

    def prepare(self, chunk: Chunk) -> Parts:
        """Validate a chunk; wait for the schema if none is agreed yet.

        Raises
        ------
        Stopping
            If the node ends while this waits.
        """
        prepared = self.try_prepare(chunk)
        if prepared is not None:
            return prepared
        self._agreed.wait()
        if self.schema is None:
            raise Stopping
        return separate(chunk, self.schema, self._record_bytes, late=self._late)

    def try_prepare(self, chunk: Chunk) -> Parts | None:
        """Validate a chunk; propose a schema, and return None, if there is none."""
        schema = self.schema
        if schema is None:
            proposal = propose(chunk)
            if proposal is not None:
                self._proposals.put(proposal)
                self._wake()
                return None
            schema = NOTHING_USABLE
        return separate(chunk, schema, self._record_bytes, late=self._late)

    def put(self, delivery: Delivery) -> None:
        """Hand over a chunk of a feed; waits while the node has no room (back-pressure)."""
        while not self._stopping.is_set():
            try:
                self.feeds.put(delivery, timeout=0.1)
            except queue.Full:
                continue
            self._wake()
            return
        raise Stopping

    def put_request(self, delivery: Delivery) -> None:
        """Hand over the points of a request."""
        self.requests.put(delivery)
        self._wake()

    @property
    def stopping(self) -> bool:
        """Whether the node ends."""
        return self._stopping.is_set()

    @property
    def empty(self) -> bool:
        """Whether nothing that was handed over waits for the I/O loop."""
        return self.feeds.empty() and self.requests.empty()

    # -- the I/O loop ---------------------------------------------------------------------

    def take_proposals(self) -> Iterator[StreamSchema]:
        """Yield the schemas that were proposed."""
        while not self._proposals.empty():
            self.proposal = self._proposals.get()
            yield self.proposal

    def agree(self, schema: StreamSchema) -> None:
        """Take the agreed schema."""
        self.schema = schema
        self._agreed.set()

    def stop(self) -> None:
        """Let everybody who waits give up."""
        self._stopping.set()
        self._agreed.set()
