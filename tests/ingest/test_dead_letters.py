"""Dead letters: kept as they were, bounded, listed, sent again."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgpack
import numpy as np

from ingest.dead_letters import DeadLetterFile, read, replay
from ingest.records import Refused


class Cluster:
    """Takes points of three numbers, as a client's push would."""

    def __init__(self) -> None:
        self.taken: list[list[float]] = []

    def push(self, X):
        good = X.shape == (1, 3) and np.isfinite(X).all()
        if good:
            self.taken.append(X[0].tolist())
        return SimpleNamespace(accepted=int(good))


def test_records_are_kept_as_they_were_with_reason_and_source(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    raw = bytes(range(256))
    file.append("feed.csv", "csv", [Refused(raw, "x: odd"), Refused(b"", "empty")])
    first, second = read(tmp_path)
    assert (first.raw, first.reason, first.source, first.number) == (raw, "x: odd", "feed.csv", 0)
    assert (second.raw, second.number) == (b"", 1)
    assert first.time > 1.7e9


def test_a_full_file_takes_no_more_and_says_so(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 400)
    for _ in range(10):
        file.append("s", "json", [Refused(b"x" * 50, "why")])
    assert file.path.stat().st_size <= 400
    kept = len(list(read(tmp_path)))
    assert 0 < kept < 10
    assert file.overflowing == 10 - kept
    again = DeadLetterFile(tmp_path / "i1.ndjson", 400)
    again.append("s", "json", [Refused(b"x" * 50, "why")] * 5)
    assert file.path.stat().st_size <= 400


def test_a_line_that_a_killed_node_left_half_written_is_passed_over(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    file.append("s", "json", [Refused(b"[1]", "why")])
    with file.path.open("a") as end:
        end.write('{"source": "s", "form')
    assert [letter.raw for letter in read(tmp_path)] == [b"[1]"]


def test_replaying_takes_out_what_goes_through_and_keeps_the_rest(tmp_path):
    DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20).append(
        "a", "json", [Refused(b'{"x": [1, 2, 3]}', "then"), Refused(b"broken", "not JSON")]
    )
    other = DeadLetterFile(tmp_path / "i2.ndjson", 1 << 20)
    other.append("b", "csv", [Refused(b"4,5,6", "then")])
    other.append("c", "<f8", [Refused(np.array([7.0, 8, 9]).tobytes(), "then")])
    other.append("c", "<f8", [Refused(b"123", "not whole")])
    other.append("http", "msgpack", [Refused(msgpack.packb([1, 2, 3]), "then")])
    cluster = Cluster()
    result = replay(tmp_path, cluster)
    assert (result.accepted, result.refused) == (4, 2)
    assert cluster.taken == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 2, 3]]
    assert [letter.raw for letter in read(tmp_path)] == [b"broken", b"123"]
    assert replay(tmp_path, cluster).accepted == 0


def test_the_file_is_plain_ndjson(tmp_path):
    file = DeadLetterFile(tmp_path / "i1.ndjson", 1 << 20)
    file.append("s", "json", [Refused(b"[1]", "why")])
    (line,) = file.path.read_text().splitlines()
    assert json.loads(line).keys() == {"source", "format", "reason", "time", "raw"}
