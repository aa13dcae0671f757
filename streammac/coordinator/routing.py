"""Where the feed goes: which workers take points, what share each is to get, and who has to know it.

`streammac.coordinator.balance` and `streammac.coordinator.rebalance` say what is wanted; here it is put together with
who is there: a worker that leaves or hands over points gets no new ones, and whoever sends points is told.
"""

from __future__ import annotations

from streammac.coordinator.accounts import Accounts
from streammac.coordinator.balance import Balance
from streammac.coordinator.coordinator_actions import Tell
from streammac.coordinator.membership import Membership, Peer, address
from streammac.coordinator.rebalance import Rebalance, Transfer
from streammac.settings.schema import Training
from streammac.wire.messages import Drain, EpochReport, Move, Route, Routes

BALANCE_S = 2.0
"""Time between two looks at the shares of the feed."""


class Routing:
    """The routes of all points.

    Parameters
    ----------
    membership : Membership
        Who is there.
    accounts : Accounts
        Who may send a point again that somebody has already.
    training : Training
        Whether shares follow the speeds, and points move.
    """

    def __init__(self, membership: Membership, accounts: Accounts, training: Training) -> None:
        self.membership = membership
        self.accounts = accounts
        self.training = training
        self._balance = Balance()
        self._rebalance = Rebalance()
        self._check_at = 0.0

    def weight(self, name: str) -> float:
        """Return a worker's share of the feed, relative to an equal share."""
        return self._balance.told.get(name, 1.0)

    def routes(self) -> tuple[Route, ...]:
        """Return where points may go; to who leaves or hands over its own, only those that are its own already."""
        return tuple(
            Route(
                peer.name,
                address(peer, "data").address,
                peer.incarnation,
                0.0 if peer.state == "draining" or peer.giving else self.weight(peer.name),
            )
            for peer in self.membership.of("worker", alive=False)
            if peer.here
        )

    def tell(self) -> list[Tell]:
        """Tell the routes to all who send points: ingest nodes, and workers that hand over theirs."""
        self._balance.forget({peer.name for peer in self.membership.of("worker")})
        routes = self.routes()
        orders = [Tell(peer.identity, Routes(routes)) for peer in self.membership.of("ingest")]
        movers = [p for p in self.membership.of("worker", alive=False) if p.moves]
        senders = self.accounts.unsettled() | {peer.name for peer in movers}
        for peer in movers:
            if peer.here:
                others = Routes(routes, tuple(sorted(senders - {peer.name})))
                orders.append(Tell(peer.identity, others))
        return orders

    def let_move(self, peer: Peer, order: Drain | Move, now: float) -> list[Tell]:
        """Have a worker hand over points."""
        peer.give_order(order, now)
        self.accounts.may_hand(peer.name)
        return self.tell_mover(peer)

    def tell_mover(self, peer: Peer) -> list[Tell]:
        """Tell a worker its order to hand over points, and first all that it has to know for that."""
        assert peer.order is not None
        return [*self.tell(), Tell(peer.identity, peer.order)]

    def measure(self, report: EpochReport) -> None:
        """Take what a worker did in an epoch, and how long it was busy."""
        busy = report.seconds.get("train", 0.0) + report.seconds.get("z_step", 0.0)
        self._balance.measure(report.name, report.sums.get("points", 0.0), busy)

    def check(self, now: float) -> tuple[list[Tell], Transfer | None]:
        """Give more to those who are fast, less to those who have too much already; asked regularly.

        Returns
        -------
        orders : list of Tell
            New routes, where shares have changed.
        transfer : Transfer or None
            What should move besides.
        """
        if now < self._check_at or self.training.deterministic:
            return [], None
        self._check_at = now + BALANCE_S
        peers = self.membership.of("worker")
        points = {peer.name: peer.facts.get("points", 0.0) for peer in peers}
        orders = self.tell() if self._balance.news(points) is not None else []
        if not self.training.rebalance or any(peer.moves for peer in peers):
            return orders, None
        return orders, self._rebalance.check(self._balance.speeds(points), points)
