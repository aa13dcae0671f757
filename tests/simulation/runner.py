"""Many seeds on all cores, and one seed again with the end of its trace."""

from __future__ import annotations

import logging
import multiprocessing
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice

from tests.simulation.kernel import Violation
from tests.simulation.mutations import MUTATIONS, Mutation, with_bug
from tests.simulation.story import Outcome, Story, tells_of_moves
from tests.simulation.themes import tells_of_averages

CHUNK = 10
"""Seeds that a core takes at a time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one seed came to: an outcome, or what went wrong and the end of the trace."""

    seed: int
    outcome: Outcome | None
    wrong: str = ""
    trace: str = ""


def simulate(seed: int, *, mutation: str = "", lines: int = 40, whole: bool = False) -> Verdict:
    """Run one seed, with a bug if one is named."""
    with with_bug(mutation):
        return _told(seed, lines, whole)


def _told(seed: int, lines: int, whole: bool) -> Verdict:
    logging.disable(logging.CRITICAL)  # full disks and torn files are what it is about
    story = Story(seed, whole=whole)
    try:
        return Verdict(seed, story.tell())
    except Violation as violation:
        wrong = str(violation)
    except Exception:  # whatever a state machine raises is a finding like any other
        wrong = traceback.format_exc(limit=-6)
    finally:
        logging.disable(logging.NOTSET)
    return Verdict(seed, None, f"at {story.kernel.now:.4f} s: {wrong}", story.tail(lines))


def simulate_all(seeds: Iterable[int], cores: int, mutation: str = "") -> Iterator[Verdict]:
    """Run many, in no particular order."""
    job = partial(simulate, mutation=mutation)
    if cores == 1:
        yield from map(job, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        yield from pool.imap_unordered(job, seeds, CHUNK)


@dataclass(frozen=True, slots=True)
class Catch:
    """How a mutation was found: by which of the seeds, and by which rule."""

    name: str
    seed: int | None
    wrong: str = ""

    @property
    def mutation(self) -> Mutation:
        """Return the bug."""
        return named(self.name)


def named(name: str) -> Mutation:
    """Return a mutation."""
    return next(mutation for mutation in MUTATIONS if mutation.name == name)


def hunt(name: str, seeds: range) -> Catch:
    """Run as many seeds with a bug, from the first on, until one of them finds it."""
    mutation = named(name)
    stories = (
        n
        for n in count(seeds.start)
        if (tells_of_moves(n) or not mutation.moving)
        and (tells_of_averages(n) or not mutation.averaging)
    )
    for seed in islice(stories, len(seeds)):
        verdict = simulate(seed, mutation=name, lines=0)
        if verdict.outcome is None:
            wrong = verdict.wrong.strip().splitlines()[-1]
            return Catch(name, seed, wrong)
    return Catch(name, None)


def hunt_each(names: Iterable[str], seeds: range, cores: int) -> Iterator[Catch]:
    """Do that with many bugs, in their order."""
    job = partial(hunt, seeds=seeds)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        yield from pool.imap(job, names)


def replay(seed: int, mutation: str = "") -> str:
    """Return the command that runs a seed again."""
    return f"make simulate SEED={seed}{f' MUTATION={mutation!r}' if mutation else ''}"
