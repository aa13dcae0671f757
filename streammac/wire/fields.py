"""What messages are made of: types of fields with the values that they may have, and the base of values that hold them.

A peer may send anything that can be encoded. So no field is a bare number or text: each has a range, an alphabet and a
length (`tests/wire/test_fields.py` looks at all of them). A range refuses NaN and infinity, too.
"""

from __future__ import annotations

from typing import Annotated, TypedDict, dataclass_transform

import msgspec
import numpy as np
from msgspec import Meta

from streammac import names

MAX_COUNT = 1 << 53
"""Above it, a count is not exact everywhere: JSON knows numbers of this size only."""
MAX_INT64 = (1 << 63) - 1
MAX_REAL = 1e300
"""Sums and means of such numbers are still finite."""
MAX_DEADLINE_S = 1e6
MAX_WIDTH = 1 << 20
_PORT = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.%a-z]{2,60}\])"

Name = Annotated[str, Meta(pattern=names.PATTERN)]
"""Name of a process or of a source of batches."""
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]{1,64}\Z")]
Home = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,64}\Z")]
"""Tells a run directory from others."""
Line = Annotated[str, Meta(pattern=r"^[0-9a-f]{0,32}\Z")]
"""What nobody guesses: by it the members of a view know each other's lines."""
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,199}\Z")]
"""Name of a block, an array or a quantity."""
Address = Annotated[str, Meta(pattern=rf"^tcp://{_HOST}:{_PORT}\Z")]
"""Where a ZeroMQ socket listens."""
Url = Annotated[str, Meta(pattern=rf"^http://{_HOST}:{_PORT}(/[A-Za-z0-9._/-]{{0,200}})?\Z")]
Reason = Annotated[str, Meta(max_length=1 << 16)]
"""Words for people."""
Json = Annotated[str, Meta(max_length=1 << 19)]

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Incarnation = Annotated[int, Meta(ge=0, le=MAX_INT64)]
"""Grows with every start, from nanoseconds of a clock: also the number of a session, for the same reason."""
Int64 = Annotated[int, Meta(ge=-MAX_INT64 - 1, le=MAX_INT64)]
Pid = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Dimension = Annotated[int, Meta(ge=1, le=MAX_WIDTH)]
"""Numbers of a point."""
Targets = Annotated[int, Meta(ge=0, le=MAX_WIDTH)]
Slices = Annotated[int, Meta(ge=1, le=MAX_WIDTH)]
"""Of a shard."""

Real = Annotated[float, Meta(ge=-MAX_REAL, le=MAX_REAL)]
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=MAX_REAL)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
"""A duration, or since 1970."""
Deadline = Annotated[float, Meta(ge=0, le=MAX_DEADLINE_S)]

MANY = Meta(max_length=1 << 16)
"""Items of a list or a map."""
Names = Annotated[tuple[Name, ...], MANY]
Slots = Annotated[tuple[Annotated[int, Meta(ge=0, le=MAX_WIDTH)], ...], MANY]
"""Numbers of what there are not many of."""
Keys = Annotated[tuple[bytes, ...], Meta(max_length=1 << 20)]
"""Keys of points: how long one may be is the border's business, which makes a dead letter of a longer one."""
Reals = Annotated[dict[Key, Real], MANY]
Tensors = Annotated[dict[Key, np.ndarray], MANY]


class Addresses(TypedDict, total=False):
    """Where others reach a process, as far as it listens."""

    ring: Address
    data: Address
    client: Address
    metrics: Url
    http: Url


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen value whose fields are checked when it is received, and not when it is made."""
