"""A small file of JSON that tells whether it is as it was written.

The content stands beside its checksum. What must not be lost with one bad sector keeps its former generation, too,
in a file of its own that `load` falls back on.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streammac.errors import StreammacError
from streammac.files.replace import SCRATCH, replace

FORMER = ".former"
"""How the name of a former generation ends."""
REMEDY = "put it back from a copy, or see what `streammac check` can do"
"""For a file without which nothing goes on."""


class Damaged(StreammacError):
    """A document is not as it was written; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a document holds; ``damage`` says what is wrong where this is its former generation."""

    content: dict[str, Any]
    damage: str = ""


def encode(content: object) -> bytes:
    """Return a document's bytes."""
    return json.dumps({"crc32": checksum(content), "content": content}, indent=1).encode()


def decode(data: bytes) -> dict[str, Any]:
    """Return the content of a document; one from before there were checksums is taken as it is.

    Raises
    ------
    ValueError
        If it is not as it was written, or no object.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(value, dict) and value.keys() & {"crc32", "content"}:
        if value.get("crc32") != checksum(value.get("content")):
            raise ValueError("its checksum does not fit")
        value = value["content"]
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return value


def checksum(content: object) -> int:
    """Return the CRC-32 of what JSON can say, however its keys are ordered."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def save(path: Path, content: object, *, keep_former: bool = False) -> None:
    """Replace a document: after a crash, be it of the machine, it is the old one or the new one.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.
    content : object
        What JSON can say.
    keep_former : bool
        Whether the former generation stays beside it; of the first one a second copy.

    Raises
    ------
    OSError
        If the disk takes no more; the old one is there then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if keep_former:
        _keep(path)
    replace(path, encode(content), sync=True)
    former = path.with_name(path.name + FORMER)
    if keep_former and not former.exists():
        replace(former, encode(content), sync=True)


def _keep(path: Path) -> None:
    """Give the present generation a second name, unless it is damaged and the former one may still be needed."""
    try:
        decode(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return
    scratch = path.with_name(f"{path.name}{FORMER}{SCRATCH}")
    with contextlib.suppress(OSError):  # a file system without links: there is no second copy then
        scratch.unlink(missing_ok=True)
        os.link(path, scratch)
        scratch.replace(path.with_name(path.name + FORMER))
        scratch.unlink(missing_ok=True)  # two names of one file are not replaced by each other


def load(path: Path) -> Loaded | None:
    """Return what a document holds, or its former generation where it is damaged or missing; None: there is neither.

    Raises
    ------
    Damaged
        If the document cannot be read, and there is no former generation that can.
    OSError
        If the disk fails.
    """
    try:
        return Loaded(decode(path.read_bytes()))
    except FileNotFoundError:
        damage = f"{path}: is missing"
    except ValueError as error:
        damage = f"{path}: is damaged ({error})"
    try:
        former = decode(path.with_name(path.name + FORMER).read_bytes())
    except FileNotFoundError:
        if damage.endswith("missing"):
            return None
        raise Damaged(f"{damage} - {REMEDY}") from None
    except ValueError as error:
        raise Damaged(
            f"{damage}, and so is its former generation ({error}) - put one back from a copy"
        ) from None
    return Loaded(former, f"{damage}; its former generation is used")
