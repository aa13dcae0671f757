from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streammac.errors import ExitCode, Failure
from streammac.models.capabilities import Codes, Predictions
from streammac.publishing import encoding
from streammac.publishing.encoding import encode_file, export_model, predict_file
from streammac.publishing.versions import ModelVersion, read_model


class Signs(Codes):
    """A model that stands in: code bit i is whether x @ a is positive."""

    family = "signs"

    def encode(self, params: Any, x: Any) -> Any:
        return np.packbits(x @ params["a"] > 0, axis=1)

    def export(self, params: Any) -> Any:
        return {"weights": params["a"]}

    def decode(self, params: Any, z: Any) -> Any:
        raise NotImplementedError

    def aligned(self, params: Any, x: Any, z: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    monkeypatch.setattr(encoding, "rebuild", lambda _: Signs())
    a = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    return ModelVersion({"version": 3, "model": {}}, {"a": a})


def points(n: int, dtype: Any = np.float32) -> Any:
    return (np.random.default_rng(n).normal(size=(n, 5)) * 50).astype(dtype)


def codes(x: Any, version: ModelVersion) -> Any:
    return Signs().encode(version.tensors, x.astype(np.float32))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 100])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16"])
def test_codes_come_in_the_order_of_the_vectors(
    tmp_path: Path, version: ModelVersion, monkeypatch: Any, n: int, dtype: str
) -> None:
    monkeypatch.setattr(encoding, "BATCH_BYTES", 7 * 20)  # 7 vectors
    x = points(n, dtype)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    told: list[tuple[int, int]] = []
    done = encode_file(
        tmp_path, mapped, tmp_path / "c.npy", version, lambda a, b: told.append((a, b))
    )
    assert done == n
    found = np.load(tmp_path / "c.npy", allow_pickle=False)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, codes(x, version))
    assert told[-1] == (n, n)
    assert len(told) == max(1, -(-n // 7))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.npy", "x.npy"]


def test_a_family_without_codes_is_told_of(tmp_path: Path, version: ModelVersion, monkeypatch: Any):
    class Teller:
        family = "teller"

    monkeypatch.setattr(encoding, "rebuild", lambda _: Teller())
    with pytest.raises(Failure, match="teller makes no codes") as caught:
        encode_file(tmp_path, points(3), tmp_path / "c.npy", version, lambda a, b: None)
    assert caught.value.code == ExitCode.BAD_INPUT
    assert not (tmp_path / "c.npy").exists()


@pytest.mark.parametrize("told", [np.arange(20) % 3, np.ones((20, 2), np.float32)], ids=str)
def test_predictions_come_in_the_order_of_the_vectors(
    tmp_path: Path, version: ModelVersion, monkeypatch: Any, told: Any
) -> None:
    class Teller(Predictions):
        family = "teller"

        def predict(self, params: Any, x: Any) -> Any:
            return told[x[:, 0].astype(int)]

    monkeypatch.setattr(encoding, "rebuild", lambda _: Teller())
    monkeypatch.setattr(encoding, "BATCH_BYTES", 7 * 20)
    x = np.tile(np.arange(20.0)[:, None], 5)
    assert predict_file(tmp_path, x, tmp_path / "y.npy", version, lambda a, b: None) == 20
    found = np.load(tmp_path / "y.npy", allow_pickle=False)
    assert found.dtype == told.dtype
    np.testing.assert_array_equal(found, told)
    monkeypatch.setattr(encoding, "rebuild", lambda _: Signs())
    with pytest.raises(Failure, match="signs predicts nothing - it makes codes"):
        predict_file(tmp_path, x, tmp_path / "z.npy", version, lambda a, b: None)


def test_a_failure_leaves_what_was_there(
    tmp_path: Path, version: ModelVersion, monkeypatch: Any
) -> None:
    monkeypatch.setattr(encoding, "BATCH_BYTES", 7 * 20)  # 7 vectors
    source, target = Path("x.npy"), tmp_path / "c.npy"
    x = points(10)
    x[8, 2] = np.nan
    target.write_bytes(b"old")
    with pytest.raises(Failure, match=r"x\.npy: row 8 ") as caught:
        encode_file(source, x, target, version, lambda *_: None)
    assert caught.value.code is ExitCode.BAD_INPUT
    x[8, 2] = 1e20
    with pytest.raises(Failure, match="row 8 holds a number that is not finite or out of range"):
        encode_file(source, x, target, version, lambda *_: None)
    with pytest.raises(Failure, match="vectors of length 4 do not suit the model"):
        encode_file(source, x[:5, :4], target, version, lambda *_: None)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["c.npy"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_model_that_is_not_finite_is_not_exported(
    tmp_path: Path, version: ModelVersion, suffix: str
) -> None:
    version.tensors["a"][1, 2] = np.inf
    with pytest.raises(Failure, match=r"not written: .*NaN or infinite numbers in (a|weights)"):
        export_model(version, tmp_path / f"model{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written(tmp_path: Path, version: ModelVersion) -> None:
    with pytest.raises(Failure, match="cannot be written: No such file"):
        encode_file(Path("x"), points(3), tmp_path / "no" / "c.npy", version, lambda *_: None)


def test_exports(tmp_path: Path, version: ModelVersion) -> None:
    export_model(version, tmp_path / "m.safetensors")
    again = read_model(tmp_path / "m.safetensors")
    assert again.metadata == version.metadata
    np.testing.assert_array_equal(again.tensors["a"], version.tensors["a"])
    export_model(version, tmp_path / "m.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "m.npz")["weights"], version.tensors["a"])
    with pytest.raises(Failure, match="ends in"):
        export_model(version, tmp_path / "m.bin")
