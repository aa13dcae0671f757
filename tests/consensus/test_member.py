"""Whatever the order of messages: weights are doubly stochastic, averages stay, all go on, and periods connect all."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.consensus.graph import complete, exponential, ring
from streammac.consensus.rules import Backups, Threshold
from tests.consensus.cluster import Cluster

RULES = st.sampled_from([Backups(0), Backups(1), Backups(2), Threshold()])
GRAPHS = st.sampled_from([complete, exponential, ring])
EVENTS = 300
few = settings(max_examples=25)


def names(count: int) -> list[str]:
    return [f"w{number}" for number in range(count)]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Cluster, random.Random]:
    cluster = Cluster(names(draw(st.integers(1, 6))), draw(GRAPHS), draw(RULES))
    return cluster, random.Random(draw(st.integers(0, 1 << 32)))


def check_weights(cluster: Cluster) -> None:
    for found in cluster.weights.values():
        for name, weights in found.items():
            assert sum(weights.values()) < 1
            for other, weight in weights.items():
                assert found[other][name] == weight > 0


@few
@given(clusters())
def test_both_ends_agree_and_the_average_stays(made: tuple[Cluster, random.Random]):
    cluster, chance = made
    before = cluster.total()[0]
    cluster.run(chance.randrange, EVENTS)
    cluster.settle(chance.randrange)
    check_weights(cluster)
    np.testing.assert_allclose(cluster.total(), [before, cluster.made], rtol=1e-12)


@few
@given(clusters())
def test_all_go_on_for_ever(made: tuple[Cluster, random.Random]):
    cluster, chance = made
    assert cluster.run(chance.randrange, EVENTS) == EVENTS
    least = min(member.iteration for member in cluster.members.values())
    cluster.run(chance.randrange, EVENTS * len(cluster.members))
    assert min(member.iteration for member in cluster.members.values()) > least


@few
@given(clusters())
def test_all_agree_in_the_end(made: tuple[Cluster, random.Random]):
    """Without steps that pull them apart, all values become the same."""
    cluster, chance = made
    mean = cluster.total()[0] / len(cluster.members)
    for _ in range(40):
        cluster.run(chance.randrange, 200 * len(cluster.members))
        if all(abs(member.w[0] - mean) < 0.1 for member in cluster.members.values()):
            return
    raise AssertionError("they stay apart")


@few
@given(st.integers(2, 6), GRAPHS, st.integers(0, 1 << 32))
def test_a_period_connects_all(count: int, graph, seed: int):
    """Between the ends of two periods, wherever they end first, each edge of the path has been used."""
    cluster, chance = Cluster(names(count), graph, Threshold()), random.Random(seed)
    path = set(pairwise(cluster.members))
    periods = 0
    for _ in range(1000):
        cluster.run(chance.randrange, 1)
        number = max(member.period.number for member in cluster.members.values())
        if number > periods:
            periods = number
            found = [pair for one in cluster.weights.values() for pair in one.items()]
            assert path <= {(name, other) for name, weights in found for other in weights}
            cluster.weights.clear()
    assert periods > 0


@few
@given(clusters(), st.data())
def test_who_hangs_is_averaged_late_and_nothing_is_lost(made, data: st.DataObject):
    cluster, chance = made
    before = cluster.total()[0]
    for _ in range(4):
        cluster.run(chance.randrange, data.draw(st.integers(0, 60)))
        cluster.hangs = set(data.draw(st.sets(st.sampled_from(list(cluster.members)), max_size=2)))
        cluster.run(chance.randrange, 60)
        for name in sorted(set(cluster.members) - cluster.hangs):
            for _ in range(data.draw(st.integers(0, 2))):
                cluster.overdue(name)
    cluster.hangs = set()
    assert cluster.run(chance.randrange, EVENTS) == EVENTS
    for _ in range(3):  # what is owed is paid when an iteration ends
        cluster.run(chance.randrange, EVENTS)
        cluster.settle(chance.randrange)
    np.testing.assert_allclose(cluster.total(), [before, cluster.made], rtol=1e-12)


@pytest.mark.parametrize("rule", [Backups(0), Backups(1), Threshold()], ids=str)
def test_who_hangs_stops_nobody_who_is_told_to_go_on(rule):
    cluster, chance = Cluster(names(4), ring, rule), random.Random(1)
    cluster.run(chance.randrange, 100)
    cluster.hangs = {"w1"}
    for _ in range(30):
        cluster.run(chance.randrange, 100)
        for name in ("w0", "w2", "w3"):
            cluster.overdue(name)
    begin = cluster.members["w0"].iteration
    assert begin >= 30
    cluster.hangs = set()
    cluster.run(chance.randrange, 12_000)  # much has come meanwhile
    assert cluster.members["w1"].iteration >= begin, "it catches up at once"


@few
@given(clusters(), st.data())
def test_who_is_lost_or_joins_stops_nobody(made, data: st.DataObject):
    cluster, chance = made
    for number in range(4):
        cluster.run(chance.randrange, data.draw(st.integers(0, 80)))
        if len(cluster.members) > 1 and data.draw(st.booleans()):
            cluster.lose(data.draw(st.sampled_from(list(cluster.members))))
        else:
            cluster.add(f"new{number}")
        cluster.run(chance.randrange, data.draw(st.integers(0, 40)))
        cluster.view()
    assert cluster.run(chance.randrange, EVENTS) == EVENTS
    least = {name: member.iteration for name, member in cluster.members.items()}
    cluster.run(chance.randrange, EVENTS * len(cluster.members))
    assert all(member.iteration > least[name] for name, member in cluster.members.items())
    cluster.settle(chance.randrange)
    before, cluster.made, steps = cluster.total()[0], 0, cluster.total()[1]
    cluster.run(chance.randrange, EVENTS)
    cluster.settle(chance.randrange)
    np.testing.assert_allclose(cluster.total(), [before, steps + cluster.made], rtol=1e-12)
