"""The history: what becomes a line, what survives a crash, a full disk and a long life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from streammac.page import history
from streammac.page.history import Chronicle, Recorder
from streammac.wire.status import ClusterStatus, WorkerStatus, to_json


def status(epoch: int = 0, **more: Any) -> ClusterStatus:
    parts = {
        "epoch": epoch,
        "view": 2,
        "objective": 0.25 if epoch else None,
        "mu": 0.1,
        "violated": 0.0,
        "epoch_seconds": {"train": 0.5, "z_step": 0.25, "wait": 0.125},
        "points": {"accepted": 100, "dead_lettered": 1, "stored": 90},
        "workers": [{"name": "w1", "state": "alive"}, {"name": "w2", "state": "lost"}],
        "ingest": [{"name": "i1", "blocked_s": 1.5}],
        "quality": None,
        **more,
    }
    return convert(parts, ClusterStatus)


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["k"] for line in lines]


def test_a_sample_every_two_seconds_and_an_epoch_when_there_is_a_new_one() -> None:
    chronicle = Chronicle()
    found = [kinds(chronicle.lines(status(n // 2), n / 2)) for n in range(9)]
    assert found[0] == ["sample"]
    assert found[1:5] == [[], ["epoch"], [], ["sample", "epoch"]]
    sample, epoch = Chronicle().lines(status(7), 3.0)
    assert sample == {
        "k": "sample",
        "t": 3.0,
        "accepted": 100,
        "dead": 1,
        "stored": 90,
        "blocked": 1.5,
        "alive": 1,
    }
    figures = {"points": 9, "overall": {"loss": 2.0}, "window_points": 3, "window": {"loss": 1.0}}
    (later,) = Chronicle().lines(status(prequential=figures), 3.0)
    assert later == sample | {"prequential": {"loss": 1.0}}
    assert (epoch["epoch"], epoch["view"], epoch["points"]) == (6, 2, 90)
    assert epoch["seconds"] == {"train": 0.5, "z_step": 0.25, "wait": 0.125}


def test_a_clock_that_is_set_back_stops_no_history() -> None:
    chronicle = Chronicle()
    measured = {"version": 3, "metric": "share", "model": 0.5, "itq": 0.25, "pca": 0.2, "random": 0}
    chronicle.lines(status(quality=measured), 9000.0)
    found = chronicle.lines(status(quality=measured | {"model": 0.6}), 100.0)
    assert kinds(found) == ["sample", "quality"]
    assert chronicle.lines(status(), 101.0) == []
    assert kinds(chronicle.lines(status(), 102.0)) == ["sample"]


def test_quality_when_it_was_measured_anew() -> None:
    chronicle = Chronicle()
    measured = {"version": 3, "metric": "share", "model": 0.5, "itq": 0.25, "pca": 0.2, "random": 0}
    first = chronicle.lines(status(quality=measured), 1.0)
    assert first[-1] == {
        "k": "quality",
        "t": 1.0,
        "version": 3,
        "model": 0.5,
        "itq": 0.25,
        "pca": 0.2,
        "random": 0,
    }
    assert chronicle.lines(status(quality=measured), 1.5) == []
    anew = measured | {"model": 0.6}
    assert chronicle.lines(status(quality=anew), 2.5) == [], "not more often than samples"
    assert kinds(chronicle.lines(status(quality=anew), 3.0)) == ["sample", "quality"]
    assert kinds(chronicle.lines(status(quality=anew), 9.0)) == ["sample"]


def test_each_event_once_though_the_window_slides() -> None:
    def event(number: int) -> dict[str, Any]:
        return {"number": number, "time": 5.0, "kind": "lost", "name": "w1", "text": "x" * 999}

    chronicle = Chronicle()
    seen = []
    for first in range(0, 30, 5):
        events = [event(n) for n in range(first, first + 10)]
        seen += chronicle.lines(status(events=events), 0.1)
    numbers = [line["number"] for line in seen if line["k"] == "event"]
    assert numbers == list(range(35))
    assert {len(line["text"]) for line in seen if line["k"] == "event"} == {history.TEXT_CHARACTERS}


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    first = Recorder(path, tmp_path / "last.json")
    first.observe(status(1), 10.0)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        before = history.read(path)
        assert before == history.read(path)[: len(before)]
        Recorder(path, tmp_path / "last.json").observe(status(2), 20.0)
        after = history.read(path)
        assert kinds(after)[-3:] == ["start", "sample", "epoch"]
        assert after[: len(before)] == before
    path.write_bytes(b"[1]\n{}\n\xff\xfe\nnull\n" + whole)
    assert kinds(history.read(path)) == ["start", "sample", "epoch"]
    assert history.read(tmp_path / "missing") == []


def test_the_file_never_outgrows_its_limit_and_keeps_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "history.ndjson"
    limit = 20_000
    recorder = Recorder(path, tmp_path / "last.json", limit)
    sizes = []
    for n in range(1, 1500):
        recorder.observe(status(n), n * 0.5)
        sizes.append(path.stat().st_size)
    lines = history.read(path)
    assert max(sizes) <= limit + 1000
    assert recorder.lost_lines == 0
    epochs = [line["epoch"] for line in lines if line["k"] == "epoch"]
    assert lines[0]["k"] == "start"
    assert epochs[-20:] == list(range(1479, 1499)), "the newest are all there"
    assert epochs[0] < 200, "something is left of the beginning"
    assert epochs == sorted(set(epochs))


lines_of_all_kinds = st.lists(
    st.builds(
        lambda kind, text: {"k": kind, "kind": "lost", "text": text},
        st.sampled_from(["start", "event", "epoch", "sample", "quality"]),
        st.text(max_size=20),
    ),
    max_size=60,
)


def test_versions_never_push_out_what_matters() -> None:
    lost = {"k": "event", "t": 0.0, "kind": "lost", "name": "w1", "text": "crash"}
    versions = [
        {"k": "event", "t": n / 2, "kind": "kept_back", "name": "", "text": "worse"}
        for n in range(1, 5000)
    ]
    kept = history.thinned([lost, *versions], 20_000)
    assert kept[0] == lost
    assert kept[-1] == versions[-1]
    assert 100 < len(kept) < 1000


@given(lines_of_all_kinds, st.integers(0, 4000))
def test_thinning_keeps_order_and_limit(lines: list[dict[str, Any]], limit: int) -> None:
    numbered = [line | {"n": n, "t": float(n)} for n, line in enumerate(lines)]
    kept = history.thinned(numbered, limit)
    assert sum(len(to_json(line).encode()) + 1 for line in kept) <= limit
    assert [line["n"] for line in kept] == sorted({line["n"] for line in kept})
    if sum(len(to_json(line).encode()) + 1 for line in numbered) <= limit:  # nothing to do
        assert kept == numbered


def test_a_full_disk_costs_lines_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "no" / "history", tmp_path / "no" / "last")
    for n in range(1, 4):
        assert recorder.observe(status(n), float(n))
    assert recorder.lost_lines > 0
    assert caplog.text.count("the history has gaps") == 1


def test_the_last_status_is_kept(tmp_path: Path) -> None:
    last = tmp_path / "last.json"
    recorder = Recorder(tmp_path / "h", last)
    recorder.observe(status(1, objective=float("nan")), 1.0)
    recorder.observe(status(2), 3.0)
    kept = json.loads(last.read_text())
    assert (kept["t"], kept["status"]["epoch"]) == (1.0, 1)
    assert kept["status"]["objective"] is None, "JSON has no NaN"
    working = [{"name": "w1", "state": "alive", "points": 5, "train_s": 0.5, "holding": ["a"]}]
    recorder.observe(status(3, workers=working), 6.5)
    assert json.loads(last.read_text())["status"]["epoch"] == 3
    left = [{"name": "w1", "state": "left", "points": 7, "train_s": 0.0, "holding": []}]
    recorder.close(status(4, workers=left), 7.0)
    kept = json.loads(last.read_text())["status"]
    assert kept["epoch"] == 4
    worker = WorkerStatus("w1", state="left", points=7, train_s=0.5)
    assert convert(kept["workers"], list[WorkerStatus]) == [worker], "as it was at work"
