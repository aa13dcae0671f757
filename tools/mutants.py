"""Mutation testing: does a package's tests notice a small change of its code?

``python -m tools.mutants models store.journal --sample 200`` (`make mutants`). mutmut changes one place after the other,
and runs the tests that reach the changed function. What mypy rejects does not count, what no test reaches has survived.
Decorated functions stay as they are: properties, and the numba kernels.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tomllib
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from mutmut.__main__ import _run as run_mutmut
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import get_mutant_name

PACKAGES: dict[str, list[str]] = tomllib.loads(Path("pyproject.toml").read_text())["tool"][
    "mutants"
]
"""The packages that are changed, and where the tests of each are."""
CACHE = str(Path(".mypy_cache/mutants").absolute())
KILLED = ("killed", "timeout", "segfault")
SURVIVED = ("survived", "no tests")


def configure(package: str, module: str) -> None:
    """Have mutmut change these modules, and run the package's own tests."""
    own = f"streammac/{package}"
    config().only_mutate = [f"{own}/{module}.py"]
    config().pytest_add_cli_args_test_selection = [*PACKAGES[package], own]
    mypy = [sys.executable, "-m", "mypy", "-p", own.replace("/", "."), "--output", "json"]
    options = ["--no-warn-unused-ignores", "--no-warn-unreachable", "--cache-dir", CACHE]
    config().type_check_command = [*mypy, *options]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Run the fastest tests first: most mutants are killed by many (a hook; pytest loads this module)."""
    items.sort(key=lambda item: state().duration_by_test.get(item.nodeid, 0.0))


def check(sample: int, seed: int) -> None:
    """Run the tests on the mutants, or on a sample: in a process of its own, which imports the changed code."""
    names = [
        get_mutant_name(path, name)
        for path in walk_mutatable_files()
        for name in mutate_file_contents(str(path), path.read_text()).mutant_names
    ]
    shutil.rmtree("mutants", ignore_errors=True)
    os.environ["PYTHONPATH"] = str(Path("mutants").absolute())  # for processes that tests start
    # a failure need not be made small, and chance is not to decide what survives
    settings.register_profile(
        "mutants", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None
    )
    settings.load_profile("mutants")
    run_mutmut(random.Random(seed).sample(sorted(names), min(sample or len(names), len(names))), 2)


def interval(killed: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share.

    >>> [round(bound, 3) for bound in interval(90, 100)]
    [0.826, 0.945]
    """
    z = 1.96
    centre = killed + z * z / 2
    width = z * sqrt(killed * (total - killed) / total + z * z / 4)
    return (centre - width) / (total + z * z), (centre + width) / (total + z * z)


def report() -> list[str]:
    """Print the survivors as diffs; return each module's score."""
    scores = []
    for path in sorted(walk_mutatable_files()):
        mutants = SourceFileMutationData(path=path)
        mutants.load()
        status = {n: status_by_exit_code[code] for n, code in mutants.exit_code_by_key.items()}
        survivors = [name for name, became in status.items() if became in SURVIVED]
        for name in survivors:
            print(f"\n# {name}: {status[name]}\n{get_diff_for_mutant(name, path=path)}")
        killed = sum(became in KILLED for became in status.values())
        if total := killed + len(survivors):
            low, high = interval(killed, total)
            share = f"{killed / total:6.1%} ({low:.0%} to {high:.0%})"
            scores.append(f"{path!s:48}{killed:5} of {total:5} killed: {share}")
    return scores


def main() -> None:
    """Check the packages that are asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="package or package.module; else all")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each; else all")
    parser.add_argument("--seed", type=int, default=0, help="which sample is drawn")
    options = parser.parse_args()
    scores = []
    for only in options.only or PACKAGES:
        package, _, module = only.partition(".")
        configure(package, module or "*")
        process = get_context("fork").Process(target=check, args=(options.sample, options.seed))
        process.start()
        process.join()
        scores += report()
    print("\n" + "\n".join(scores))


if __name__ == "__main__":
    main()
