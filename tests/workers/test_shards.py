"""A worker's shards keep points by age, and the machine's clock may leap meanwhile."""

from __future__ import annotations

import time

import numpy as np
import pytest

from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.wire.messages import Points, StreamSchema
from workers.shards import WorkerShards, known_stream

YEAR = 365 * 86400.0
HOUR = 3600.0


class Clocks:
    """The machine's clock, and the one that does not jump."""

    def __init__(self, monkeypatch) -> None:
        self.wall, self.steady = 1.8e9, 500.0
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic", lambda: self.steady)

    def pass_by(self, seconds) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


def opened(path) -> WorkerShards:
    settings = Settings.model_validate({"store": {"retain_s": HOUR, "segment_bytes": 4096}})
    return WorkerShards("w1", RunDirectory(path), settings, StreamSchema(4, "float32"))


def store(shards, sequence) -> None:
    x = np.full((256, 4), sequence, np.float32)  # a segment
    assert shards.append([Points("s", 1, sequence, False, {"x": x})]) == ["stored"]


def kept(shards) -> int:
    shards.enforce_retention()
    return shards.train.points // 256


@pytest.mark.parametrize("leap", [YEAR, -YEAR])
@pytest.mark.parametrize("down", [False, True])
def test_a_clock_that_leaps_drops_nothing_and_keeps_nothing_longer(tmp_path, clocks, leap, down):
    shards = opened(tmp_path)
    for sequence in range(3):
        store(shards, sequence)
    clocks.pass_by(HOUR / 2)
    store(shards, 3)
    if down:
        shards.close()
    clocks.wall += leap
    if down:
        clocks.steady = 3.0  # of a machine that was started anew
        shards = opened(tmp_path)
    store(shards, 4)
    assert kept(shards) == 5
    clocks.pass_by(HOUR / 2 + 1)
    assert kept(shards) == 2, "the first three are more than an hour old"
    clocks.pass_by(HOUR / 2)
    assert kept(shards) == 1
    shards.close()


def test_while_a_worker_is_down_nothing_grows_older(tmp_path, clocks):
    shards = opened(tmp_path)
    for sequence in range(3):
        store(shards, sequence)
    shards.close()
    clocks.pass_by(YEAR)
    shards = opened(tmp_path)
    assert kept(shards) == 3
    shards.close()


@pytest.mark.parametrize("targets", [0, 3])
def test_a_shard_says_what_its_points_look_like_to_its_own_cluster_alone(tmp_path, targets):
    directory, stream = RunDirectory(tmp_path), StreamSchema(4, "uint8", targets)
    assert known_stream("w1", directory, "c1") is None
    WorkerShards("w1", directory, Settings(), stream, "c1").close()
    assert known_stream("w1", directory, "c1") == stream
    assert known_stream("w1", directory, "c2") is None
    (directory.shard("w1") / "schema.json").write_bytes(b"{")
    assert known_stream("w1", directory, "c1") is None
