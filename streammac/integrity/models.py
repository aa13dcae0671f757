"""Model versions."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from streammac.integrity.documents import set_aside
from streammac.integrity.finding import Finding
from streammac.publishing.versions import VersionError, VersionStore, read_model
from streammac.run_directory import RunDirectory


def check_models(directory: RunDirectory, *, repair: bool) -> Iterator[Finding]:
    """Yield the versions that cannot be used, and a current one that is not there."""
    versions = VersionStore(directory.models, keep=sys.maxsize)  # a check removes none
    for version in versions.list():
        path = versions.file(version)
        try:
            read_model(path)  # one of another release is whole
        except VersionError as error:
            if repair:
                set_aside(path)
            text = str(error).removeprefix(f"{path}: ").partition(" - ")[0]
            name = str(path.relative_to(directory.root))
            yield Finding(name, text, "repair: is set aside", repaired=repair)
    current = versions.current
    if current and current not in versions.list():
        usable = versions.retreat() if repair else 0
        yield Finding(
            "models",
            f"version {current}, the current one, is missing",
            "repair: the newest usable version takes its place; without one training begins anew",
            repaired=usable > 0,
        )
