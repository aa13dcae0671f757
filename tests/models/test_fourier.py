"""Random Fourier features, and the model that sees them."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.fourier import WIDTH, drawn, features
from streammac.models.layout import joined
from streammac.points.block import PointBlock
from tests.models.test_binary_autoencoder import trained

SCALE = np.full(1, 3.0, np.float32)


def test_their_products_are_those_of_a_gaussian_kernel_less_a_mean():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 10)).astype(np.float32) * SCALE
    seen = features(drawn(20_000, 10, 0) | {"input/scale": SCALE}, x)
    distances = ((x[:, None] - x[None]) ** 2).sum(axis=2) / SCALE**2
    wanted = np.exp(-distances / (2 * WIDTH**2 * 2 * 10)) * 10
    found = seen @ seen.T / SCALE**2
    centre = np.eye(200) - 1 / 200
    np.testing.assert_allclose(centre @ found @ centre, centre @ wanted @ centre, atol=0.3)
    assert abs(seen.mean() / SCALE[0]) < 0.01


def test_none_are_drawn_of_none():
    assert drawn(0, 5, 0) == {}
    assert features({}, np.ones((2, 5), np.float32)) is None
    assert drawn(4, 5, 0)["input/phases"].tolist() != drawn(4, 5, 1)["input/phases"].tolist()


class TestModel:
    X = load_digits().data.astype(np.float32)
    MODEL = BinaryAutoencoderModel(bits=12, features=50, rotations=3)
    PARAMS, _ = trained(MODEL, X, epochs=3)

    def test_its_hash_functions_see_them(self):
        weight = joined(self.PARAMS, "encoder", "weight")
        assert weight.shape == (12, 64 + 50)
        assert np.abs(weight[:, 64:]).mean() > 0.01

    def test_its_first_one_makes_nothing_of_them(self):
        plain, _ = trained(BinaryAutoencoderModel(bits=12, rotations=3), self.X, epochs=1)
        first, _ = trained(self.MODEL, self.X, epochs=1)
        np.testing.assert_array_equal(first["init/encoder"][:, :64], plain["init/encoder"])
        assert not first["init/encoder"][:, 64:].any()

    def test_the_z_step_and_the_forward_pass_agree(self):
        h = self.MODEL.coordinates(self.PARAMS, self.X.copy())
        z, total = self.MODEL.z_step(self.PARAMS, PointBlock(self.X.copy()), h, 1e3)
        assert (z == h).mean() > 0.9999
        assert total.violated < 1

    def test_what_is_exported_is_all_that_numpy_needs(self):
        plain = self.MODEL.export(self.PARAMS)
        bent = np.cos(self.X @ plain["features.weight"].T + plain["features.bias"])
        seen = np.concatenate([self.X, bent], axis=1)
        bits = seen @ plain["encoder.weight"].T + plain["encoder.bias"] > 0
        assert (bits == self.MODEL.coordinates(self.PARAMS, self.X.copy())).mean() > 0.999
