"""Any mix of appends, kills in the middle of anything, power losses and full disks: the promises hold."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.store import Arrival, Outcome, Retention, Schema, Shard, ShardUnusable
from tests.files.failing_disk import Died, FailingDisk

DIM = 2
SCHEMA = Schema(DIM)


def batch(n: int) -> PointBlock:
    return PointBlock(np.full((n % 4, DIM), n, np.float32), keys=[b"k"] * (n % 4))


def batch_id(n: int) -> BatchId:
    return BatchId("s", n % 2, n)


class History:
    """Drives a shard over a failing disk, and knows what it has promised."""

    def __init__(self, folder, ack, seed) -> None:
        self.folder, self.ack, self.rng = folder, ack, random.Random(seed)
        self.disk = FailingDisk()
        self.lives = self.sent = 0
        self.promised: set[int] = set()
        self.unpromised: set[int] = set()  # taken, but not committed
        self.gone: set[int] = set()  # may have expired
        folder.mkdir(exist_ok=True)
        self.path = folder / "0"
        self.start()

    def start(self) -> None:
        self.shard = Shard.open(
            self.path,
            SCHEMA,
            ack=self.ack,
            segment_bytes=6 * DIM * 4,
            retention=Retention(points=15),
            disk=self.disk,
        )

    def append(self, n) -> None:
        before = self.present()
        try:
            outcome = self.shard.append(batch(n), batch_id(n), float(n))
        except OSError:
            assert self.present() == before, "nothing of a refused batch is visible"
            return
        assert outcome is Outcome.DUPLICATE or n not in self.promised
        (self.promised if self.ack == "file" else self.unpromised).add(n)

    def append_all(self, numbers) -> None:
        """Add batches together; each is there or not, as it was told."""
        before = self.present()
        arrivals = [Arrival(batch(n), batch_id(n)) for n in numbers]
        outcomes = self.shard.append_all(arrivals, float(numbers[0]))
        after = self.present()
        for n, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, OSError):
                assert (n in before) == (n in after), "nothing of a refused batch is visible"
            else:
                assert outcome is Outcome.DUPLICATE or n not in self.promised
                assert n in after or n % 4 == 0 or outcome is Outcome.DUPLICATE
                (self.promised if self.ack == "file" else self.unpromised).add(n)

    def commit(self) -> None:
        self.shard.commit()
        self.promised |= self.unpromised
        self.unpromised.clear()

    def expire(self) -> None:
        before = self.present()
        self.gone |= before  # until it is known better, should it be killed meanwhile
        dropped = 0
        with contextlib.suppress(OSError):
            dropped = self.shard.enforce_retention(0.0)
        left = self.present()
        self.gone -= left
        assert dropped == sum(n % 4 for n in before - left)

    def present(self) -> set[int]:
        values = self.shard.view().x(slice(None))[:, 0].astype(int).tolist()
        assert values == [n for n in dict.fromkeys(values) for _ in range(n % 4)], "whole, and once"
        return set(values)

    def die(self) -> None:
        self.disk.steps = self.disk.room = None
        self.shard._directory._lock.close()

    def reopen(self) -> None:
        self.start()
        self.unpromised.clear()
        there = self.present()
        assert self.shard.damage == self.shard.verify() == []
        rows = {n for n in self.promised if n % 4}
        assert rows <= there | self.gone, "what was promised is there, or expired"
        self.gone -= there
        view = self.shard.view()
        assert view.first == self.shard.first == self.shard.expired
        assert self.shard.points == len(view)
        for n in sorted(self.promised):
            outcome = self.shard.append(batch(n), batch_id(n), 0.0)
            assert outcome is Outcome.DUPLICATE, "and its mark is remembered"
        for n in sorted(set(range(self.sent)) - there - self.gone - self.promised):
            outcome = self.shard.append(batch(n), batch_id(n), 0.0)
            assert outcome is Outcome.STORED or n % 4 == 0, "what is not there is taken again"

    def kill(self) -> None:
        self.die()
        self.reopen()

    def power(self) -> None:
        self.die()
        self.lives += 1
        former, self.path = self.path, self.folder / str(self.lives)
        self.disk = self.disk.lose_power(former, self.path, self.rng)
        self.reopen()

    def do(self, action, number) -> None:
        if action == "append":
            self.append(self.sent)
            self.sent += 1
        elif action == "together":
            first, self.sent = self.sent, self.sent + 2 + number % 5
            self.append_all([*range(first, self.sent), first])
        elif action == "resend":
            self.append(number % (self.sent + 1))
        elif action == "fuse":
            self.disk.steps = number
        elif action in ("full", "room"):
            self.disk.room = 8 * number if action == "full" else None
        else:
            getattr(self, action)()


def steps(*more):
    usual = ["append"] * 6 + [
        "resend",
        "together",
        "together",
        "commit",
        "commit",
        "expire",
        "kill",
        "fuse",
        "full",
        "room",
    ]
    actions = st.tuples(st.sampled_from([*usual, *more]), st.integers(0, 40))
    return st.lists(actions, min_size=20, max_size=80)


def run(history, actions) -> None:
    for action, number in actions:
        try:
            history.do(action, number)
        except Died:
            (history.power if history.ack == "fsync" and number % 2 else history.kill)()
    history.die()


@settings(max_examples=50)
@given(actions=steps("power", "power"), seed=st.integers(0, 1 << 20))
def test_fsync_keeps_what_was_committed_through_power_loss(tmp_path_factory, actions, seed):
    run(History(tmp_path_factory.mktemp("shard"), "fsync", seed), actions)


@settings(max_examples=50)
@given(actions=steps(), seed=st.integers(0, 1 << 20))
def test_file_keeps_what_append_took_through_kills(tmp_path_factory, actions, seed):
    run(History(tmp_path_factory.mktemp("shard"), "file", seed), actions)


SCRIPT = ["append", "append", "together", "commit", "append", "append", "together", "expire"]


@pytest.mark.parametrize(
    ("ack", "end", "seeds"), [("file", "kill", 1), ("fsync", "kill", 1), ("fsync", "power", 3)]
)
def test_an_end_between_any_two_changes_breaks_no_promise(tmp_path, ack, end, seeds):
    step, lived = 0, False
    while not lived:
        for seed in range(seeds):
            history = History(tmp_path / f"{step}-{seed}", ack, seed)
            history.disk.steps = step
            try:
                for action in SCRIPT * 3:
                    history.do(action, 0)
                lived = True
            except Died:
                lived = False
            history.do(end, 0)
            history.die()
        step += 1
    assert step > 100
    assert history.shard.expired > 0


def test_after_a_failed_sync_nothing_is_promised_until_it_is_opened_again(tmp_path):
    disk = FailingDisk()
    shard = Shard.open(tmp_path / "s", SCHEMA, ack="fsync", disk=disk)
    shard.append(batch(1), batch_id(1), 0.0)

    def broken():
        raise OSError(5, "Input/output error")

    shard._segments[0]._files["x"].sync = broken
    with pytest.raises(OSError, match="Input/output"):
        shard.commit()
    with pytest.raises(ShardUnusable, match="open the shard again"):
        shard.append(batch(1), batch_id(1), 0.0)
    with pytest.raises(ShardUnusable):
        shard.commit()
    shard.close()
    assert Shard.open(tmp_path / "s", SCHEMA, ack="fsync", disk=disk).points == 1


def test_a_duplicate_of_what_a_killed_process_left_is_durable_before_it_is_acknowledged(tmp_path):
    disk, options = FailingDisk(), {"ack": "fsync", "segment_bytes": 100}
    killed = Shard.open(tmp_path / "s", SCHEMA, **options, disk=disk)
    killed.append(batch(1), batch_id(1), 0.0)
    killed._directory._lock.close()
    shard = Shard.open(tmp_path / "s", SCHEMA, **options, disk=disk)
    assert shard.append(batch(1), batch_id(1), 0.0) is Outcome.DUPLICATE
    shard.commit()
    for seed in range(20):
        after = disk.lose_power(tmp_path / "s", tmp_path / f"{seed}", random.Random(seed))
        assert Shard.open(tmp_path / f"{seed}", SCHEMA, **options, disk=after).points == 1
