from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.chaos.faults import FAULT_WEIGHTS, LASTING, TITLES, Fault, Injection, Plan


def replay(
    seed: int, workers: int, injections: int, weights: dict[Fault, int] | None = None
) -> list:
    """Carry a plan out on names only."""
    names = [f"w{n}" for n in range(1, workers + 1)]
    plan = Plan(seed, workers, weights or FAULT_WEIGHTS)
    told: list[Injection] = []
    for _ in range(injections):
        injection = plan.next(names)
        if injection is None:
            break
        told.append(injection)
        match injection.fault:
            case Fault.ADD:
                names.append(f"w{len(told) + workers}")
            case Fault.REMOVE | Fault.MOVE:
                names.remove(*injection.targets)
            case Fault.KILL_WORKER | Fault.HANG_WORKER | Fault.ROT:
                assert set(injection.targets) < set(names)
            case Fault.KILL_TWO | Fault.HANG_SEVERAL:
                assert len(set(injection.targets)) == len(injection.targets) >= 2
                assert set(injection.targets) < {*names, "coordinator", "i1"}
                assert set(names) - set(injection.targets), "somebody is left to go on"
        assert max(2, workers - 1) <= len(names) <= workers + 2
    return told


@given(st.integers(0, 1000), st.integers(2, 6))
def test_the_same_seed_injects_alike_and_the_cluster_keeps_its_size(seed: int, workers: int):
    first = replay(seed, workers, 40)
    assert len(first) == 40
    assert first == replay(seed, workers, 40)
    assert [injection.number for injection in first] == list(range(1, 41))


def test_other_seeds_inject_otherwise():
    assert replay(1, 4, 10) != replay(2, 4, 10)


@given(st.integers(0, 1000))
def test_every_kind_comes_up_in_every_deck(seed: int):
    kinds = Counter(
        injection.fault for injection in replay(seed, 4, 3 * sum(FAULT_WEIGHTS.values()))
    )
    assert set(kinds) == set(Fault)


def test_a_deck_of_one_kind_and_one_that_becomes_impossible():
    only = replay(0, 3, 5, {Fault.KILL_WORKER: 1})
    assert {injection.fault for injection in only} == {Fault.KILL_WORKER}
    assert len(replay(0, 3, 50, {Fault.ADD: 1})) == 2  # then there are enough of them
    with pytest.raises(ValueError, match="at least one fault"):
        Plan(0, 3, {})


def test_nobody_is_killed_who_is_alone():
    plan = Plan(0, 2, {Fault.KILL_WORKER: 1, Fault.HANG_WORKER: 1})
    assert plan.next(["w1"]) is None
    assert plan.next(["w1", "w2"]) is not None


def test_every_kind_has_words_and_only_some_take_time():
    assert set(TITLES) == set(FAULT_WEIGHTS) == set(Fault)
    for injection in replay(3, 4, 50):
        assert (injection.lasts_s > 0) == (injection.fault in LASTING)


def test_of_two_at_once_one_is_a_worker_and_the_other_anybody():
    pairs = {injection.targets for injection in replay(0, 3, 100, {Fault.KILL_TWO: 1})}
    roles = {(a[0], b[0]) for a, b in pairs}
    assert roles == {("w", "w"), ("w", "c"), ("w", "i")}
    assert {b for _, b in {i.targets for i in replay(0, 2, 50, {Fault.KILL_TWO: 1})}} == {
        "coordinator",
        "i1",
    }
