"""What messages are made of: types of fields, with their limits, and the base of values that hold fields."""

from __future__ import annotations

from typing import Annotated, dataclass_transform

import msgspec
import numpy as np
from msgspec import Meta

Name = Annotated[str, Meta(max_length=200)]
"""Name of a member, a source or a block."""
Text = Annotated[str, Meta(max_length=1 << 19)]
Count = Annotated[int, Meta(ge=0)]
Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Tensors = dict[str, np.ndarray]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen value whose fields are checked when it is received, and not when it is made."""
