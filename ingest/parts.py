"""What a chunk brings: whole points, and in a stream whose targets may come later, points and targets by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from ingest.late_targets import Targets
from ingest.records import BadRecord, Chunk, Raw, Record, Refused
from ingest.validation import judge_targets, validate
from streammac.points.block import PointBlock
from streammac.wire.messages import StreamSchema

NO_KEY = "y: missing, and there is no key by which it could come later"


@dataclass(frozen=True, slots=True)
class Parts:
    """What came of a chunk.

    Attributes
    ----------
    points : PointBlock
        What is whole.
    refused : list of Refused
        What cannot be used.
    waiting : PointBlock or None
        Points without y, all with keys.
    targets : Targets or None
        Targets without x.
    """

    points: PointBlock
    refused: list[Refused] = field(default_factory=list)
    waiting: PointBlock | None = None
    targets: Targets | None = None

    @property
    def records(self) -> int:
        """All that the chunk had."""
        return len(self.points) + len(self.refused) + self.apart

    @property
    def apart(self) -> int:
        """Records that are no points yet, or belong to others."""
        waiting = 0 if self.waiting is None else len(self.waiting)
        return waiting + (0 if self.targets is None else len(self.targets.keys))


def separate(chunk: Chunk, schema: StreamSchema, record_bytes: int, *, late: bool) -> Parts:
    """Judge the records of a chunk, see `validate`; ``late``: targets may come later than their points."""
    if not (late and schema.targets):
        return Parts(*validate(chunk, schema, record_bytes))
    if isinstance(chunk, Raw):
        return _records(chunk, schema, record_bytes)
    if chunk.y is not None:
        return Parts(*validate(chunk, schema, record_bytes))
    has_key = np.array([bool(key) for key in chunk.keys] or [False] * len(chunk))
    refused = [Refused(np.ascontiguousarray(x).tobytes(), NO_KEY) for x in chunk.x[~has_key]]
    keyed = chunk if has_key.all() else chunk.take(has_key)
    waiting, more = validate(keyed, _without_targets(schema), record_bytes)
    return Parts(_none(schema), refused + more, waiting if len(waiting) else None)


def targets_of(y: np.ndarray, keys: Sequence[bytes], schema: StreamSchema) -> Parts:
    """Judge targets that came as an array, one row for each key."""
    rows = np.asarray(y, np.float64).reshape(len(keys), -1).tolist()
    records = [Record([], row, key) for row, key in zip(rows, keys, strict=True)]
    raws = [repr((key, row)).encode() for row, key in zip(rows, keys, strict=True)]
    return _with_targets(Parts(_none(schema)), raws, records, schema)


def _records(chunk: Raw, schema: StreamSchema, record_bytes: int) -> Parts:
    whole: list[bytes] = []
    alone: list[bytes] = []
    refused: list[Refused] = []
    raws: list[bytes] = []
    targets: list[Record] = []
    for raw in chunk.records:
        try:
            record = chunk.decode(raw) if len(raw) <= record_bytes else None
        except BadRecord:
            record = None
        if record is not None and not record.x and record.y is not None:
            raws.append(raw)
            targets.append(record)
        elif record is None or record.y is not None:
            whole.append(raw)
        elif record.key:
            alone.append(raw)
        else:
            refused.append(Refused(raw, NO_KEY))
    points, wrong = validate(Raw(whole, chunk.decode), schema, record_bytes)
    waiting, more = validate(Raw(alone, chunk.decode), _without_targets(schema), record_bytes)
    parts = Parts(points, [*refused, *wrong, *more], waiting if len(waiting) else None)
    return _with_targets(parts, raws, targets, schema) if targets else parts


def _with_targets(
    parts: Parts, raws: Sequence[bytes], records: Sequence[Record], schema: StreamSchema
) -> Parts:
    good, refused = judge_targets(raws, records, schema)
    keys = tuple(record.key for record in good)
    y = np.array([record.y for record in good], np.float32).reshape(len(good), schema.targets)
    told = Targets(keys, y) if good else None
    return Parts(parts.points, parts.refused + refused, parts.waiting, told)


def _without_targets(schema: StreamSchema) -> StreamSchema:
    return replace(schema, targets=0, classes=0)


def _none(schema: StreamSchema) -> PointBlock:
    return PointBlock(
        np.empty((0, schema.dim), schema.dtype), np.empty((0, schema.targets), np.float32)
    )
