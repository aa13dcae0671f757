"""What other packages add: families of models, learners, serialisers, by the entry points of their installation.

Only what is installed can be named. A name in a setting, a model file or a message never becomes an import path: peers
cannot have a process load what its owner has not put there.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from streammac.errors import StreammacError

FAMILIES = "streammac.families"
LEARNERS = "streammac.learners"
SERIALISERS = "streammac.serialisers"


class PluginError(StreammacError, ValueError):
    """What is installed under a name is of no use; the message says where it comes from."""


def installed(group: str) -> dict[str, EntryPoint]:
    """Return what is installed, by name; of two with the same name the last one."""
    return {entry.name: entry for entry in entry_points(group=group)}


def loaded(entry: EntryPoint) -> Any:
    """Import it.

    Raises
    ------
    PluginError
        If that fails, whatever the reason: the code is not ours.
    """
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(
            f"{entry.name}: cannot load {entry.value} (entry point of {entry.group}): "
            f"{type(error).__name__}: {error}"
        ) from error
