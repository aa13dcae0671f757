"""Functions that numba compiles once and keeps on disk, as long as nothing that is compiled into them has changed.

numba looks at the file of the function alone. But functions of other modules are compiled into it, too, and so are
numbers and the fields of named tuples.

A compiled function that another one calls is there twice, by itself and compiled into the other, and which of the two
runs depends on whether the process has compiled them or found them on disk. With ``fastmath`` these may round in
different ways. So there such functions are marked ``forceinline``.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function that is compiled, kept on disk, and releases the GIL; ``options`` as of ``numba.njit``."""

    def decorate(function: Callable[..., Any]) -> Any:
        made = numba.njit(cache=True, nogil=True, **options)(function)
        if kept := getattr(made, "_cache", None):  # none where numba is told to compile nothing
            # numba has no way to be told what else a function is made of
            kept._cache_file._source_stamp = stamp(sys.modules[function.__module__])
            guard(kept._cache_file)
        return made

    return decorate


def guard(cache: Any) -> None:
    """Have processes that compile the same function at the same time take turns at its files.

    numba reads the index, chooses the next free name for its data, and writes both. Two that do so at once choose the
    same name, and then the index promises what the file does not hold.
    """
    load, save, path = cache.load, cache.save, f"{cache._index_path}.lock"

    def turn(work: Callable[..., Any], how: int, *arguments: Any) -> Any:
        with ExitStack() as held:
            with suppress(OSError):  # no folder yet, or one in which nobody writes
                fcntl.flock(held.enter_context(Path(path).open("a", encoding="ascii")), how)
            return work(*arguments)

    cache.load = partial(turn, load, fcntl.LOCK_SH)
    cache.save = partial(turn, save, fcntl.LOCK_EX)


def stamp(module: ModuleType) -> str:
    """Return a digest of all that may be compiled into the functions of a module, as far as it is loaded."""
    parts = sorted(part for used in _modules(module) for part in _parts(used))
    return sha256("\n".join(parts).encode()).hexdigest()


def _modules(first: ModuleType) -> list[ModuleType]:
    """Return a module and those of its package from which it has compiled functions or named tuples, and so on."""
    package, found = first.__name__.partition(".")[0], [first]
    for module in found:  # it grows meanwhile
        for value in vars(module).values():
            if hasattr(value, "__wrapped__") or hasattr(value, "_fields"):
                home = sys.modules.get(value.__module__)
                if home and home not in found and home.__name__.partition(".")[0] == package:
                    found.append(home)
    return found


def _parts(module: ModuleType) -> Iterator[str]:
    """Yield the digest of a module's file, and its numbers: some are of other modules."""
    yield sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    for name, value in vars(module).items():
        if isinstance(value, (int, float, np.generic)):
            yield f"{name} {value!r}"
        elif isinstance(value, (set, frozenset)):  # options of the compiler
            yield f"{name} {sorted(map(repr, value))}"
