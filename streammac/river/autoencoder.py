"""A binary autoencoder that follows the window: the scikit-learn estimator, by the rules that it has for streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streammac.models.base import Array, Floats
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.estimator import BinaryAutoencoder
from streammac.river.features import Name
from streammac.river.learner import WindowLearner, rows_of


@dataclass(frozen=True, slots=True)
class Trained:
    """A model with the features that it is of.

    Attributes
    ----------
    columns : tuple of D names
        Features in the order of the model's inputs.
    params : mapping of str to array
        See `streammac.models.binary_autoencoder`.
    usual : float
        Mean error of the points that it was trained on, those aside that are far from all others.
    """

    columns: tuple[Name, ...]
    params: Mapping[str, Array]
    usual: float


class AutoencoderLearner(WindowLearner):
    """Trains a binary autoencoder on the window; subclasses make an estimator of it, and explain the parameters."""

    def __init__(self, bits: int, window: int, every: int, seed: int) -> None:
        super().__init__(window, every, seed)
        self.bits = bits
        self._family = BinaryAutoencoderModel(bits=bits, seed=seed)
        self._autoencoder = BinaryAutoencoder(bits, window=window, random_state=seed)
        self._trained: Trained | None = None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        # River's checks bring few points
        yield {"bits": 4, "window": 200, "every": 25}

    def learn_one(self, x: Mapping[Any, Any]) -> None:
        """Keep a point; with every so many of them, train.

        Raises
        ------
        FeatureError
            If a feature is no number; the point is not kept.
        """
        self._keep(self._row(x))

    def learn_many(self, X: Any) -> None:
        """Learn the points of a data frame, one after the other."""
        for x in rows_of(X):
            self.learn_one(x)

    def _begin(self, points: Floats) -> None:
        self._autoencoder.fit(points)
        self._follow()

    def _go_on(self, new: Floats) -> None:
        self._autoencoder.partial_fit(new)
        self._follow()

    def _follow(self) -> None:
        found = self._autoencoder
        self._trained = self._followed(Trained(self._columns, found.params_, found.objective_))

    def _followed(self, new: Trained) -> Trained:
        """Return the model that is used from now on."""
        return new
