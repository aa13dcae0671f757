"""The life of an order to hand over points, from the first telling to the last batch.

`give` numbers an order (`Drain` or `Move`) and tells it to a worker. Its heartbeats say how many orders it has taken
(`MoveState.orders`): that acknowledges the order, and one that is not acknowledged in time is told again. The worker
*gives* as long as an order is not carried out, and gets no new points meanwhile. It *moves* as long as it gives or has
batches under way, and must know all routes, and who else may send to the others what it holds. If it dies,
it stays *unsettled* until its next process has read the ledger: it may have handed over a batch, and told nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streammac.coordinator.coordinator_actions import Tell
from streammac.coordinator.membership import Membership, Peer
from streammac.wire.messages import Drain, Move, Route, Routes
from streammac.wire.reports import MoveState

REPEAT_S = 5.0
"""An order that no heartbeat acknowledges is told again after so long, and so are the routes to who moves points."""


@dataclass(slots=True)
class _Orders:
    """What one process was ordered, and what it said of it last."""

    incarnation: int
    given: int = 0
    newest: Drain | Move | None = None
    told_at: float = 0.0
    announced_at: float = 0.0
    state: MoveState = field(default_factory=MoveState)

    @property
    def acknowledged(self) -> bool:
        return self.given <= self.state.orders


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """What a report has shown of a worker's orders."""

    moved: int | None
    """It has just carried out what it was ordered: points that are with others since it began."""
    announce: bool
    """Whoever sends points has to be told the routes."""
    repeat: list[Tell]
    """Then: an order that seems to be lost. Without it the worker would get no points any more."""


class Moves:
    """The orders of all workers.

    Parameters
    ----------
    membership : Membership
        Who is there.
    unsettled : iterable of str
        What `unsettled` was when the cluster last ran.

    Attributes
    ----------
    unsettled : set of str
        Workers that move points, or may have something of that under way. It outlives their processes, and has to
        be on disk before an order goes out.
    """

    def __init__(self, membership: Membership, unsettled: Iterable[str] = ()) -> None:
        self.unsettled = set(unsettled)
        self._membership = membership
        self._orders: dict[str, _Orders] = {}

    def _of(self, peer: Peer) -> _Orders:
        orders = self._orders.get(peer.name)
        if orders is None or orders.incarnation != peer.incarnation:
            orders = self._orders[peer.name] = _Orders(peer.incarnation)
        return orders

    def gives(self, peer: Peer) -> bool:
        """Return whether a worker has an order to hand over points."""
        orders = self._of(peer)
        return orders.state.giving or (peer.state != "left" and not orders.acknowledged)

    def moves(self, peer: Peer) -> bool:
        """Return whether a worker hands over points, or has something of that under way."""
        return self.gives(peer) or self._of(peer).state.handing > 0

    def give(self, peer: Peer, order: Drain | Move, now: float) -> Tell:
        """Order a worker to hand over points; the routes have to go out before."""
        orders = self._of(peer)
        orders.given = max(orders.given, orders.state.orders) + 1
        orders.newest = order
        self.unsettled.add(peer.name)
        return self._tell(peer, now)

    def hear(self, peer: Peer, now: float) -> OrderProgress:
        """Take what a worker has reported."""
        before, gave = self._standing(peer), self.gives(peer)
        if peer.worker.moves is not None:  # or it has not read its ledger yet
            self._of(peer).state = peer.worker.moves
            if self.moves(peer):
                self.unsettled.add(peer.name)
            else:
                self.unsettled.discard(peer.name)
        moved = self._of(peer).state.moved if gave and not self.gives(peer) else None
        repeat = [self._tell(peer, now)] if self._overdue(peer, now) else []
        # what it was told may have been lost, and it moves nothing before it knows the routes
        reminded = self.moves(peer) and now - self._of(peer).announced_at > REPEAT_S
        announce = self._standing(peer) != before or bool(repeat) or reminded
        if announce:
            self._of(peer).announced_at = now
        return OrderProgress(moved, announce, repeat)

    def _standing(self, peer: Peer) -> tuple[bool, bool, int, bool]:
        """Return what the routes depend on.

        A worker that has just acknowledged an order is told them once more: it had no use for them before, and may
        have forgotten them.
        """
        orders = self._of(peer).state.orders
        return self.moves(peer), self.gives(peer), orders, peer.name in self.unsettled

    def _overdue(self, peer: Peer, now: float) -> bool:
        orders = self._of(peer)
        return not orders.acknowledged and now - orders.told_at > REPEAT_S

    def _tell(self, peer: Peer, now: float) -> Tell:
        orders = self._of(peer)
        assert orders.newest is not None
        orders.told_at = now
        return Tell(peer.identity, orders.newest)

    def announcements(self, routes: tuple[Route, ...], feeds: set[str]) -> list[Tell]:
        """Tell all who move points where these may go, and who else may send them there.

        Parameters
        ----------
        routes : tuple of Route
            All workers.
        feeds : set of str
            Ingest nodes that have not ended in good order.
        """
        movers = [p for p in self._membership.of("worker", alive=False) if self.moves(p)]
        senders = feeds | self.unsettled
        return [
            Tell(mover.identity, Routes(routes, tuple(sorted(senders - {mover.name}))))
            for mover in movers
            if mover.here
        ]
