"""What processes find and leave in the run directory."""

from __future__ import annotations

import shutil
import time

from streammac.run_directory import RunDirectory


def test_an_incarnation_is_above_all_former_ones_though_the_clock_was_set_back(
    tmp_path, monkeypatch
):
    directory = RunDirectory(tmp_path)
    first = directory.next_incarnation("w1")
    assert abs(first - time.time_ns()) < 60e9
    monkeypatch.setattr(time, "time_ns", lambda: first - 3600 * 10**9)
    assert directory.next_incarnation("w1") == first + 1
    assert directory.next_incarnation("w1") == first + 2
    assert directory.next_incarnation("w2") == first - 3600 * 10**9, "each name has its own"


def test_where_the_disk_takes_nothing_the_time_has_to_do(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path)
    directory.next_incarnation("w1")
    shutil.rmtree(directory.processes)
    directory.processes.touch()
    assert abs(directory.next_incarnation("w1") - time.time_ns()) < 60e9
