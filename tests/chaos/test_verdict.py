import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from streammac.chaos.faults import Fault, Injection
from streammac.chaos.report import line, report, seconds
from streammac.chaos.verdict import Evidence, Outcome, PointAudit, complaints, summaries, to_json
from streammac.terminal.glyphs import PLAIN


def outcome(fault: Fault, visit: float | None, whole: float | None, trouble: str = "") -> Outcome:
    return Outcome(Injection(3, fault, ("w2",), 0.5), visit, whole, trouble)


GOOD = Evidence(
    seed=7,
    seconds=60.0,
    outcomes=[
        outcome(Fault.KILL_WORKER, 0.25, 1.5),
        outcome(Fault.KILL_WORKER, 0.75, 2.5),
        outcome(Fault.KILL_WORKER, 0.5, 9.0),
        outcome(Fault.REMOVE, 0.01, 1.0),
    ],
    audit=PointAudit("disks", 1000, 1000, 0, 0),
    epochs=(3, 50),
)


def printed(evidence: Evidence, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report(evidence, PLAIN))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_all_is_well():
    assert complaints(GOOD) == []
    assert to_json(GOOD)["kept"]
    assert "every promise was kept" in printed(GOOD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"audit": PointAudit("disks", 1000, 999, 1, 0)}, "1 of 1,000 points are missing"),
        ({"audit": PointAudit("disks", 1000, 1000, 0, 2)}, "2 points are stored twice"),
        ({"audit": PointAudit("status", 1000, 1000, 60, 0, 50)}, "60 of 1,000 points are missing"),
        ({"audit": "it fell silent"}, "could not be counted: it fell silent"),
        (
            {"audit": PointAudit("disks", 1000, 900, 100, 0, damaged=100)},
            "100 points were damaged without our doing",
        ),
        ({"fenced": 1}, "well were taken for lost 1 times"),
        ({"restarted": {"w3": 1}}, "w3 was restarted 1 times without our doing"),
        ({"epochs": (3, 3)}, "no epoch was done"),
        ({"outcomes": [outcome(Fault.KILL_WORKER, None, 1.0)]}, "w2): the others did not go on"),
        ({"outcomes": [outcome(Fault.KILL_INGEST, 0.1, None)]}, "not everybody came back"),
        ({"outcomes": [outcome(Fault.ADD, None, None, "no room")]}, "no room"),
    ],
)
def test_each_broken_promise_is_told(change, words):
    evidence = replace(GOOD, **change)
    (complaint,) = complaints(evidence)
    assert words in complaint
    assert not to_json(evidence)["kept"]
    assert "broken: " in printed(evidence, 200)
    assert complaint in printed(evidence, 200)


def test_rot_costs_what_the_books_say_and_no_more():
    rotten = [*GOOD.outcomes, outcome(Fault.ROT, 0.5, 9.0)]
    told = replace(GOOD, outcomes=rotten, audit=PointAudit("disks", 1000, 900, 100, 0, damaged=100))
    assert complaints(told) == []
    for damaged, words in ((90, "10 of 1,000 points are missing"), (101, "1 points are called")):
        (complaint,) = complaints(replace(told, audit=replace(told.audit, damaged=damaged)))
        assert words in complaint


def test_counts_of_a_cluster_that_goes_on_may_lag():
    assert complaints(replace(GOOD, audit=PointAudit("status", 1000, 1000, 50, 0, 50))) == []


def test_times_by_kind():
    kills, removed = summaries([*GOOD.outcomes, outcome(Fault.ADD, None, None, "no room")])
    assert (kills.count, kills.next_visit_median_s, kills.next_visit_max_s) == (3, 0.5, 0.75)
    assert (kills.whole_median_s, kills.whole_max_s) == (2.5, 9.0)
    assert removed.fault is Fault.REMOVE
    assert summaries([outcome(Fault.ADD, None, 2.0)])[0].next_visit_max_s is None


def test_the_report_fits_and_documents_can_take_the_table():
    shown = printed(GOOD)
    assert max(map(len, shown.splitlines())) <= 80
    row = next(line for line in shown.splitlines() if line.startswith("| worker killed"))
    cells = [cell.strip() for cell in row.strip("| ").split("|")]
    assert cells == ["worker killed", "3", "500 ms", "750 ms", "2.5 s", "9.0 s"]
    assert "4 injections, 3 times kill -9, in 60 s (seed 7); 47 epochs meanwhile" in shown
    bars = [line for line in shown.splitlines() if "#" in line]
    assert bars[0].count("#") == 27  # the median: two thirds of the longest
    assert bars[0].count(".") == 40 - 27


def test_every_kind_of_fault_fits():
    outcomes = [outcome(fault, 0.999, 59.94) for fault in Fault for _ in range(100)]
    lines = printed(replace(GOOD, outcomes=outcomes)).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_lines_and_durations():
    assert line(GOOD.outcomes[0]) == (
        "worker killed: w2: next visit after 250 ms, all whole after 1.5 s"
    )
    assert line(outcome(Fault.ADD, None, None, "no room")).endswith("not done, no room")
    assert [seconds(value) for value in (None, 0.0123, 12.34)] == ["never", "12 ms", "12.3 s"]


def test_json_has_everything():
    plain = json.loads(json.dumps(to_json(GOOD)))
    assert plain["kills"] == 3
    assert plain["points"]["sent"] == 1000
    assert plain["injections"][0]["injection"]["fault"] == "kill-worker"
    assert plain["faults"][0]["next_visit_median_s"] == 0.5
