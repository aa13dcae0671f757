"""Damages: a byte flipped, bytes zeroed, a file cut, emptied, removed, or replaced by an older one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LEFT_OUT = ("lock", "*.lock", "reserve", "logs/*", "quarantine/*", "*.part")
"""Files without content that counts."""


class Damage(NamedTuple):
    """One damage; ``at`` and ``size`` in bytes."""

    path: str
    kind: str
    at: int = 0
    size: int = 0

    def apply(self, root: Path, older: Path) -> None:
        path = root / self.path
        content = bytearray(path.read_bytes())
        match self.kind:
            case "flip":
                content[self.at] ^= self.size
            case "zero":
                content[self.at : self.at + self.size] = bytes(self.size)
            case "cut":
                del content[self.at :]
            case "remove":
                path.unlink()
                return
            case "older":
                source = older / self.path
                content = bytearray(source.read_bytes()) if source.exists() else bytearray()
        path.write_bytes(content)


def files(root: Path) -> list[Path]:
    found = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in found if not any(path.match(pattern) for pattern in LEFT_OUT)]


def damages(root: Path, rng: random.Random) -> Iterator[Damage]:
    """Yield damages for ever, file by file, so that small files get as many as large ones."""
    names = files(root)
    sizes = {name: used(root / name) for name in names}
    while True:
        for name in names:
            whole = name.parts[0] == "dead-letters"  # whoever removes some has dealt with them
            size = sizes[name]
            at = rng.randrange(size) if size else 0
            kind = rng.choice(["flip"] * 5 + ["zero", "zero", "cut", "empty", "remove", "older"])
            if kind == "flip" and size:
                yield Damage(str(name), "flip", at, 1 << rng.randrange(8))
            elif kind == "zero" and size:
                yield Damage(str(name), "zero", at, min(size - at, rng.choice([1, 16, 512, 4096])))
            elif whole:
                continue
            elif kind == "cut" and size:
                yield Damage(str(name), "cut", at)
            elif kind == "empty":
                yield Damage(str(name), "cut", 0)
            elif kind in ("remove", "older"):
                yield Damage(str(name), kind)


def used(path: Path) -> int:
    """Return the size of a file without the zeros at its end."""
    return len(path.read_bytes().rstrip(b"\0"))
