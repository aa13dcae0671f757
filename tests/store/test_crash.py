"""Crashes: whatever the moment, every acknowledged batch is there afterwards, and nothing false."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streammac.files.disk import Disk, File
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Outcome, Schema, Shard

DIM = 3
BATCHES = 12
SCHEMA = Schema(DIM, y_shape=())


def batch(n: int) -> PointBlock:
    count = 1 + n % 4
    x = np.random.default_rng(n).random((count, DIM), np.float32)
    return PointBlock(x, np.full(count, n, np.float32), np.full(count, float(n)))


class Recorder(Disk):
    """Notes every change it makes to a file, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Path, int, bytes]] = []

    def open(self, path):
        recorder = self

        class Recorded(File):
            def write(self, offset, data):
                recorder.log.append(("write", path, offset, bytes(data)))
                super().write(offset, data)

            def truncate(self, size):
                recorder.log.append(("truncate", path, size, b""))
                super().truncate(size)

        self.log.append(("truncate", path, 0, b""))  # it exists from now on
        return Recorded(path)

    def replace(self, path, data):
        self.log.append(("replace", path, 0, data))
        super().replace(path, data)


def replay(log, target: Path) -> None:
    """Make a directory as the log left it."""
    files: dict[str, bytearray] = {}
    for kind, path, offset, data in log:
        content = files.setdefault(path.name, bytearray())
        if kind == "replace":
            content[:] = data
        elif kind == "truncate":
            content[offset:] = bytes(max(0, offset - len(content)))
        else:
            content[offset : offset + len(data)] = data
    target.mkdir()
    for name, content in files.items():
        (target / name).write_bytes(content)


def test_after_a_crash_at_any_byte_of_any_write_every_acknowledged_batch_is_there(tmp_path):
    recorder = Recorder()
    shard = Shard.open(tmp_path / "real", SCHEMA, segment_bytes=6 * DIM * 4, disk=recorder)
    acknowledged_at = []
    for n in range(BATCHES):
        shard.append(batch(n), BatchId("s", 1, n), float(n))
        acknowledged_at.append(len(recorder.log))
    shard.close()
    crashes = []
    for position, (kind, path, offset, data) in enumerate(recorder.log):
        crashes.append(recorder.log[:position])
        if kind == "write":
            cuts = range(1, len(data)) if len(data) < 24 else (1, 11, 12, 13, len(data) - 1)
            for cut in cuts:
                torn = ("write", path, offset, data[:cut])
                crashes.append([*recorder.log[:position], torn])
    crashes.append(recorder.log)
    assert len(crashes) > 300
    for number, log in enumerate(crashes):
        target = tmp_path / str(number)
        replay(log, target)
        completed = len(log) if log == recorder.log[: len(log)] else len(log) - 1
        expected = sum(at <= completed for at in acknowledged_at)
        check(target, expected)


def check(path: Path, acknowledged: int) -> None:
    shard = Shard.open(path, SCHEMA, segment_bytes=6 * DIM * 4)
    assert shard.damage == []
    view = shard.view()
    x, y = view.x(slice(None)), view.y(slice(None))
    there = sorted(set(y.astype(int)))
    # the last batch may be whole although its acknowledgement never left
    assert there in (list(range(acknowledged)), list(range(acknowledged + 1)))
    np.testing.assert_array_equal(
        x, np.concatenate([np.empty((0, DIM)), *(batch(n).x for n in there)])
    )
    assert shard.verify() == []
    for n in range(BATCHES):
        expected = Outcome.DUPLICATE if n in there else Outcome.STORED
        assert shard.append(batch(n), BatchId("s", 1, n), 0.0) is expected
    assert shard.points == sum(len(batch(n)) for n in range(BATCHES))
    shard.close()


@pytest.mark.parametrize("suffix", ["x", "y", "time", "journal"])
def test_a_file_that_is_cut_anywhere_costs_only_what_was_behind_the_cut(tmp_path, suffix):
    shard = Shard.open(tmp_path / "real", SCHEMA, segment_bytes=4096)
    for n in range(4):
        shard.append(batch(n), BatchId("s", 1, n), 0.0)
    shard.close()
    files = {p.name: p.read_bytes() for p in (tmp_path / "real").iterdir() if p.name != "lock"}
    name = f"00000001.{suffix}"
    rows = np.cumsum([len(batch(n)) for n in range(4)])
    size = {"x": 4 * DIM, "y": 4, "time": 8}.get(suffix)
    written = len(files[name]) if size is None else int(rows[-1]) * size
    for cut in range(written + 1):
        target = tmp_path / f"{cut}"
        target.mkdir()
        for other, content in files.items():
            (target / other).write_bytes(content[:cut] if other == name else content)
        shard = Shard.open(target, SCHEMA, segment_bytes=4096)
        there = sorted(set(shard.view().y(slice(None)).astype(int)))
        assert there == list(range(len(there)))
        if size is not None:
            assert len(there) >= int((rows * size <= cut).sum())
        elif cut == written:
            assert len(there) == 4
        assert shard.verify() == []
        shard.close()


WRITER = """
import sys
import numpy as np
from pathlib import Path
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Schema, Shard

shard = Shard.open(Path(sys.argv[1]), Schema(8), segment_bytes=1 << 14)
n = 0
while True:
    shard.append(PointBlock(np.full((7, 8), n, np.float32)), BatchId("s", 1, n), 0.0)
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
    n += 1
"""


@pytest.mark.processes
@pytest.mark.parametrize("seed", range(3))
def test_a_process_that_is_killed_has_lost_nothing_it_acknowledged(tmp_path, seed):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(random.Random(seed).randint(1, 2000)):
        acknowledged = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = [int(line) for line in process.stdout.read().split("\n")[:-1]]
    acknowledged = max([acknowledged, *rest])
    process.wait()
    shard = Shard.open(tmp_path, Schema(8), segment_bytes=1 << 14)
    values = shard.view().x(slice(None))[:, 0].astype(int)
    assert values[-1] >= acknowledged
    np.testing.assert_array_equal(values, np.repeat(np.arange(values[-1] + 1), 7))
    assert shard.verify() == []
