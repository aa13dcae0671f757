"""A cluster on a disk that is really full: nothing ends of it, and it goes on when there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.local_cluster import LocalCluster
from streammac.supervisor.run import supervise
from streammac.wire.status import ClusterStatus
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture

pytestmark = pytest.mark.processes
POINTS = 60_000
SMALL, LARGE = "size=6m", "size=64m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or mount(folder, "-t", "tmpfs", "-o", SMALL, "none"):
        pytest.skip("a file system of its own takes root, and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def mount(folder: Path, *options: str) -> int:
    return subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            return


def test_a_start_on_a_full_or_read_only_disk_is_one_line(run: Run, disk: Path) -> None:  # noqa: F811
    fill(disk)
    told = [run("up", "--dir", disk / "run", "--for", 1, "--no-ui")]
    (disk / "filler").unlink()
    assert mount(disk, "-o", "remount,ro") == 0
    told.append(run("up", "--dir", disk / "other", "--for", 1, "--no-ui"))
    for (code, out, err), why in zip(told, ("No space left", "Read-only"), strict=True):
        assert (code, out) == (6, "")
        assert why in err
        assert err.count("\n") == 1


def test_a_directory_whose_disk_has_filled_up_waits_for_room(run: Run, disk: Path) -> None:  # noqa: F811
    up = ("up", "--dir", disk / "run", "--workers", 1, "--no-ui")
    run(*up, "--for", 0)
    fill(disk)
    code, out, err = run(*up, "--for", 3)
    assert code == 6
    assert "disk_full: processes/supervisor.json cannot be written" in out
    assert "the cluster could not begin: processes/supervisor.json cannot be written" in err


def test_a_cluster_outlives_a_full_disk(disk: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    feed = tmp_path / "feed.npy"
    np.save(feed, np.random.default_rng(0).normal(size=(POINTS, 32)).astype(np.float32))
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 1},
            "model": {"bits": 8},
            "store": {"segment_bytes": 1 << 20},
            "ingest": {"sources": [str(feed)]},
        }
    )
    local = LocalCluster(RunDirectory(disk / "run"), settings, (sys.executable, "-m", "streammac"))
    full: list[ClusterStatus] = []

    def show(status: ClusterStatus | None, _: float) -> None:
        if status is None:
            return
        if not full and status.coordinator.unsaved and status.supervisor.unsaved:
            full.append(status)
            local.workers[0].process.kill()
        elif full and status.restarts and status.workers[0].state == "alive":
            assert mount(disk, "-o", f"remount,{LARGE}") == 0
        if status.points.accepted == POINTS and not status.coordinator.unsaved:
            local.interrupt()
        # what the supervisor has to tell makes it write
        local._announcement.note("process_left", "nobody", "a line")

    result = supervise(local, show, duration_s=60)
    assert result.failure is None
    assert full, result.status
    assert full[0].points.accepted < POINTS
    assert result.status is not None
    assert (result.status.points.accepted, result.status.points.stored) == (POINTS, POINTS)
    assert {child.name: child.restarts for child in result.status.children} == {
        "coordinator": 0, "w1": 1, "i1": 0,
    }  # fmt: skip
    kinds = [event.kind for event in result.status.events]
    assert "disk_full" in kinds
    assert "disk_room" in kinds
