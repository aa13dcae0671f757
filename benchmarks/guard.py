"""Whether something has become slower than in a former commit: ``python -m benchmarks guard --against REF``.

Both trees time the same pieces of work (`benchmarks.pace`), in turn: old, new, new, old, ... Of each pair the ratio
counts, so what slows the whole machine down slows both. A piece is slower if the confidence interval of the median
ratio, which needs no assumption about the noise, lies wholly below one less the tolerance. Noise that does not prefer
one side brings that about once in so many hundred times at most, whatever its size.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import quantile_test

from benchmarks.report import Report, Spread

ROOT = Path(__file__).parents[1]
PAIRS = 21
TOLERANCE = 0.1
CONFIDENCE = 0.995
SLOWER = 9
"""Exit status where something has become slower."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ratios of pairs (old over new seconds: above 1 is faster) tell about a piece of work."""

    ratio: Spread
    """The median, and its confidence interval."""
    slower: bool


def judge(ratios: Sequence[float], tolerance: float = TOLERANCE) -> Verdict:
    """Return whether a piece has become slower by more than the tolerance, beyond doubt.

    >>> judge([0.79, 0.80, 0.81, 0.82, 0.80, 0.78, 0.83, 0.81, 0.80, 0.79, 0.82]).slower
    True
    >>> judge([0.5, 1.4, 0.6, 1.2, 0.4, 0.95, 0.7, 1.3, 0.6, 1.0, 0.5]).slower
    False
    """
    found = np.asarray(ratios, float)
    interval = quantile_test(found, p=0.5).confidence_interval(CONFIDENCE)
    # too few pairs for any interval: nothing is beyond doubt
    low, high = np.nan_to_num((interval.low, interval.high), nan=np.inf)
    return Verdict(
        Spread(float(np.median(found)), float(low), float(high)), bool(high < 1 - tolerance)
    )


class Tree:
    """A process of one working tree that times pieces of work."""

    def __init__(self, root: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(root)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pace"],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names = self._line(root).split()

    def seconds(self, name: str) -> float:
        """Time one piece."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return float(self._line(name))

    def _line(self, of: object) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{of}: nothing was measured: the commit may know no benchmarks.pace")
        return line

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def checked_out(ref: str) -> Iterator[Path]:
    """Have a former commit in a working tree of its own."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "tree"
        git = ("git", "-C", str(ROOT), "worktree")
        subprocess.run([*git, "add", "--quiet", "--detach", str(there), ref], check=True)
        try:
            yield there
        finally:
            subprocess.run([*git, "remove", "--force", str(there)], check=True)


def pairs(old: Tree, new: Tree, name: str, count: int) -> list[float]:
    """Return the ratios of pairs, each begun by the other one than the pair before."""
    for tree in (old, new):
        tree.seconds(name)  # the first time is of another kind
    ratios = []
    for number in range(count):
        first, second = (old, new) if number % 2 == 0 else (new, old)
        seconds = {id(tree): tree.seconds(name) for tree in (first, second)}
        ratios.append(seconds[id(old)] / seconds[id(new)])
    return ratios


def compare(root: Path, count: int, tolerance: float) -> tuple[Report, list[str]]:
    """Return the table, and what has become slower."""
    old, new = Tree(root), Tree(ROOT)
    try:
        names = [name for name in new.names if name in old.names]
        verdicts = {name: judge(pairs(old, new, name, count), tolerance) for name in names}
    finally:
        old.close()
        new.close()
    report = Report(
        f"Pace beside a former commit, {count} pairs",
        {"piece of work": "", "old / new seconds": ".3f", "": ""},
        tuple((n, v.ratio, "slower" if v.slower else "") for n, v in verdicts.items()),
        f"Above 1: faster. In brackets the interval of {CONFIDENCE:.1%} of the median; "
        f"slower: wholly below {1 - tolerance:.2f}.",
    )
    return report, [name for name, verdict in verdicts.items() if verdict.slower]


def last_release() -> str:
    """Return the newest tag, or end with a word about it."""
    command = ("git", "-C", str(ROOT), "describe", "--tags", "--abbrev=0")
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit("there is no tag of a release yet: name a commit with --against")
    return answer.stdout.strip()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks guard", description=__doc__)
    parser.add_argument("--against", metavar="REF", help="a former commit; else the last release")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    wanted = parser.parse_args(arguments)
    with checked_out(wanted.against or last_release()) as root:
        report, slower = compare(root, wanted.pairs, wanted.tolerance)
    print(report.markdown())
    if slower:
        print(f"slower: {', '.join(slower)}", file=sys.stderr)
        sys.exit(SLOWER)
