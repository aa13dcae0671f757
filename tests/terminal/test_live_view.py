import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from streammac.terminal.live_view import LineView, TerminalView, line, view_for
from streammac.wire.status import ClusterStatus, CoordinatorStatus, Event, SupervisorStatus
from tests.terminal.test_render import EVENTS, STATUS, text, with_answers


def test_lines_come_now_and_then() -> None:
    lines: list[str] = []
    with LineView(lines.append) as view:
        for tenth in range(120):
            view.show(STATUS if tenth else None, tenth / 10)
    assert len(lines) == 3
    assert "starting" in lines[0]
    assert lines[1] == line(STATUS, 5.0)
    assert "2 workers, epoch 12, model 11, objective 0.1235, quality 0.800 (ITQ 0.700)" in lines[1]


def test_a_coordinator_that_is_away_is_told() -> None:
    assert "the coordinator is away" in line(
        replace(STATUS, stale=True, coordinator=CoordinatorStatus(7)), 5.0
    )
    assert "the coordinator is away" not in line(STATUS, 5.0)


def test_before_a_coordinator_has_told_of_itself_what_the_supervisor_knows_is_shown() -> None:
    unsaved = SupervisorStatus(unsaved="workers.json cannot be written", events=EVENTS[:1])
    before = ClusterStatus(supervisor=unsaved, stale=True)
    assert line(before, 5.0).endswith("starting")
    assert text(before).strip().endswith("workers.json cannot be written")


def test_what_training_waits_for_is_told() -> None:
    waiting = "waiting for points"
    assert waiting in line(replace(STATUS, waiting=waiting), 5.0)
    assert "Waiting for points" in text(with_answers(replace(STATUS, waiting=waiting)))
    assert "waiting" not in line(STATUS, 5.0)


def test_events_get_a_line_each_once_and_routine_none() -> None:
    routine = Event(9, 99.0, "view", "", "view 7")
    lines: list[str] = []
    with LineView(lines.append) as view:
        for tenth in range(1, 4):
            view.show(replace(STATUS, events=(*EVENTS, routine)), tenth / 10)
    told = [line for line in lines if "w2" in line and "view" not in line]
    assert [line.split()[2:4] for line in told] == [["lost", "w2:"], ["recovered", "w2:"]]
    assert not any("view 7" in line for line in lines)


def test_the_page_s_address_is_written_once() -> None:
    there = replace(STATUS, coordinator=CoordinatorStatus(http_url="http://127.0.0.1:8000"))
    lines: list[str] = []
    with LineView(lines.append) as view:
        for second in range(12):
            view.show(there, float(second))
    assert [line.strip() for line in lines if "http" in line] == ["page: http://127.0.0.1:8000"]
    assert "http://127.0.0.1:8000" in text(there)


@pytest.mark.parametrize(
    ("terminal", "dumb", "ui", "expected"),
    [
        (True, False, True, TerminalView),
        (True, False, False, LineView),
        (True, True, True, LineView),
        (False, False, True, LineView),
    ],
)
def test_the_view_suits_the_terminal(terminal: bool, dumb: bool, ui: bool, expected: type) -> None:
    environment = {"TERM": "dumb" if dumb else "xterm"}
    console = Console(file=io.StringIO(), force_terminal=terminal, _environ=environment)
    assert type(view_for(console, ui=ui)) is expected


def test_the_terminal_view_draws_in_place_and_cleans_up() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with TerminalView(console) as view:
        view.show(None, 0.0)
        view.show(STATUS, 6.0)
        view.show(None, 7.0)  # a question without an answer changes nothing
    drawn = out.getvalue()
    assert "120,000" in drawn
    assert drawn.endswith("\x1b[2K")  # the last line is erased
    assert "7 s" not in drawn


def test_a_whole_screen_is_given_back() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with TerminalView(console, screen=True) as view:
        view.show(STATUS, 1.0)
    assert out.getvalue().startswith("\x1b[?1049h")
    assert "\x1b[?1049l" in out.getvalue()
