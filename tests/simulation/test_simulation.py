"""A few seeds of the simulation, those that once found a bug, and a few mutations with seeds that find them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from tests.simulation.kernel import Kernel, Process, Violation
from tests.simulation.mutations import MUTATIONS, UnknownMutation
from tests.simulation.network import Network
from tests.simulation.regressions import FOUND_SOON, REGRESSIONS
from tests.simulation.runner import hunt, simulate, simulate_all

FIRST = 50_000
"""These are not the seeds that everybody runs first."""


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 40, 10))
def test_ten_seeds(seed):
    for one in range(seed, seed + 10):
        verdict = simulate(one)
        assert verdict.outcome is not None, f"seed {one}: {verdict.wrong}\n{verdict.trace}"


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_seeds_that_found_a_bug(seed):
    verdict = simulate(seed)
    assert verdict.outcome is not None, f"{REGRESSIONS[seed]}: {verdict.wrong}\n{verdict.trace}"


@pytest.mark.parametrize("name", FOUND_SOON)
def test_mutations_are_found(name):
    assert hunt(name, range(50)).seed is not None


@pytest.mark.parametrize("cores", [1, 2])
def test_many_seeds_are_run_with_the_mutation_that_is_named(cores):
    (verdict,) = simulate_all([0], cores, "no copies")
    assert verdict.outcome is None


def test_an_unknown_mutation_is_refused():
    with pytest.raises(UnknownMutation, match="no mutation 'none such'; there are: old tokens,"):
        simulate(0, mutation="none such")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_takes_what_it_replaces_takes(mutation):
    for owner, name, change in mutation.places:
        original = getattr(owner, name)
        if isinstance(original, property):
            original = original.fget
        takes = inspect.signature(original).parameters.values()
        named = {one.name: None for one in takes if one.kind is one.KEYWORD_ONLY}
        others = [one for one in takes if one.kind is one.POSITIONAL_OR_KEYWORD]
        inspect.signature(change).bind(original, *others, **named)


def test_every_mutation_has_a_name_of_its_own():
    names = [mutation.name for mutation in MUTATIONS]
    assert len(names) == len(set(names))
    assert set(FOUND_SOON) <= set(names)


TRACE = "from tests.simulation.runner import simulate; print(simulate(7, whole=True).outcome)"


def test_a_seed_tells_the_same_story_in_every_process():
    stories = {
        subprocess.run(
            [sys.executable, "-c", TRACE],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "random")
    }
    assert len(stories) == 1
    assert "digest='" in stories.pop()


def test_another_seed_tells_another_one():
    one, other = (simulate(seed, whole=True).outcome for seed in (7, 8))
    assert one is not None
    assert other is not None
    assert one.digest != other.digest


# -- the simulated network -------------------------------------------------------------------------


class Listener(Process):
    def __init__(self, kernel, network, name):
        super().__init__(kernel, name, 0)
        self.heard = []
        network.attach(self)

    def receive(self, sender, message):
        self.heard.append(message)


@pytest.fixture
def pair():
    kernel = Kernel(3)
    network = Network(kernel, slowest_s=1.0, jitter=0.2)
    return kernel, network, Listener(kernel, network, "a"), Listener(kernel, network, "b")


def test_a_link_keeps_order(pair):
    kernel, network, a, b = pair
    for number in range(100):
        network.send(a, b.address, "x", number)
    kernel.run(100.0, lambda: False)
    assert b.heard == list(range(100))


def test_a_broken_connection_loses_the_end_of_what_was_on_it(pair):
    kernel, network, a, b = pair
    for number in range(100):
        network.send(a, b.address, "x", number)
    network.cut("a", "b")
    network.send(a, b.address, "x", "after")
    kernel.run(100.0, lambda: False)
    *before, last = b.heard
    assert last == "after"
    assert before == list(range(len(before)))
    assert len(before) < 100


def test_what_waits_behind_a_partition_arrives_in_order_afterwards(pair):
    kernel, network, a, b = pair
    network.block("a", "b")
    for number in range(10):
        network.send(a, b.address, "x", number)
    network.send(b, a.address, "x", "back")
    kernel.run(50.0, lambda: False)
    assert (a.heard, b.heard) == (["back"], [])
    network.heal()
    kernel.run(100.0, lambda: False)
    assert b.heard == list(range(10))


def test_who_hangs_hears_everything_later_and_who_is_dead_nothing(pair):
    kernel, network, a, b = pair
    b.stop()
    network.send(a, b.address, "x", 1)
    kernel.run(10.0, lambda: False)
    assert b.heard == []
    b.go_on()
    network.wake(b)
    kernel.run(20.0, lambda: False)
    assert b.heard == [1]
    b.die()
    network.send(a, b.address, "x", 2)
    kernel.run(30.0, lambda: False)
    assert b.heard == [1]


def test_a_simulation_that_runs_away_is_ended(monkeypatch):
    monkeypatch.setattr("tests.simulation.kernel.MAX_EVENTS", 10)
    kernel = Kernel(0)

    def again():
        kernel.after(0.1, again)

    again()
    with pytest.raises(Violation, match="run away"):
        kernel.run(100.0, lambda: False)
