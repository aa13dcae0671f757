"""What a model sees of a stream: the length of x, and of y."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and targets of a stream's points.

    Attributes
    ----------
    inputs : int
        Length of x, D.
    targets : int
        Length of y, K; 0: there is none. Where it is a class, y is one number; the family knows how many classes
        there are.
    """

    inputs: int
    targets: int = 0
