"""What a process of the data path tells the C library and Python about memory.

Batches are large and live for milliseconds. By default the C library gives such blocks back to the kernel when they are
freed, and each new one comes as fresh pages, which cost more time than all that is done with the points. And Python's
collector looks at all objects now and then, of which nearly all are of modules and stay: points wait meanwhile.
"""

from __future__ import annotations

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt``, from ``malloc.h``."""
KEPT_BYTES = 32 << 20
"""So much that is free at the end of an arena is not given back."""
LARGE_BYTES = 8 << 20
"""Blocks from here on go back to the kernel at once."""


def keep_freed_memory() -> bool:
    """Let freed blocks of the size of a batch be used again; return False where the C library has no such choice."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def spare_what_is_loaded() -> None:
    """Have Python's collector pass over what is there now: after the imports that is what stays to the end."""
    gc.freeze()
