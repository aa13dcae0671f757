"""Whether a version becomes the current one: a paired test on the same queries.

Users encode all they have again when the current version changes, so a version has to be better by more than the
noise. Two versions are measured on the same queries among the same points; of the differences per query the mean
is held against its standard error (Student's one-sided paired test).

Many candidates are tried one after the other, so the level is strict. Of equal ones on the same probe who passes has
had luck, and the next one needs more than that: three hundred of them lead to a promotion in one case of three, and
hardly ever to a second one. The ten of one continuation, which resemble each other, do so in one case of thirty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streammac.publishing.measurement import NORMAL, Measurement

LEVEL = 0.01
"""One-sided level of the tests."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference, its standard error, and the number of queries that it is of."""

    mean: float
    error: float
    queries: int

    @classmethod
    def of(cls, new: Measurement, old: Measurement) -> Difference:
        """Compare two measurements of one probe, query by query.

        Raises
        ------
        ValueError
            If they are of different probes.
        """
        if new.probe != old.probe:
            raise ValueError(f"measured on probes {new.probe} and {old.probe}: not comparable")
        differences = new.leading - old.leading
        return cls(float(differences.mean()), standard_error(differences), len(differences))

    @property
    def is_gain(self) -> bool:
        """Whether the new one is better by more than the noise."""
        return self.mean > 0 and self.mean > _quantile(self.queries) * self.error

    def __str__(self) -> str:
        """Return it in words, with half the width of its 95 % confidence interval."""
        side = "better" if self.mean > 0 else "worse"
        return f"{abs(self.mean):.4f} ± {NORMAL * self.error:.4f} {side}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version is promoted, and why."""

    promoted: bool
    reason: str


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of (q,) values; infinite of a single one."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _quantile(queries: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(1, queries - 1), 1.0 - LEVEL))


def has_fallen(then: Measurement, now: Measurement) -> bool:
    """Say whether a version has become worse than it was.

    Its lead over a baseline is looked at that is fitted anew on each probe: the level itself falls by nothing else than
    that more points are stored, and rises and falls with the queries.

    Parameters
    ----------
    then, now : Measurement
        When it was promoted, and on the newest probe.
    """
    loss = (then.model - then.reference) - (now.model - now.reference)
    error = math.hypot(standard_error(then.leading), standard_error(now.leading))
    return loss > 0 and loss > _quantile(min(then.queries, now.queries)) * error


def is_not_worse(new: Measurement | None, old: Measurement | None) -> bool:
    """Say whether training may go on from a version: noise may decide between equals, but each is as good."""
    return new is not None and old is not None and Difference.of(new, old).mean >= 0


def judge(
    new: Measurement | None,
    current: Measurement | None,
    then: Measurement | None,
    version: int,
) -> Decision:
    """Decide whether a version is to be promoted.

    Parameters
    ----------
    new, current : Measurement or None
        Of the version and of the current one, on the same probe; None where they could not be measured.
    then : Measurement or None
        Of the current one when it was promoted, or the first one since.
    version : int
        Number of the current version.
    """
    if new is None or current is None:
        return Decision(False, "could not be measured")
    gain = Difference.of(new, current)
    text = f"{new.model:.4f}, {gain} than version {version}"
    if gain.is_gain:
        return Decision(True, text)
    if then is not None and gain.mean >= 0 and has_fallen(then, current):
        return Decision(True, f"{text}, which has become worse than it was")
    return Decision(False, f"{text}, no more than the noise" if gain.mean > 0 else text)
