"""``streammac up`` with real processes: who is killed comes back, nobody else notices more than a view."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from streammac.link.attached import Attached
from streammac.run_directory import RunDirectory
from streammac.wire.status import ClusterStatus, PointCounts

pytestmark = pytest.mark.processes
PATIENCE_S = 45.0
UP = ("up", "--no-ui", "--bits", "8", "--workers", "2", "--log-format", "json")


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "streammac", *arguments, "--dir", str(root)]
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=True)


def test_whoever_is_killed_comes_back_and_the_others_stay(tmp_path: Path) -> None:
    root = tmp_path / "d"
    source = ("--source", "digits:?rate=3000", "--summary", str(tmp_path / "s.json"))
    up = subprocess.Popen(
        [sys.executable, "-m", "streammac", *UP, *source, "--dir", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    there = Attached(RunDirectory(root))
    status = ClusterStatus()

    def wait(until: Callable[[ClusterStatus], Any], what: str) -> ClusterStatus:
        nonlocal status
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status = there.status() or status
            if status.supervisor and until(status):
                return status
            time.sleep(0.05)
        raise TimeoutError(f"{what}: {status}")

    def pids() -> dict[str, int]:
        return {one.name: one.pid for one in status.children if one.state != "left"}

    def kill(name: str) -> None:
        """Kill one process, wait for it and for training, see that the others are the same."""
        before, epoch, restarts = pids(), status.epoch, status.restarts
        os.kill(before[name], signal.SIGKILL)
        wait(lambda s: s.restarts > restarts, f"restart of {name}")
        wait(lambda s: all_there(s, len(before)) and s.epoch >= epoch + 2, f"epochs after {name}")
        after = pids()
        assert {one for one in before if before[one] != after[one]} == {name}

    def all_there(status: ClusterStatus, count: int) -> bool:
        members = (*status.workers, *status.ingest)
        return sum(member.state == "alive" for member in members) == count - 1

    try:
        wait(lambda s: s.model_version >= 1 and all_there(s, 4), "training")
        address = there.address
        kill("w1")
        kill("coordinator")
        assert there.address == address
        kill("i1")
        assert "started w3" in command(root, "workers", "add").stdout
        wait(lambda s: all_there(s, 5), "the new worker")
        assert "w2 has left" in command(root, "workers", "remove", "w2").stdout
        wait(lambda _: "w2" not in pids(), "its end")
        kill("w3")
    finally:
        up.send_signal(signal.SIGINT)
        out, _ = up.communicate(timeout=PATIENCE_S)
    assert up.returncode == 0, out
    assert "process_restarted w1" in out
    summary = json.loads((tmp_path / "s.json").read_text())
    points = convert(summary["points"], PointCounts)
    assert summary["restarts"] == 4
    assert points.accepted == points.stored + points.expired + points.away > 0

    def logged(name: str) -> list[dict[str, Any]]:
        lines = (root / "logs" / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    lost = [line for line in logged("coordinator") if line.get("event") == "lost"]
    assert {(line["about"], line["level"]) for line in lost} == {
        ("w1", "warning"),
        ("w3", "warning"),
    }
    assert all("crash" in line["reason"] for line in lost), lost
    assert {line["process"] for line in logged("w2")} == {"w2"}
    died = [one["about"] for one in logged("supervisor") if one.get("event") == "process_died"]
    assert died == ["w1", "coordinator", "i1", "w3"]
