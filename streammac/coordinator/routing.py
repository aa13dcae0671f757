"""Where the feed goes: which workers take points, what share each is to get, and who has to know it.

`streammac.coordinator.balance` and `streammac.coordinator.rebalance` say what is wanted; here it is put together with
who is there: a worker that leaves or hands over points gets no new ones. The routes are announced to whoever sends
points.
"""

from __future__ import annotations

from streammac.coordinator.accounts import Accounts
from streammac.coordinator.balance import Balance
from streammac.coordinator.coordinator_actions import Tell
from streammac.coordinator.membership import Membership, address
from streammac.coordinator.moves import Moves
from streammac.coordinator.rebalance import Rebalance, Transfer
from streammac.settings.schema import Training, visit_budget
from streammac.wire.messages import EpochReport, Route, Routes

BALANCE_S = 2.0
"""Time between two checks of the shares of the feed."""


class Routing:
    """The routes of all points.

    Parameters
    ----------
    membership : Membership
        Who is there.
    moves : Moves
        Who hands over points.
    accounts : Accounts
        Which feeds have not ended: they may send a point again that somebody has already.
    training : Training
        Whether shares follow the speeds, and points move.
    """

    def __init__(
        self, membership: Membership, moves: Moves, accounts: Accounts, training: Training
    ) -> None:
        self.membership = membership
        self.moves = moves
        self.accounts = accounts
        self.training = training
        self._visited, _ = visit_budget(training.visit_budget)
        self._balance = Balance()
        self._rebalance = Rebalance()
        self._check_at = 0.0

    def weight(self, name: str) -> float:
        """Return a worker's share of the feed, relative to an equal share."""
        return self._balance.announced.get(name, 1.0)

    def routes(self) -> tuple[Route, ...]:
        """Return where points may go; to who leaves or hands over its own, only those that are its own already."""
        return tuple(
            Route(
                peer.name,
                address(peer, "data").address,
                peer.incarnation,
                0.0
                if peer.state == "draining" or self.moves.gives(peer)
                else self.weight(peer.name),
            )
            for peer in self.membership.of("worker", alive=False)
            if peer.here
        )

    def announce(self) -> list[Tell]:
        """Tell the routes to all who send points: ingest nodes, and workers that hand over theirs."""
        self._balance.forget({peer.name for peer in self.membership.of("worker")})
        routes = self.routes()
        orders = [Tell(peer.identity, Routes(routes)) for peer in self.membership.of("ingest")]
        return orders + self.moves.announcements(routes, self.accounts.open_feeds)

    def measure(self, report: EpochReport) -> None:
        """Take what a worker did in an epoch, and how long it was busy."""
        busy = report.seconds.get("train", 0.0) + report.seconds.get("z_step", 0.0)
        points = report.sums.get("points", 0.0)
        # where work does not grow with the shard, by points who has more would count as faster, and get more
        if self.training.strategy == "consensus":
            points = report.plan.iterations if points else 0.0
        elif self._visited is not None:
            points = min(points, self._visited)
        self._balance.measure(report.name, points, busy)

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
        points = {peer.name: float(peer.worker.points) for peer in peers}
        orders = self.announce() if self._balance.news(points) is not None else []
        if not self.training.rebalance or any(self.moves.moves(peer) for peer in peers):
            return orders, None
        return orders, self._rebalance.check(self._balance.speeds(points), points)
