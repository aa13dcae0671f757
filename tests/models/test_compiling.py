"""Compiled functions are kept on disk, and compiled anew where anything that is in them has changed."""

from __future__ import annotations

import importlib
import os
import sys
import time
from threading import Thread

import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

from streammac.models import (
    compiled_svm,
    neighbour_kernel,
    row_kernel,
    sums_kernel,
    svm_kernel,
    vectors,
)
from streammac.models.arrays import ArrayShard
from streammac.models.base import Batch
from streammac.models.compiling import guard
from streammac.models.least_squares import Sums
from streammac.models.linear_svm import SvmState
from streammac.models.neighbours import Neighbours

PARTS = """
from typing import NamedTuple
from streammac.models.compiling import compiled

class Pair(NamedTuple):
    one: float
    other: float

@compiled()
def inner(x):
    return x + 1
"""
BETWEEN = """
from streammac.models.compiling import compiled
from {package}.parts import inner

@compiled()
def middle(x):
    return inner(x)
"""
NUMBERS = "STEP = 10\n"
OUTER = '''
from streammac.models.compiling import compiled
from {package}.between import middle
from {package}.numbers import STEP
from {package}.parts import Pair

@compiled(fastmath={{"nsz"}})
def outer(x):
    return middle(x) * STEP
'''  # fmt: skip


class Package:
    """A package of its own on disk, imported as by a new process."""

    def __init__(self, folder, name):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        self.write(__init__="", parts=PARTS, between=BETWEEN, numbers=NUMBERS, outer=OUTER)

    def write(self, **modules):
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text.format(package=self.name))
            os.utime(self.folder / f"{name}.py", ns=(1, 1))  # not by the time of a change alone

    def outer(self):
        for module in [m for m in sys.modules if m.partition(".")[0] == self.name]:
            del sys.modules[module]
        importlib.invalidate_caches()
        return importlib.import_module(f"{self.name}.outer").outer


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Package(tmp_path, f"package_{tmp_path.name}")


def test_a_function_is_compiled_once(package):
    assert package.outer()(1) == 20
    again = package.outer()
    assert (again(1), sum(again.stats.cache_hits.values())) == (20, 1)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"parts": PARTS.replace("x + 1", "x + 2")}, 30),
        ({"numbers": "STEP = 5\n"}, 10),
    ],
)
def test_what_is_compiled_into_a_function_has_changed_elsewhere(package, change, wanted):
    package.outer()(1)
    package.write(**change)
    assert package.outer()(1) == wanted


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_nothing_is_compiled_anew_for_points_of_a_mapped_file_and_parameters_of_a_message(dtype):
    compiled_svm.compile_all()
    sums_kernel.compile_all()
    before = signatures()
    x = np.zeros((compiled_svm.LEAST_POINTS, 4), dtype)
    params = {"input/mean": np.zeros(4, np.float32), "input/scale": np.ones(1, np.float32)}
    for array in (x, *params.values()):
        array.setflags(write=False)
    batch = Batch(ArrayShard(x, ((1,), np.dtype(np.uint8))), np.arange(len(x)))
    state = SvmState(np.ones((1, 4), np.float32), np.zeros(1, np.float32), np.ones(1))
    inputs, part = row_kernel.inputs_of(params), slice(0, 1)
    loss = Neighbours(part, 1.0)
    compiled_svm.train(state, [batch], inputs, 0.0, average=True, part=part, neighbours=loss)
    sums_kernel.add_rows(Sums.empty(2, 4), batch, inputs)
    assert signatures() == before


def test_who_compiles_the_same_function_at_the_same_time_takes_turns_at_its_files(
    tmp_path, monkeypatch
):
    cache = IndexDataCacheFile(str(tmp_path), "f", "stamp")
    write = cache._save_index

    def slowly(overloads: dict[str, str]) -> None:
        time.sleep(0.02)
        write(overloads)

    monkeypatch.setattr(cache, "_save_index", slowly)
    guard(cache)
    threads = [Thread(target=cache.save, args=(key, key.upper())) for key in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cache.load(key) for key in "abcd"] == list("ABCD")


def signatures() -> dict[str, int]:
    """Return for how many types each function has been compiled, or found compiled."""
    modules = [neighbour_kernel, row_kernel, sums_kernel, svm_kernel, vectors]
    every = [value for module in modules for value in vars(module).values()]
    return {one.__name__: len(one.signatures) for one in every if hasattr(one, "signatures")}


def test_what_rounds_in_its_own_way_is_compiled_into_those_that_call_it_and_nowhere_else():
    modules = [neighbour_kernel, row_kernel, sums_kernel, svm_kernel, vectors]
    compiled = [
        value for module in modules for value in vars(module).values() if hasattr(value, "py_func")
    ]
    called = {name for one in compiled for name in one.py_func.__code__.co_names}
    free = {one.__name__: one for one in compiled if one.targetoptions.get("fastmath")}
    assert called & free.keys()
    for name in called & free.keys():
        options = free[name].targetoptions
        assert options.get("forceinline") or options.get("inline") == "always", name
