"""Where points go, who is told, and what is moved."""

from __future__ import annotations

import pytest

from streammac.coordinator.accounts import Accounts
from streammac.coordinator.membership import Membership
from streammac.coordinator.moves import Moves
from streammac.coordinator.rebalance import PATIENCE, Transfer
from streammac.coordinator.routing import BALANCE_S, Routing
from streammac.settings.schema import Training
from streammac.wire.messages import EpochPlan, EpochReport, Heartbeat, Move, Register
from streammac.wire.reports import IngestReport, ShardCounts, WorkerReport


def routing(points: tuple[int, int] = (100, 100), **training) -> Routing:
    """Two workers with so many points, and an ingest node."""
    stored = dict(zip(("w1", "w2"), points, strict=True))
    membership = Membership(heartbeat_s=1.0)
    for name in ("w1", "w2", "i1"):
        role = "ingest" if name == "i1" else "worker"
        register = Register(role, name, 1, 11, "here", {"data": f"data of {name}"})
        membership.register(name.encode(), register, now=0.0)
        peer = membership.peers[name]
        membership.hear(
            peer, Heartbeat(name, 1, WorkerReport(shard=ShardCounts(stored.get(name, 0)))), now=0.0
        )
    return Routing(membership, Moves(membership), Accounts(), Training(**training))


def works(routes: Routing, name: str, busy: float, iterations: int = 0) -> None:
    plan = EpochPlan(iterations=iterations)
    routes.measure(
        EpochReport(
            view=1,
            epoch=0,
            plan=plan,
            following=plan,
            trainers=("w1", "w2"),
            name=name,
            mu=1.0,
            sums={"points": float(routes.membership.peers[name].worker.points)},
            seconds={"train": busy / 2, "z_step": busy / 2, "wait": 9.0},
            tensors={},
        )
    )


def weights(routes: Routing) -> dict[str, float]:
    return {route.name: route.weight for route in routes.routes()}


def test_all_workers_get_the_same_at_first():
    routes = routing()
    assert weights(routes) == {"w1": 1.0, "w2": 1.0}
    assert [route.address for route in routes.routes()] == ["data of w1", "data of w2"]
    assert [order.identity for order in routes.announce()] == [b"i1"]


def test_who_leaves_gets_nothing_and_who_is_gone_is_no_route():
    routes = routing()
    routes.membership.peers["w1"].state = "draining"
    routes.membership.peers["w2"].state = "lost"
    assert weights(routes) == {"w1": 0.0}


def test_who_hands_over_points_gets_nothing_and_is_told_who_sends():
    routes = routing()
    routes.accounts.count_feed("i1", 1, IngestReport(sent=1))
    routes.moves.give(routes.membership.peers["w1"], Move(50, ("w2",)), now=1.0)
    assert weights(routes) == {"w1": 0.0, "w2": 1.0}
    announced = routes.announce()
    assert {one.identity: one.message.senders for one in announced} == {b"i1": (), b"w1": ("i1",)}


@pytest.mark.parametrize("training", [{"strategy": "consensus"}, {"visit_budget": "100"}])
def test_who_does_as_much_as_others_is_not_faster_for_its_points(training):
    routes = routing((900, 100), **training)
    for name in ("w1", "w2"):
        works(routes, name, busy=1.0, iterations=32)
    routes.check(1.0)
    assert weights(routes)["w1"] < 0.2


def test_who_makes_steps_on_no_points_is_not_fast():
    routes = routing((100, 0), strategy="consensus")
    works(routes, "w1", busy=1.0, iterations=32)
    works(routes, "w2", busy=1e-6, iterations=32)
    routes.check(1.0)
    assert weights(routes)["w1"] > 0.05


def test_who_is_faster_gets_more():
    routes = routing()
    works(routes, "w1", busy=3.0)
    works(routes, "w2", busy=1.0)
    told, transfer = routes.check(1.0)
    assert [order.identity for order in told] == [b"i1"]
    assert transfer is None
    assert routes.weight("w2") > 1.4 > 0.6 > routes.weight("w1")
    sent = {route.name: route.weight for route in told[0].message.workers}
    assert sent == weights(routes) == {name: routes.weight(name) for name in ("w1", "w2")}
    assert routes.check(1.0 + BALANCE_S / 2) == ([], None)


def test_a_deterministic_run_shares_out_nothing():
    routes = routing(deterministic=True, rebalance=True)
    works(routes, "w1", busy=3.0)
    assert routes.check(1.0) == ([], None)


@pytest.mark.parametrize("wanted", [True, False])
def test_points_move_if_that_is_wanted_and_nobody_moves_any(wanted):
    routes = routing(rebalance=wanted)
    works(routes, "w1", busy=9.0)
    works(routes, "w2", busy=1.0)
    looks = [routes.check(1.0 + BALANCE_S * check)[1] for check in range(PATIENCE)]
    assert looks[:-1] == [None] * (PATIENCE - 1)
    assert looks[-1] == (Transfer("w1", 80, ("w2",)) if wanted else None)
