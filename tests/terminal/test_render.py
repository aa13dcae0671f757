import io
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from streammac.coordinator.health import Health
from streammac.terminal.glyphs import FINE, PLAIN, Glyphs
from streammac.terminal.render import answers, render
from streammac.terminal.trend import Trend
from streammac.wire.status import (
    ChildState,
    ChildStatus,
    ClusterStatus,
    Event,
    IngestStatus,
    PointCounts,
    Quality,
    Recovery,
    SupervisorStatus,
    WorkerStatus,
)

STATUS = ClusterStatus(
    view=2,
    epoch=12,
    objective=0.12345,
    mu=0.5,
    model_version=11,
    promoted=9,
    started_s=1000.0,
    points=PointCounts(accepted=120000, sent=120003, dead_lettered=3),
    workers=tuple(
        WorkerStatus(
            f"w{n}",
            state=state,
            busy_share=0.25 * n,
            points=40000,
            epoch=12,
            holding=(f"encoder/{n}",),
        )
        for n, state in ((1, "alive"), (2, "alive"), (3, "lost"))
    ),
    ingest=(IngestStatus("i1", rate=2000.0),),
    quality=Quality("share of neighbours", 0.8, 0.7, 0.5, 0.0),
)
EVENTS = tuple(
    Event(n, 5.0 + n, kind, "w2", text)
    for n, (kind, text) in enumerate(
        [("lost", "crash: its connection broke " + "and broke " * 20), ("recovered", "in 0.2 s")]
    )
)


def with_answers(status: ClusterStatus) -> ClusterStatus:
    return replace(status, answers=Health().answers(status, 0.0))


def text(
    status: Any,
    elapsed_s: float = 5.0,
    width: int = 100,
    trend: Trend | None = None,
    glyphs: Glyphs = PLAIN,
) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(render(status, elapsed_s, trend, glyphs))
    drawn: str = console.file.getvalue()  # type: ignore[attr-defined]
    return drawn.replace("\u00a0", " ")  # the spaces at which no line is broken


def supervised(state: ChildState = "waiting", restarts: int = 3, **more: Any) -> ClusterStatus:
    reason = "signal SIGKILL"
    child = ChildStatus("w2", "worker", None, state, restarts, 7, reason=reason, **more)
    supervisor = SupervisorStatus(started_s=10.0, restarts=restarts, processes=(child,))
    return with_answers(STATUS).supervised(supervisor)


def test_it_shows_what_an_operator_asks() -> None:
    shown = text(with_answers(STATUS))
    for fact in (
        "120,000  (2,000/s, 3 dead-lettered)",
        "12, mu 0.5",
        "0.1235",
        "view 2",
        "version 11, version 9 promoted",
        f"{PLAIN.bar(0.25, 8)}  25%",
        "e2",
        "Lost: w3",
        f"{PLAIN.bar(0.7, 24)} 0.700  ITQ",
    ):
        assert fact in shown
    assert shown.index("this model") < shown.index("ITQ") < shown.index("random projections")
    assert shown.isascii()


def test_before_there_is_anything() -> None:
    assert "starting" in text(None)
    assert "none yet" in text(ClusterStatus())


def test_many_workers_are_summed_up() -> None:
    workers = tuple(replace(STATUS.workers[0], name=f"w{n}") for n in range(40))
    shown = text(replace(STATUS, workers=workers))
    assert "w15" in shown
    assert "w16" not in shown
    assert "and 24 more workers" in shown


def test_it_fits_into_80_columns_and_cuts_only_what_is_long() -> None:
    shown = text(replace(supervised(), events=EVENTS, recovery=Recovery(1, 0.2)), width=80)
    assert max(map(len, shown.splitlines())) <= 80
    lost = next(line for line in shown.splitlines() if "crash" in line)
    assert lost.split()[1:5] == ["lost", "w2", "crash:", "its"]


def test_restarts_say_what_happens_next() -> None:
    assert "restarted" not in text(STATUS)
    assert "restarted" not in text(supervised(state="running", restarts=0))
    waiting = text(supervised(next_attempt_s=time.time() + 100))
    assert "signal SIGKILL: next attempt in " in waiting
    assert "its budget is spent" in text(supervised(state="down"))


def test_a_trend_draws_how_the_objective_went() -> None:
    trend = Trend()
    for n in range(8):
        trend.add(replace(STATUS, objective=8.0 - n))
        trend.add(replace(STATUS, objective=8.0 - n))
    assert "0.1235  █▇▆▅▄▃▂▁" in text(STATUS, trend=trend, glyphs=FINE)


def test_what_the_coordinator_cannot_know_is_told_beside_its_answers() -> None:
    known = with_answers(STATUS)
    assert answers(known) == known.answers
    away = answers(replace(known, stale=True))
    assert (away[0].tone, away[0].text) == ("bad", "Coordinator away")
    assert away[1:] == known.answers[1:]
    down = answers(supervised("down"))
    assert (down[3].tone, down[3].text) == ("bad", "Down: w2")
    assert down[:3] == known.answers[:3]


@given(st.floats(-1, 2), st.integers(0, 60))
def test_a_bar_is_as_long_as_it_should_be(share: float, width: int) -> None:
    drawn = PLAIN.bar(share, width)
    assert len(drawn) == width
    assert drawn.strip("#").strip(".") == ""
    assert abs(drawn.count("#") - min(1, max(0, share)) * width) <= 0.5


@given(st.lists(st.floats(-1e6, 1e6), max_size=100), st.integers(1, 40))
def test_a_sparkline_keeps_its_width_and_order(values: list[float], width: int) -> None:
    drawn = FINE.spark(values, width)
    assert len(drawn) == min(len(values), width)
    if values == sorted(values):
        assert list(drawn) == sorted(drawn)
