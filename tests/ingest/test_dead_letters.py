"""Dead letters: kept as they were, bounded, listed, sent again."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgpack
import numpy as np
import pytest

from ingest.dead_letters import DeadLetterFile, read, replay
from ingest.records import Refused


class Cluster:
    """Takes points of three numbers, as a client's push would; the rest become dead letters of its node."""

    name = "client-1"

    def __init__(self, letters: DeadLetterFile) -> None:
        self.letters = letters
        self.taken: list[list[float]] = []
        self.columns: list[tuple] = []

    def push(self, X, y=None, *, keys=None, times=None):
        good = X.shape == (1, 3) and np.isfinite(X).all()
        if good:
            self.taken.append(X[0].tolist())
            self.columns.append((y, keys, times))
        else:
            self.letters.append(self.name, X.dtype.str, [Refused(X.tobytes(), "again")])
        return SimpleNamespace(accepted=int(good))

    def push_targets(self, keys, y):
        self.columns.append((y, keys, None))
        return SimpleNamespace(accepted=1)


def test_records_are_kept_as_they_were_with_reason_and_source(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    raw = bytes(range(256))
    file.append("feed.csv", "csv", [Refused(raw, "x: odd"), Refused(b"", "empty")])
    first, second = read(tmp_path)
    assert (first.raw, first.reason, first.source, first.number) == (raw, "x: odd", "feed.csv", 0)
    assert (second.raw, second.number) == (b"", 1)
    assert first.time > 1.7e9


def test_a_full_file_takes_no_more_and_says_so(tmp_path, caplog):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 400)
    for _ in range(10):
        file.append("s", "json", [Refused(b"x" * 50, "why")])
    assert file.path.stat().st_size <= 400
    kept = len(list(read(tmp_path)))
    assert 0 < kept < 10
    assert file.lost == 10 - kept
    assert caplog.text.count("dead letters are only counted, not kept: there are 400 bytes") == 1
    assert [one.kind for one in file.troubles()] == ["letters_lost"]
    again = DeadLetterFile(tmp_path / "i1.ndjson", 400)
    again.append("s", "json", [Refused(b"x" * 50, "why")] * 5)
    assert file.path.stat().st_size <= 400


def test_a_line_that_a_killed_node_left_half_written_is_passed_over(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    file.append("s", "json", [Refused(b"[1]", "why")])
    with file.path.open("a") as end:
        end.write('{"source": "s", "form')
    assert [letter.raw for letter in read(tmp_path)] == [b"[1]"]
    DeadLetterFile(file.path, 1 << 20).append("s", "json", [Refused(b"[2]", "why")])
    assert [letter.raw for letter in read(tmp_path)] == [b"[1]", b"[2]"]


def test_after_a_replay_there_is_room_again(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 400)
    file.append("s", "csv", [Refused(b"1,2,3", "")] * 9)
    assert file.lost > 0
    replay(tmp_path, Cluster(file))
    file.append("s", "csv", [Refused(b"7,8,9", "")])
    assert [letter.raw for letter in read(tmp_path)] == [b"7,8,9"]
    assert not file.troubles()


def test_a_disk_that_takes_nothing_costs_letters_and_not_the_node(tmp_path, caplog):
    (tmp_path / "i1.ndjson").mkdir()
    file = DeadLetterFile(tmp_path / "i1.ndjson", 400)
    file.append("s", "csv", [Refused(b"1,2,3", "")] * 2)
    assert file.lost == 2
    assert "Is a directory" in caplog.text
    assert "Is a directory" in file.troubles()[0].text


def test_replaying_takes_out_what_goes_through_and_keeps_the_rest(tmp_path):
    DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20).append(
        "a", "json", [Refused(b'{"x": [1, 2, 3]}', "then"), Refused(b"broken", "not JSON")]
    )
    other = DeadLetterFile(tmp_path / "i2.ndjson", 1 << 20)
    other.append("b", "csv", [Refused(b"4,5,6", "then")])
    other.append("c", "<f8", [Refused(np.array([7.0, 8, 9]).tobytes(), "then")])
    other.append("c", "<f8", [Refused(b"123", "not whole")])
    other.append("http", "msgpack", [Refused(msgpack.packb([1, 2, 3]), "then")])
    other.append(
        "http", "json", [Refused(b"[1, 2]", "then"), Refused(b"[1" + b"0" * 400 + b"]", "")]
    )
    cluster = Cluster(other)
    result = replay(tmp_path, cluster)
    assert (result.accepted, result.refused) == (4, 4)
    assert cluster.taken == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3]]
    left = [letter.raw for letter in read(tmp_path)]
    assert [raw[:6] for raw in left] == [b"broken", b"123", b"[1, 2]", b"[10000"]
    assert replay(tmp_path, cluster).accepted == 0
    assert [letter.raw for letter in read(tmp_path)] == left, "what is refused again is kept once"


def test_letters_of_earlier_pushes_of_the_client_that_replays_are_kept(tmp_path):
    letters = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    letters.append(Cluster.name, "json", [Refused(b"[1, 2]", "then")])
    assert replay(tmp_path, Cluster(letters)).refused == 1
    assert [letter.raw for letter in read(tmp_path)] == [b"[1, 2]"]


def test_replaying_brings_target_key_and_time_along(tmp_path):
    letters = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    letters.append("a", "json", [Refused(b'{"x": [1, 2, 3], "y": 4, "key": "k", "time": 5}', "")])
    cluster = Cluster(letters)
    replay(tmp_path, cluster)
    ((y, keys, times),) = cluster.columns
    assert (y.tolist(), keys, times.tolist()) == ([[4.0]], [b"k"], [5.0])


def test_a_target_without_its_point_is_replayed_as_one(tmp_path):
    letters = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    letters.append("a", "json", [Refused(b'{"key": "k", "y": [4.0]}', "")])
    cluster = Cluster(letters)
    assert replay(tmp_path, cluster).accepted == 1
    ((y, keys, _),) = cluster.columns
    assert (y.tolist(), keys, cluster.taken) == ([[4.0]], [b"k"], [])


def test_what_went_through_is_taken_out_although_the_next_push_fails(tmp_path):
    letters = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    letters.append("a", "csv", [Refused(b"1,2,3", ""), Refused(b"4,5,6", "")])

    class Ending(Cluster):
        def push(self, X, y=None, **columns):
            if self.taken:
                raise RuntimeError("the cluster is gone")
            return super().push(X, y, **columns)

    with pytest.raises(RuntimeError):
        replay(tmp_path, Ending(letters))
    assert [letter.raw for letter in read(tmp_path)] == [b"4,5,6"]


def test_a_letter_that_a_client_would_not_send_is_refused_and_the_others_go_on(tmp_path):
    letters = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    letters.append("a", "csv", [Refused(b"0,0,0", ""), Refused(b"4,5,6", "")])

    class Strict(Cluster):
        def push(self, X, y=None, **columns):
            if not X.any():
                raise ValueError("keys: one is too long to be sent")
            return super().push(X, y, **columns)

    result = replay(tmp_path, Strict(letters))
    assert (result.accepted, result.refused) == (1, 1)
    assert [letter.raw for letter in read(tmp_path)] == [b"0,0,0"]


def test_replaying_where_there_is_nothing_does_nothing(tmp_path):
    letters = DeadLetterFile(tmp_path / "none" / "i1.ndjson", 1 << 20)
    result = replay(tmp_path / "none", Cluster(letters))
    assert (result.accepted, result.refused) == (0, 0)


def test_the_file_is_plain_ndjson(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    file.append("s", "json", [Refused(b"[1]", "why")])
    (line,) = file.path.read_text().splitlines()
    assert json.loads(line).keys() == {"source", "format", "reason", "time", "raw", "crc32"}
