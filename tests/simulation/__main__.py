"""``python -m tests.simulation``: run seeds, replay one, or see which mutations are found.

``--seeds N`` runs N of them on all cores, ``--seed K`` runs one and prints the end of its trace, ``--mutations``
prints a table. The exit code is 1 if a rule did not hold, or a mutation was not found.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.simulation.mutations import MUTATIONS, UnknownMutation, with_bug
from tests.simulation.runner import Verdict, hunt_each, replay, simulate, simulate_all

SHOWN = 5
"""Of more findings than that only the seeds are printed."""
REASON = 110
"""Longest reason in the table of mutations."""
MUTATION_SEEDS = 100
"""A mutation must be found by one of so many seeds."""


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--step", type=int, default=1, help="from one to the next of them")
    parser.add_argument("--seed", type=int, help="run this one alone, and print its trace")
    parser.add_argument("--lines", type=int, default=40, help="lines of a trace")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutation", default="", help="with this bug, see --mutations")
    parser.add_argument("--mutations", action="store_true", help="which bugs are found?")
    wanted = parser.parse_args()
    if wanted.mutations:
        return hunt_all(range(wanted.first, wanted.first + MUTATION_SEEDS), wanted.cores)
    try:
        with_bug(wanted.mutation)
    except UnknownMutation as error:
        parser.error(str(error))
    if wanted.seed is not None:
        verdict = simulate(wanted.seed, mutation=wanted.mutation, lines=wanted.lines, whole=True)
        return show(verdict, wanted.mutation)
    seeds = range(wanted.first, wanted.first + wanted.seeds * wanted.step, wanted.step)
    return run_many(seeds, wanted.cores, wanted.mutation)


def show(verdict: Verdict, mutation: str = "") -> int:
    """Print what one seed came to; return the exit code."""
    if verdict.outcome is not None:
        print(f"seed {verdict.seed}: {verdict.outcome}")
        return 0
    print(f"seed {verdict.seed}: {verdict.wrong}\n\n{verdict.trace}\n")
    print(f"again: {replay(verdict.seed, mutation)}")
    return 1


def run_many(seeds: range, cores: int, mutation: str = "") -> int:
    """Run many seeds and print what went wrong, and what it all came to."""
    begin = time.perf_counter()
    failed, outcomes = [], []
    for verdict in simulate_all(seeds, cores, mutation):
        if verdict.outcome is not None:
            outcomes.append(verdict.outcome)
            continue
        failed.append(verdict.seed)
        if len(failed) <= SHOWN:
            show(verdict, mutation)
    wall = time.perf_counter() - begin
    print(
        f"{len(seeds)} seeds, {len(failed)} failed; {wall:.0f} s on {cores} cores, "
        f"{sum(o.seconds for o in outcomes) / 3600:.1f} simulated hours, "
        f"{sum(o.events for o in outcomes):,} events"
    )
    print(
        f"{sum(o.epochs for o in outcomes):,} epochs, {sum(o.views for o in outcomes):,} views, "
        f"{sum(o.visits for o in outcomes):,} visits, of which {sum(o.hops_lost for o in outcomes):,} "
        "were lost with those who had made them"
    )
    if failed:
        print("failed:", *sorted(failed))
    return 1 if failed else 0


def hunt_all(seeds: range, cores: int) -> int:
    """Print which seed finds each mutation, and how."""
    print("| mutation | what is wrong | found by seed | because |\n|---|---|---|---|")
    missed = 0
    for catch in hunt_each([mutation.name for mutation in MUTATIONS], seeds, cores):
        missed += catch.seed is None
        seed = "**none**" if catch.seed is None else str(catch.seed)
        mutation = catch.mutation
        print(
            f"| {mutation.name} | {mutation.breaks} | {seed} | {short(catch.wrong)} |", flush=True
        )
    print(f"\n{len(MUTATIONS) - missed} of {len(MUTATIONS)} are found within {len(seeds)} seeds")
    return 1 if missed else 0


def short(wrong: str) -> str:
    """Return the beginning of what went wrong, for a table."""
    words = wrong.replace("|", "/")
    return words if len(words) <= REASON else words[:REASON] + " ..."


if __name__ == "__main__":
    sys.exit(main())
