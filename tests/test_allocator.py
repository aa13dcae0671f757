"""Blocks of the size of a batch are used again, and not fetched from the kernel each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from streammac.allocator import keep_freed_memory
known = {keep} and keep_freed_memory()
def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(size, np.uint8), np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(1 << 20)
print(known, faults(1 << 20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of glibc")
def test_freed_blocks_are_used_again():
    def run(keep: bool) -> list[str]:
        program = PROGRAM.format(keep=keep)
        answer = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        return answer.stdout.split()

    known, faults = run(keep=True)
    if known == "False":
        pytest.skip("another C library")
    assert int(faults) < 200
    assert int(run(keep=False)[1]) > 1000  # what it spares
