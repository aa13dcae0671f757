"""In virtual time: who waits for whom, and how long; nobody's step is counted twice."""

import numpy as np
import pytest

from benchmarks.virtual_time import VirtualTime
from streammac.consensus.graph import complete, ring
from streammac.consensus.member import Member
from streammac.consensus.rules import Backups, Threshold
from streammac.planning.constants import HopCost

NAMES = ("w0", "w1", "w2", "w3")


def iterations(
    rule, slow: float, graph=complete, seconds: float = 20.0, names=NAMES
) -> tuple[int, VirtualTime]:
    """Of some workers with steps of about 0.1 s, the second one slower by so much; the least of all."""
    chance = np.random.default_rng(0)

    def work(name, iteration, w):
        return w + 1, 0.1 * (slow if name == "w1" else 1.0) * chance.lognormal(0, 0.05)

    members = {name: Member(name, np.zeros(1), rule, graph(names)) for name in names}
    cluster = VirtualTime(members, work, HopCost(latency_s=1e-4, byte_s=0.0))
    cluster.run(seconds)
    return min(member.iteration for member in members.values()), cluster


@pytest.mark.parametrize("graph", [complete, ring])
@pytest.mark.parametrize("rule", [Threshold(), Threshold(1.0)], ids=str)
def test_a_threshold_waits_less_for_a_slow_worker(rule, graph):
    waiting, _ = iterations(Backups(0), 3.0, graph)
    found, cluster = iterations(rule, 3.0, graph)
    assert 60 <= waiting <= 70
    assert found > 1.5 * waiting
    assert iterations(rule, 1.0, graph)[0] > 0.95 * iterations(Backups(0), 1.0, graph)[0]
    least, most = (f(float(m.w[0]) for m in cluster.members.values()) for f in (min, max))
    assert most - least < 5, "copies stay together"


def test_of_three_the_one_in_the_middle_of_the_path_is_waited_for_once_in_a_period():
    """The other two are beside it alone on the path, but neighbours all the same."""
    waiting, _ = iterations(Backups(0), 3.0, names=NAMES[:3])
    assert iterations(Threshold(), 3.0, names=NAMES[:3])[0] > 1.9 * waiting


def test_a_fixed_number_of_backups_leaves_pairs_behind():
    """On a ring a slow worker and one beside it average with each other alone; a threshold connects all."""
    least, cluster = iterations(Backups(1), 3.0, ring)
    assert max(member.iteration for member in cluster.members.values()) > 2 * least
    least, cluster = iterations(Threshold(), 3.0, ring)
    assert max(member.iteration for member in cluster.members.values()) <= least + 2


def test_the_sum_is_that_of_all_steps():
    _, cluster = iterations(Backups(0), 3.0)
    stepping = sum(member.phase.name == "STEPPING" for member in cluster.members.values())
    total = sum(float(member.w[0]) for member in cluster.members.values())
    assert total == pytest.approx(cluster.steps - stepping)


def test_messages_leave_one_after_the_other():
    members = {name: Member(name, np.zeros(1), Backups(0), complete(NAMES)) for name in NAMES}
    slow_card = HopCost(latency_s=0.0, byte_s=1e-3)
    cluster = VirtualTime(members, lambda n, i, w: (w, 0.1), slow_card)
    cluster.run_iterations(1)
    # three offers of 108 bytes, three words of 100
    assert cluster.now == pytest.approx(0.1 + 3 * 0.108 + 3 * 0.1, rel=0.2)
