"""What a family's models are measured by, where the points are: partial results of shards, and what they add up to.

A *probe* is a fixed set of queries and of stored points. Each shard makes a survey of its own points once, and then one
answer for each model that is measured. Surveys are merged into a key, which goes with every question; answers are sums.
What models are compared with is fitted on the same points, in a few rounds of further sums.
All of it is pure functions of arrays, so that one process with all points finds the same as many with a part each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Tensors
from streammac.points.block import PointBlock

Chunks: TypeAlias = Callable[[], Iterable[PointBlock]]
"""Goes through a shard's points again, always the same in the same pieces; x (n, D) float32, may be overwritten."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What one shard tells of its points when a probe is opened.

    Attributes
    ----------
    told : dict
        Goes to whoever merges.
    kept : dict
        Stays with the shard, for its answers.
    """

    told: Tensors
    kept: Tensors


@dataclass(frozen=True, slots=True)
class Scores:
    """How a model did.

    Attributes
    ----------
    shares : mapping
        Of each measure, its value for each query, (q,): 0 is the worst and 1 the best.
    properties : mapping
        Other numbers that say something of the model.
    """

    shares: Mapping[str, NDArray[np.float64]]
    properties: Mapping[str, float]

    @staticmethod
    def mean(several: Sequence[Scores]) -> Scores:
        """Return the means over several models; properties are those of the first."""
        first = several[0]
        if len(several) == 1:
            return first
        shares = {
            name: np.mean([scores.shares[name] for scores in several], axis=0)
            for name in first.shares
        }
        return Scores(shares, first.properties)


class Measures(ABC):
    """The measures of one family of models."""

    names: ClassVar[Mapping[str, str]]
    """Each measure, and what it is in words."""
    leading: ClassVar[str]
    """By which versions are compared, unless another one is asked for."""
    titles: ClassVar[Mapping[str, str]]
    """The model and all that it is compared with, in words; ``initial`` is the model from which training began."""
    reference: ClassVar[str]
    """Which of these is fitted anew on each probe: a model that loses its lead over it has become worse."""
    rounds: ClassVar[int]
    """Of fitting the baselines."""

    # -- one shard ------------------------------------------------------------------------

    @abstractmethod
    def survey(self, queries: PointBlock, chunks: Chunks) -> Survey:
        """Look at a shard's points."""

    @abstractmethod
    def answer(
        self,
        params: Mapping[str, Array],
        queries: PointBlock,
        chunks: Chunks,
        kept: Tensors,
        key: Mapping[str, Array],
    ) -> Tensors:
        """Measure a model on a shard's points; what is returned adds up over shards."""

    @abstractmethod
    def fit(self, state: Mapping[str, Array], chunks: Chunks, kept: Tensors) -> Tensors:
        """Do one round of fitting the baselines on a shard's points; what is returned adds up over shards."""

    # -- all of them ----------------------------------------------------------------------

    @abstractmethod
    def check_survey(self, told: Mapping[str, Array], queries: PointBlock, points: int) -> None:
        """Raise ValueError if this is no survey of so many points."""

    @abstractmethod
    def agree(self, told: Sequence[Mapping[str, Array]]) -> Tensors:
        """Return the key, from the surveys of all shards."""

    @abstractmethod
    def begin_fit(
        self, told: Sequence[Mapping[str, Array]], queries: PointBlock, seed: int
    ) -> Tensors:
        """Return the state with which fitting the baselines begins, from the surveys of all shards."""

    @abstractmethod
    def check_fit(self, total: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Raise ValueError if a shard cannot answer so in a round of fitting."""

    @abstractmethod
    def end_round(self, state: Tensors, total: Mapping[str, Array]) -> Tensors:
        """Return the state of the next round, from the sum of what all shards have returned."""

    @abstractmethod
    def baselines(self, state: Mapping[str, Array], seed: int) -> dict[str, tuple[Tensors, ...]]:
        """Return what models are compared with, by name, as parameters; of several, the mean counts."""

    @abstractmethod
    def initial(self, params: Mapping[str, Array]) -> Tensors | None:
        """Return the model from which training made this one, if its parameters still tell."""

    @abstractmethod
    def check_answer(
        self, answer: Mapping[str, Array], told: Mapping[str, Array], points: int
    ) -> None:
        """Raise ValueError if a shard of so many points, with this survey, cannot answer so."""

    @abstractmethod
    def conclude(self, total: Mapping[str, Array]) -> Scores:
        """Return the scores, from the sum of all answers."""
