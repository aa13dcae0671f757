"""Types of message fields, with their limits."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, MaxLen

Name = Annotated[str, MaxLen(200)]
"""Name of a member, a source or a block."""
Text = Annotated[str, MaxLen(1 << 19)]
Count = Annotated[int, Ge(0)]
Int64 = Annotated[int, Ge(-(1 << 63)), Le((1 << 63) - 1)]
Tensors = dict[str, np.ndarray]
