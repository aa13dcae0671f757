"""Packages that add something, as a package manager leaves them."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, entry_points: str) -> None:
    """Lay down what says which entry points a package has; its folder is to stand in the path."""
    info = folder / "example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
