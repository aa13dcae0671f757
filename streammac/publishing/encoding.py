"""Files of vectors to codes or predictions, models to files: ``encode``, ``predict``, ``model export``.

Vectors are read and encoded in batches, so that a mapped file may be larger than memory.
Both writers put a whole file in place at the end, or leave what was there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammac.errors import ExitCode, Failure
from streammac.files.replace import replacing
from streammac.models.capabilities import Incapable, codes_of, predictions_of
from streammac.points.range import OUTSIDE, told_not_finite, within
from streammac.publishing.versions import ModelVersion, VersionError, rebuild, write_model

Apply: TypeAlias = Callable[[Mapping[str, NDArray[Any]], NDArray[np.float32]], NDArray[Any]]
"""What a model makes of parameters and points."""
BATCH_BYTES = 16 << 20
"""Size of a batch of vectors, as float32."""


def _refuse(path: Path, why: str) -> Failure:
    return Failure(ExitCode.BAD_INPUT, f"{path}: {why}")


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise _refuse(path, f"cannot be written: {error.strerror}") from None


def encode_file(
    source: Path,
    vectors: NDArray[Any],
    target: Path,
    version: ModelVersion,
    advance: Callable[[int, int], None],
) -> int:
    """Encode vectors into a file of codes; return how many there were.

    Parameters
    ----------
    source : Path
        Where the vectors come from, for messages.
    vectors : ndarray
        (n, D) of any type of number; may be mapped into memory, batches of it are copied.
    target : Path
        Gets (n, ceil(L / 8)) uint8 packed codes, .npy, rows in the order of the vectors.
    version : ModelVersion
        With which model.
    advance : callable
        Is told after each batch how many are done, and of how many.

    Raises
    ------
    Failure
        If the model makes no codes, the vectors are not what it expects, or one is not finite or out of range.
    """
    apply = _understood(lambda: codes_of(rebuild(version.metadata)).encode)
    return _apply_to_file(apply, source, vectors, target, version, advance)


def predict_file(
    source: Path,
    vectors: NDArray[Any],
    target: Path,
    version: ModelVersion,
    advance: Callable[[int, int], None],
) -> int:
    """Write what a model predicts of vectors, classes (n,) or numbers (n, K), .npy; see `encode_file`."""
    apply = _understood(lambda: predictions_of(rebuild(version.metadata)).predict)
    return _apply_to_file(apply, source, vectors, target, version, advance)


def _understood(ask: Callable[[], Apply]) -> Apply:
    try:
        return ask()
    except Incapable as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None


def _apply_to_file(
    apply: Apply,
    source: Path,
    vectors: NDArray[Any],
    target: Path,
    version: ModelVersion,
    advance: Callable[[int, int], None],
) -> int:
    total, dim = len(vectors), int(vectors.shape[1])
    batch = max(1, BATCH_BYTES // (4 * max(1, dim)))
    with _replacing(target) as file:
        header_written = False
        for first in range(0, max(total, 1), batch):
            x = np.array(vectors[first : first + batch], np.float32)
            inside = within(x)
            if not inside.all():
                row = first + int(np.argmin(inside))
                raise _refuse(source, f"row {row} holds a number that is {OUTSIDE}")
            try:
                found = apply(version.tensors, x)
            except ValueError as error:
                raise _refuse(
                    source, f"vectors of length {dim} do not suit the model: {error}"
                ) from None
            if not header_written:
                header_written = True
                shape = (total, *found.shape[1:])
                header = {"descr": found.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(found).data)
            advance(min(first + batch, total), total)
    return total


def export_model(version: ModelVersion, target: Path) -> None:
    """Write a version to a file of its own.

    ``.safetensors`` keeps all of it, for ``streammac encode --model``; ``.npz`` holds plain arrays
    that apply to raw inputs, for numpy alone.

    Raises
    ------
    Failure
        If the suffix is another one, or the file cannot be written.
    """
    if target.suffix == ".safetensors":
        try:
            write_model(target, version.tensors, version.metadata)
        except OSError as error:
            raise _refuse(target, f"cannot be written: {error.strerror}") from None
        except VersionError as error:
            raise _refuse(target, f"not written: {error}") from None
    elif target.suffix == ".npz":
        plain: dict[str, Any] = dict(rebuild(version.metadata).export(version.tensors))
        wild = told_not_finite(plain)
        if wild:
            raise _refuse(target, f"not written: {wild}")
        with _replacing(target) as file:
            np.savez(file, allow_pickle=False, **plain)
    else:
        raise _refuse(target, "expected a name that ends in .safetensors or .npz")
