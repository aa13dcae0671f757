"""Whatever the order of messages: weights are doubly stochastic, averages stay, all go on, and periods connect all."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.consensus.graph import complete, exponential, ring
from streammac.consensus.member import Member
from streammac.consensus.messages import Step, Stepped
from streammac.consensus.rules import Backups, Threshold, rule_of
from tests.consensus.__main__ import story
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
@given(st.integers(1, 7), GRAPHS, RULES, st.integers(1, 9), st.integers(0, 1 << 32))
def test_all_end_whatever_comes_first(count: int, graph, rule, last: int, seed: int):
    cluster = Cluster(names(count), graph, rule, range(last))
    before = cluster.total()[0]
    cluster.run(random.Random(seed).randrange, 1_000_000)
    assert cluster.done == set(cluster.members), "somebody waits for ever"
    check_weights(cluster)
    assert cluster.made <= last * count
    if rule == Backups(0):
        assert cluster.made == last * count
    np.testing.assert_allclose(cluster.total(), [before, cluster.made], rtol=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_stories_of_slow_members(seed):
    """See `tests.consensus.__main__`; in 16, 26 and 27 one that waits is left behind, and catches up."""
    story(seed)


@pytest.mark.parametrize("backups", [0, 2])
def test_backups_that_are_a_number_are_that_many(backups):
    assert rule_of(backups) == Backups(backups)
    assert rule_of("dynamic") == Threshold()


@pytest.mark.parametrize("first", [7, 12])
def test_one_alone_makes_the_iterations_that_are_left(first):
    member = Member("w0", np.zeros(1), Threshold(), complete(["w0"]), range(first, 12))
    actions = member.begin()
    while isinstance(actions[0], Step):
        actions = member.handle(Stepped(actions[0].w + 1))
    (done,) = actions
    assert done.w == 12 - first
