from hypothesis import given
from hypothesis import strategies as st

from streammac.supervisor.restart_policy import (
    FIRST_DELAY_S,
    HEALTHY_S,
    LONGEST_DELAY_S,
    RestartPolicy,
)

lives = st.lists(st.floats(0, 3 * HEALTHY_S), min_size=1, max_size=60)
"""How long a process runs each time."""


def replay(policy: RestartPolicy, lives: list[float]) -> tuple[list[float], list[float]]:
    """Let a process live and die; return the restarts' times and the pauses before them."""
    now, restarts, pauses = 0.0, [], []
    policy.began(now)
    for life in lives:
        now += life
        at = policy.died(now)
        if at is None:
            break
        pauses.append(at - now)
        now = at
        policy.restarted(now)
        restarts.append(now)
    return restarts, pauses


@given(lives, st.integers(1, 8), st.floats(1, 300))
def test_no_window_holds_more_restarts_than_the_budget(
    lives: list[float], budget: int, window_s: float
) -> None:
    policy = RestartPolicy(budget, window_s)
    restarts, pauses = replay(policy, lives)
    assert policy.restarts == len(restarts)
    assert all(FIRST_DELAY_S - 1e-9 <= pause <= LONGEST_DELAY_S + 1e-9 for pause in pauses)
    for first in restarts:
        assert sum(first <= at < first + window_s * (1 - 1e-9) for at in restarts) <= budget


@given(lives)
def test_pauses_double_until_a_healthy_while(lives: list[float]) -> None:
    _, pauses = replay(RestartPolicy(1000, 1e9), lives)
    expected = FIRST_DELAY_S
    for life, pause in zip(lives, pauses, strict=False):
        if life >= HEALTHY_S + 1e-6:
            expected = FIRST_DELAY_S
        elif life > HEALTHY_S - 1e-6:
            return  # rounding decides
        assert abs(pause - min(expected, LONGEST_DELAY_S)) < 1e-6
        expected *= 2


def test_a_budget_comes_back_with_time() -> None:
    policy = RestartPolicy(budget=2, window_s=60)
    replay(policy, [0.0, 0.0])
    assert policy.died(10.0) is None
    assert policy.left(10.0) == 0
    assert policy.left(61.0) == 2
