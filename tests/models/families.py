"""A small model of every family, for what all of them have to keep to."""

from __future__ import annotations

from streammac.models.base import NestedModel
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.deep_net import DeepNetModel
from streammac.models.learner_codes import LearnerCodesModel
from streammac.models.linear_model import LinearModel

MODELS: tuple[NestedModel, ...] = (
    BinaryAutoencoderModel(bits=16, block_bits=4, rotations=5),
    DeepNetModel(layers=(48, 32), classes=10, slice_points=600, passes=2),
    LearnerCodesModel(bits=6, learner_options={"average": True}),
    LinearModel(classes=10),
)
SMALL = {model.family: model for model in MODELS}
