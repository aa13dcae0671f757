"""A slow worker gives points away, once, and nothing swings to and fro."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from streammac.coordinator.rebalance import PATIENCE, REST, TOO_MANY, Rebalance, surplus

workers = st.dictionaries(
    st.sampled_from(["w1", "w2", "w3", "w4"]),
    st.tuples(st.floats(0.1, 100), st.integers(0, 100_000)),
    min_size=2,
)


def test_a_hiccup_moves_nothing():
    rebalance = Rebalance()
    points = {"w1": 100.0, "w2": 100.0}
    for _ in range(PATIENCE - 1):
        assert rebalance.check({"w1": 4.0, "w2": 1.0}, points) is None
    assert rebalance.check({"w1": 1.0, "w2": 1.0}, points) is None
    for _ in range(PATIENCE - 1):
        assert rebalance.check({"w1": 4.0, "w2": 1.0}, points) is None
    assert rebalance.check({"w1": 4.0, "w2": 1.0}, points) is not None


def test_after_a_move_the_speeds_are_measured_anew_first():
    rebalance = Rebalance()
    slow, points = {"w1": 4.0, "w2": 1.0}, {"w1": 100.0, "w2": 100.0}
    moves = [rebalance.check(slow, points) is not None for _ in range(PATIENCE + REST + PATIENCE)]
    assert [n for n, moved in enumerate(moves, 1) if moved] == [PATIENCE, 2 * PATIENCE + REST]


def test_nobody_moves_before_all_have_been_measured_or_without_another():
    assert surplus({}, {"w1": 1000.0, "w2": 10.0}) is None
    assert surplus({"w1": 1.0, "w2": 1.0}, {"w1": 1000.0, "w2": 10.0, "w3": 0.0}) is None
    assert surplus({"w1": 1.0}, {"w1": 1000.0}) is None


@given(workers)
@example({"w1": (1.0, 0), "w2": (1.0, 1)})
def test_it_comes_to_rest_and_nobody_gives_more_than_its_surplus(some):
    speeds = {name: speed for name, (speed, _) in some.items()}
    points = {name: float(count) for name, (_, count) in some.items()}
    rebalance = Rebalance()
    moves = 0
    for _ in range((PATIENCE + REST) * 4 * len(some)):
        transfer = rebalance.check(speeds, points)
        if transfer is None:
            continue
        moves += 1
        fair = {n: sum(points.values()) * s / sum(speeds.values()) for n, s in speeds.items()}
        assert transfer.giver not in transfer.to
        assert points[transfer.giver] - transfer.points >= fair[transfer.giver] - 1
        need = {name: fair[name] - points[name] for name in transfer.to}
        points[transfer.giver] -= transfer.points
        for (
            name,
            missing,
        ) in need.items():  # in proportion to what they lack: as the feed's weights do
            points[name] += transfer.points * missing / sum(need.values())
    assert moves <= len(some)
    last = surplus(speeds, points)
    assert last is None, TOO_MANY
