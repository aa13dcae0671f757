"""River estimators on the in-process ring: codes as features, reconstruction errors as anomaly scores, deep nets.

They keep a window of the newest points and train after every so many new ones, with the rules of a cluster
(`streammac.models.renewal`): shortly from the model there is, or from new statistics. Nothing else of streammac
imports River for it; docs/river.md says when this is worth it, and when River alone is better.
"""

from __future__ import annotations

from streammac.river.anomaly import ReconstructionScorer
from streammac.river.codes import BinaryCodes
from streammac.river.features import FeatureError
from streammac.river.nets import DeepNetClassifier, DeepNetRegressor

__all__ = [
    "BinaryCodes",
    "DeepNetClassifier",
    "DeepNetRegressor",
    "FeatureError",
    "ReconstructionScorer",
]
