"""How a model is trained by many: `training.strategy`, as the model that a worker's part in the ring trains."""

from __future__ import annotations

from streammac.models.base import NestedModel
from streammac.models.capabilities import check_differentiable, check_vectorial
from streammac.models.consensus_training import ConsensusTraining
from streammac.models.radon_training import RadonTraining
from streammac.models.signature import Signature


def check(model: NestedModel, signature: Signature, points: int) -> None:
    """Check whether a model can be trained as it is to be, on points like this, of which training begins with so many.

    Raises
    ------
    TooManyParameters, TooFewPoints
        If Radon points cannot be made.
    """
    if isinstance(model, RadonTraining):
        model.check(signature, points)


def trained_by(
    strategy: str,
    model: NestedModel,
    *,
    height: int = 1,
    minibatch: int = 512,
    budget: int | None = None,
) -> NestedModel:
    """Return what is trained where a model is to be trained so.

    Parameters
    ----------
    strategy : {"ring", "radon", "consensus"}
        ``training.strategy``.
    model : NestedModel
        The model, as users have it.
    height, minibatch : int
        ``training.height``, ``training.minibatch``.
    budget : int or None
        ``training.visit_budget``, points.

    Raises
    ------
    Incapable
        If models of its family cannot be trained so.
    """
    if strategy == "ring":
        return model
    if strategy == "consensus":
        check_differentiable(model)
        return ConsensusTraining(model, minibatch, budget)
    check_vectorial(model)
    return RadonTraining(model, height)
