import copy
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streammac.live_view import BAR, LineView, TerminalView, bar, line, picture, view_for

STATUS: dict[str, Any] = {
    "view": 2,
    "epoch": 12,
    "objective": 0.12345,
    "mu": 0.5,
    "model_version": 11,
    "promoted": 9,
    "points": {"accepted": 120000, "sent": 120003, "dead_lettered": 3},
    "workers": [
        {
            "name": f"w{n}",
            "state": state,
            "busy_share": 0.25 * n,
            "points": 40000,
            "epoch": 12,
            "holding": [f"encoder/{n}"],
        }
        for n, state in ((1, "alive"), (2, "alive"), (3, "silent"))
    ],
    "ingest": [{"name": "i1", "state": "alive", "rate": 2000.0}],
    "quality": {"metric": "share of neighbours", "model": 0.8, "itq": 0.7, "pca": 0.5, "random": 0},
}


def text(status: Any, elapsed_s: float = 5.0, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(picture(status, elapsed_s))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_picture_shows_what_an_operator_asks() -> None:
    shown = text(STATUS)
    for fact in (
        "120,000  (2,000/s, 3 dead-lettered)",
        "epoch 12, objective 0.1235, mu 0.5, view 2",
        "version 11, version 9 promoted",
        f"w1      {bar(0.25)}  25%",
        "encoder/2",
        "silent",
        f"ITQ                   {bar(0.7)} 0.700",
    ):
        assert fact in shown
    assert shown.index("this model") < shown.index("ITQ") < shown.index("random projections")


def test_the_picture_before_there_is_anything() -> None:
    assert "starting" in text(None)
    bare = STATUS | {"objective": None, "mu": None, "model_version": 0, "quality": None}
    assert "none yet" in text(bare | {"workers": [], "ingest": []})


def test_many_workers_are_summed_up() -> None:
    status = copy.deepcopy(STATUS)
    status["workers"] = [status["workers"][0] | {"name": f"w{n}"} for n in range(40)]
    shown = text(status)
    assert "w15" in shown
    assert "w16" not in shown
    assert "and 24 more workers" in shown


@given(st.floats(-1, 2), st.integers(0, 60))
def test_a_bar_is_as_long_as_it_should_be(share: float, width: int) -> None:
    drawn = bar(share, width)
    assert len(drawn) == width
    assert drawn.strip("#").strip(".") == ""
    assert abs(drawn.count("#") - min(1, max(0, share)) * width) <= 0.5


def test_plain_characters_only() -> None:
    assert text(STATUS).isascii()
    assert len(bar(1.0)) == BAR


def test_lines_come_now_and_then() -> None:
    lines: list[str] = []
    with LineView(lines.append) as view:
        for tenth in range(120):
            view.show(STATUS if tenth else None, tenth / 10)
    assert len(lines) == 3
    assert "starting" in lines[0]
    assert lines[1] == line(STATUS, 5.0)
    assert "2 workers, epoch 12, model 11, objective 0.1235, quality 0.800 (ITQ 0.700)" in lines[1]


def test_the_page_s_address_is_written_once() -> None:
    there = STATUS | {"coordinator": {"http_url": "http://127.0.0.1:8000"}}
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
        view.show(None, 7.0)  # a question without an answer leaves the picture
    drawn = out.getvalue()
    assert "120,000" in drawn
    assert drawn.endswith("\x1b[2K")  # the last line is erased
    assert "7 s" not in drawn
