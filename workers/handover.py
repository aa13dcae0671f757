"""A worker's points on their way to other workers: orders and connections round `streammac.delivery.handover`.

The worker's I/O loop passes on the coordinator's orders (`Drain`, `Move`) and routes, and calls `turn`. What a
former life of the worker had begun is brought to an end without an order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from streammac.delivery.closing import Closing
from streammac.delivery.handover import Handover
from streammac.delivery.ledger import Ledger
from streammac.delivery.receiver import ReceiverSession
from streammac.delivery.records import State
from streammac.delivery.scan import Shards, Wanted
from streammac.delivery.sender import Post
from streammac.settings.schema import Settings
from streammac.store import StoreError
from streammac.wire.codec import Message
from streammac.wire.messages import Ack, Credit, Route, Routes
from streammac.wire.reports import MoveState

log = logging.getLogger(__name__)

MOVE_S = 60.0
"""A worker that stays hands over points for so long at most, and goes on as before."""


class Sockets(Protocol):
    """Connections to other workers: `streammac.delivery.worker_sockets.WorkerSockets`."""

    @property
    def malformed(self) -> int:
        """What arrived and was no message."""
        ...

    def connect(self, routes: Iterable[Route]) -> None:
        """Reach these workers, and nobody else."""
        ...

    def post(self, posts: Iterable[Post]) -> None:
        """Send messages; each may be lost."""
        ...

    def receive(self, ready: Mapping[object, int]) -> Iterator[tuple[str, Message]]:
        """Yield what has arrived, with the worker's name."""
        ...


class Mover:
    """The moving of one worker, whose shards are open.

    Parameters
    ----------
    name : str
        The worker's name.
    incarnation : int
        Of its process; greater at every start.
    settings : Settings
        The cluster's.
    shards : Shards
        What is moved, see `Handover`.
    sessions : mapping
        Those of its `Receiver`.
    ledger : Ledger
        Its own, open.
    sockets : Sockets
        Its own, to no one yet.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        settings: Settings,
        shards: Shards,
        sessions: Mapping[str, ReceiverSession],
        ledger: Ledger[State],
        sockets: Sockets,
    ) -> None:
        self.closing = Closing(sessions)
        self.orders = 0
        self._ledger = ledger
        self._core = Handover(
            name,
            incarnation,
            settings.ingest.resend_s,
            settings.ingest.window_bytes,
            shards,
            ledger,
        )
        self._sockets = sockets
        self._is_connected = False
        self._ordered = False
        self._until: float | None = None  # of a worker that goes on afterwards
        self._trouble = ""

    # -- orders ---------------------------------------------------------------------------

    def route(self, routes: Routes) -> None:
        """Take the workers that there are now, and who else sends here."""
        self.closing.tell(routes.senders)
        self._connect([route for route in routes.workers if route.name != self._core.name])

    def _connect(self, routes: Sequence[Route]) -> None:
        self._sockets.connect(routes)
        self._is_connected = bool(routes)
        self._core.route(routes)

    def give_all(self) -> None:
        """Hand over everything, to any."""
        self._begin(Wanted(self.closing))

    def give(self, points: int, to: tuple[str, ...], now: float) -> None:
        """Hand over so many points to these workers."""
        self._begin(Wanted(self.closing, to, points))
        self._until = now + MOVE_S

    def _begin(self, wanted: Wanted | None) -> None:
        self.orders += 1
        self._ordered, self._until = True, None
        self._core.order(wanted)

    def wait_for_closing(self) -> None:
        """Hand over nothing: the order was to give points up, once nobody will send them again."""
        self._begin(None)

    def stop(self) -> None:
        """Hand over no more."""
        self._ordered, self._until = False, None
        self._core.order(None)

    @property
    def done(self) -> bool:
        """Return whether everything is with others."""
        return self._core.done

    @property
    def reads(self) -> bool:
        """Return whether nothing may expire for now."""
        return self._core.reads

    # -- the turn -------------------------------------------------------------------------

    def step(self, ready: Mapping[object, int], now: float) -> None:
        """Take answers, and send what is due."""
        self._take(self._sockets.receive(ready), now)
        try:
            posts = self._core.step(now)
        except (OSError, StoreError) as error:
            if str(error) != self._trouble:
                log.error("nothing is moved at present: %s", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        self._sockets.post(posts)
        if self._until is not None and (self._core.done or now > self._until):
            self.stop()
        if not self._ordered and self._core.idle and self._is_connected:
            self._connect(())
            self.closing.forget()

    def _take(self, arrived: Iterator[tuple[str, object]], now: float) -> None:
        for worker, message in arrived:
            if isinstance(message, Credit):
                self._core.credit(worker, message)
            elif isinstance(message, Ack):
                if message.outcome == "refused":
                    log.warning("%s refused a batch: %s", worker, message.reason)
                self._core.acknowledge(worker, message, now)

    # -- report and the end ---------------------------------------------------------------

    @property
    def malformed(self) -> int:
        """What came from other workers and was no message."""
        return self._sockets.malformed

    @property
    def state(self) -> MoveState:
        """How far it is, for heartbeats and the goodbye."""
        return MoveState(
            orders=self.orders,
            giving=self._ordered,
            handing=len(self._ledger.state.handed) + self._core.in_doubt,
            moved=self._core.moved,
            in_doubt=self._core.in_doubt,
        )

    def close(self) -> None:
        """Release sockets and ledger."""
        self._sockets.connect(())
        self._ledger.close()
