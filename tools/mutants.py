"""Mutation testing: whether a package's own tests notice a small change of its code.

``python -m tools.mutants models store.journal --sample 200`` (`make mutants`). mutmut changes one place after the
other, and runs the tests that reach the changed function; what no test reaches has survived. Decorated functions stay
as they are: properties, and the numba kernels.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tomllib
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from mutmut.__main__ import _run as run_mutmut
from mutmut.__main__ import create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_src_dir, walk_mutatable_files
from scipy.stats import binomtest

PACKAGES: dict[str, list[str]]
PACKAGES = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutants"]
"""The packages that are changed, and where the tests of each are."""
PROCESSES = 2
KILLED = ("killed", "segfault", "timeout")
SURVIVED = ("survived", "no tests")


def configure(package: str, module: str) -> None:
    """Have mutmut change these modules, and run the package's own tests."""
    own = f"streammac/{package}"
    config().only_mutate = [f"{own}/{module}.py"]
    config().pytest_add_cli_args_test_selection = [*PACKAGES[package], own]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Run the fastest tests first: most mutants are killed by many (a hook; pytest loads this module)."""
    items.sort(key=lambda item: state().duration_by_test.get(item.nodeid, 0.0))


def pytest_sessionstart() -> None:
    """Load the profile of `check`: after tests/conftest.py has loaded its own, before tests take it over (a hook)."""
    settings.load_profile("mutants")


def check(sample: int, seed: int) -> None:
    """Run the tests on the mutants, or on a sample: in a process of its own, which imports the changed code."""
    shutil.rmtree("mutants", ignore_errors=True)
    copy_src_dir()
    create_mutants(PROCESSES)
    names = sorted(name for path in walk_mutatable_files() for name in results(path))
    os.environ["PYTHONPATH"] = str(Path("mutants").absolute())  # for processes that tests start
    # a failure need not be made small, and chance is not to decide what survives
    settings.register_profile(
        "mutants",
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[
            HealthCheck.differing_executors
        ],  # mutmut runs tests again and again
    )
    run_mutmut(random.Random(seed).sample(names, min(sample or len(names), len(names))), PROCESSES)


def results(path: Path) -> dict[str, str]:
    """Return what became of each mutant of a file."""
    mutants = SourceFileMutationData(path=path)
    mutants.load()
    return {name: status_by_exit_code[code] for name, code in mutants.exit_code_by_key.items()}


def report(only: str) -> list[str]:
    """Print the survivors as diffs; return the score of each module, and of all with its interval of 95 %."""
    lines, everything = [], []
    for path in sorted(walk_mutatable_files()):
        status = results(path)
        for name in (name for name, became in status.items() if became in SURVIVED):
            print(f"\n# {name}: {status[name]}\n{get_diff_for_mutant(name, path=path)}", flush=True)
        tested = [became in KILLED for became in status.values() if became in KILLED + SURVIVED]
        lines += [f"  {path.stem:22}{sum(tested):5} of {len(tested):4} killed"] if tested else []
        everything += tested
    return [f"{only}: {score(sum(everything), len(everything))}", *lines]


def score(killed: int, tested: int) -> str:
    """Return how many were killed, and between which shares of all mutants that puts the score (95 %).

    >>> score(36, 40), score(0, 0)
    ('36 of 40, 77% to 96% of all', 'nothing was tested')
    """
    if not tested:
        return "nothing was tested"
    share = binomtest(killed, tested).proportion_ci(method="wilson")
    return f"{killed} of {tested}, {share.low:.0%} to {share.high:.0%} of all"


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
        scores += report(only)
    print("\n" + "\n".join(scores))


if __name__ == "__main__":
    main()
