"""The page's pure parts, in a real browser: layout, scales and history."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from streammac import page
from tests.page.browser import Browser


@pytest.fixture(scope="module")
def run(browser: Browser) -> Any:
    """Evaluate an expression that may use every function of the modules but the last."""
    whole = page.script()
    parts = whole[: whole.index("// Puts the page together")]

    def evaluate(expression: str, **given: Any) -> Any:
        names = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
        return browser.js(f"{parts}\n{names}return {expression};")

    browser.open("about:blank")
    return evaluate


def workers(*states: str, points: int = 100) -> list[dict[str, Any]]:
    return [
        {
            "name": f"w{n}",
            "state": state,
            "points": points * n,
            "busy_share": 0.5,
            "holding": [f"b{n}"],
        }
        for n, state in enumerate(states, 1)
    ]


# -- the modules themselves ------------------------------------------------------------------------


def test_modules_import_only_what_comes_before_and_share_no_name() -> None:
    names: list[str] = []
    for position, module in enumerate(page.MODULES):
        source = (files("streammac.page") / module).read_text()
        for wanted, origin in re.findall(r"import \{([^}]*)\} from \"\./(.*)\";", source):
            assert origin in page.MODULES[:position], f"{module} imports {origin}"
            there = (files("streammac.page") / origin).read_text()
            for name in wanted.split(","):
                assert re.search(rf"export (function|const) {name.strip()}\b", there), name
        assert source.count("import ") == len(re.findall(r"^import \{", source, re.M)), module
        names += re.findall(
            r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", source, re.M
        )
    assert sorted(names) == sorted(set(names))
    assert not re.search(r"^(import|export) ", page.script(), re.M)
    assert "</script" not in page.script()


# -- the ring --------------------------------------------------------------------------------------


def test_the_ring_closes_over_the_survivors(run: Any) -> None:
    whole = run("layout(those)", those=workers("alive", "alive", "alive", "alive"))
    assert [(e["from"], e["to"]) for e in whole["edges"]] == [
        ("w1", "w2"), ("w2", "w3"), ("w3", "w4"), ("w4", "w1"),
    ]  # fmt: skip
    plan = run("layout(those)", those=workers("alive", "lost", "alive", "silent"))
    assert [(e["from"], e["to"]) for e in plan["edges"]] == [("w1", "w3"), ("w3", "w1")]
    places = {n["name"]: (n["x"] ** 2 + n["y"] ** 2) ** 0.5 for n in plan["nodes"]}
    states = {n["name"]: n["state"] for n in plan["nodes"]}
    assert states == {"w1": "alive", "w2": "lost", "w3": "alive", "w4": "lost"}
    assert places["w1"] == pytest.approx(places["w3"])
    assert places["w2"] > places["w1"] + 20, "it stands outside"
    turns = {n["name"]: n["turn"] for n in plan["nodes"]}
    assert turns["w1"] < turns["w2"] < turns["w3"] < turns["w4"]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 40])
def test_nodes_never_overlap(run: Any, count: int) -> None:
    plan = run("layout(those)", those=workers(*["alive"] * count))
    nodes = plan["nodes"]
    assert [n["name"] for n in nodes] == [f"w{n}" for n in range(1, count + 1)], "w2 before w10"
    for n, a in enumerate(nodes):
        for b in nodes[:n]:
            apart = ((a["x"] - b["x"]) ** 2 + (a["y"] - b["y"]) ** 2) ** 0.5
            assert apart > a["r"] + b["r"]
    sizes = [n["r"] for n in nodes]
    assert sizes == sorted(sizes), "more points, larger"


def test_a_ring_that_has_ended_or_never_began(run: Any) -> None:
    ended = run("layout(those)", those=workers("left", "left"))
    assert [n["state"] for n in ended["nodes"]] == ["left", "left"]
    assert run("layout([])")["nodes"] == []
    gone = run("layout(those)", those=workers("lost"))
    assert [n["state"] for n in gone["nodes"]] == ["lost"]


def test_blocks_are_where_they_are_held(run: Any) -> None:
    those = workers("alive", "alive", "lost")
    places = run("blockPlaces(those, layout(those).nodes)", those=those)
    assert {p["name"]: p["holder"] for p in places} == {"b1": "w1", "b2": "w2"}


def test_many_workers_are_drawn_in_sectors(run: Any) -> None:
    those = workers(*["lost"] * 3, *["alive"] * 997)
    groups = run("sectors(those)", those=those)
    assert len(groups) == 40
    assert sum(g["count"] for g in groups) == 1000
    assert sum(g["lost"] for g in groups) == 3 == groups[0]["lost"]
    assert sum(g["points"] for g in groups) == sum(w["points"] for w in those)
    assert (groups[0]["start"], groups[-1]["end"]) == (0, 1)
    assert (groups[0]["first"], groups[0]["last"]) == ("w1", "w25")


# -- the history -----------------------------------------------------------------------------------

FILL = "(() => { const h = newHistory(); addLines(h, lines); return h; })()"


def sample(t: float, accepted: int) -> dict[str, Any]:
    return {"k": "sample", "t": t, "accepted": accepted, "blocked": 0}


def test_lines_that_come_twice_count_once_and_pauses_are_left_out(run: Any) -> None:
    lines = [
        {"k": "start", "t": 100.0},
        sample(101, 0),
        sample(103, 400),
        {"k": "event", "t": 103.5, "number": 1, "kind": "lost", "name": "w1"},
        {"k": "start", "t": 5000.0},
        sample(5001, 500),
        sample(5003, 1500),
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"k":"sam'
    assert run("parseLines(text)", text=text) == lines
    history = run(
        f"[{FILL}].map((h) => {{ const again = addLines(h, lines); "
        "return [throughput(h), h.event.length, again, elapsed(h, 5003)]; })[0]",
        lines=lines,
    )
    rates, events, again, length = history
    assert rates == [[3, 200], [7, 500]], "no rate across the pause, which lasts one second here"
    assert (events, again, length) == (1, [], 7)


def test_versions_in_a_row_are_one_entry_and_events_of_one_moment_are_kept_apart(run: Any) -> None:
    kinds = ["joined", "version", "promoted", "kept_back", "lost", "view", "version"]
    lines = [
        {"k": "event", "t": 100.0 + n // 2, "number": n, "kind": kind, "name": "", "text": ""}
        for n, kind in enumerate(kinds)
    ]
    found = run(f"[{FILL}].map((h) => [addLines(h, lines.slice(-2)), h.event])[0]", lines=lines)
    assert found[0] == [], "they are known"
    assert [(e["kind"], e.get("more")) for e in found[1]] == [
        ("joined", None), ("kept_back", 2), ("lost", None), ("view", None), ("version", None),
    ]  # fmt: skip


def test_the_page_s_memory_of_a_run_is_bounded(run: Any) -> None:
    kept = run(
        "(() => { const h = newHistory(); for (let n = 1; n < 100000; n++) "
        'addLines(h, [{k: "sample", t: n, accepted: n, blocked: 0}]); '
        "return h.sample.map((one) => one.t); })()"
    )
    assert len(kept) <= 20_000
    assert kept == sorted(kept)
    assert kept[-5000:] == list(range(95_000, 100_000))
    assert len([t for t in kept if t < 25_000]) > 500, "and the beginning is still told"


# -- scales ----------------------------------------------------------------------------------------


def test_scales(run: Any) -> None:
    assert run("ticks(0, 3000)") == [0, 1000, 2000, 3000]
    assert run("niceRange([0.16, 0.27], true)") == pytest.approx([0.15, 0.3])
    assert run("niceRange([])") == [0, 1]
    assert run("niceRange([5, 5], true)")[1] > 5
    assert run("timeTicks(0, 95)") == [0, 30, 60, 90]
    assert run("stacked([[[0, 1]], [[0, 2]], [[0, 4]]])") == [[[0, 1]], [[0, 3]], [[0, 7]]]
    assert run("nearest([[0, 0], [10, 0], [30, 0]], 19)") == 1
    assert run("usualTop([...Array(50).fill(1), 40])") == 3
    points = [[n, n % 2] for n in range(1000)]
    few = run("fewer(points, 100)", points=points)
    assert len(few) == 100
    assert all(y == pytest.approx(0.5) for _, y in few)
    assert run("[0.0043, 0.25, 7.25, 75, 7260].map(duration)") == [
        "4.3 ms", "0.25 s", "7.3 s", "1 min 15 s", "2 h 1 min",
    ]  # fmt: skip
    assert run("[0, 950, 12345, 2500000].map(short)") == ["0", "950", "12.3k", "2.5M"]
