"""The hunt: ``python -m tests.corruption --damages 2000``."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from tests.corruption.hunt import hunt
from tests.corruption.made import make

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--damages", type=int, default=2000)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
logging.disable(logging.CRITICAL)  # what is told is counted
with tempfile.TemporaryDirectory() as name:
    root, older = make(Path(name))
    began = time.monotonic()
    outcomes = hunt(root, older, Path(name), options.damages, options.seed)
    seconds = time.monotonic() - began
print(f"{outcomes.total()} damages in {seconds:.0f} s: {dict(outcomes)}, none silent")
