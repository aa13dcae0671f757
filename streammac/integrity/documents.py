"""Documents of a run directory: settings, what the coordinator remembers, workers, versions, the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streammac.files import document
from streammac.integrity.finding import Finding
from streammac.run_directory import FORMAT, RunDirectory

WITHOUT = {
    "settings.json": "the settings have to be named again",
    "coordinator.json": "what was counted in former runs, and the epoch, are not known any more",
    "workers.json": "workers that were added have to be added again, or their points stay away",
    "models/versions.json": "the newest version is taken for the current one",
}
"""What comes of it where a document is set aside."""
DAMAGED = ".damaged"
"""How the name of a file ends that a repair has set aside."""


def check_documents(directory: RunDirectory, *, repair: bool) -> Iterator[Finding]:
    """Yield the documents that are not as they were written."""
    for name, without in WITHOUT.items():
        path = directory.root / name
        try:
            found = document.load(path)
        except document.Damaged as error:
            if repair:
                set_aside(path)
                set_aside(path.with_name(path.name + document.FORMER))
            yield Finding(name, _text(error), f"repair: is set aside; {without}", repaired=repair)
            continue
        if found is not None and found.damage:
            if repair:
                set_aside(path)
                document.save(path, found.content)
            text = found.damage.removeprefix(f"{path}: ")
            yield Finding(
                name, text, "repair: is written anew from the former generation", repaired=repair
            )


def check_format(directory: RunDirectory, *, repair: bool) -> Iterator[Finding]:
    """Yield the format, if it cannot be read; without it no other command opens the directory."""
    path = directory.format
    try:
        document.decode(path.read_bytes())
        return
    except FileNotFoundError:
        text = "is missing"
    except ValueError as error:
        text = f"is damaged ({error})"
    if repair:
        try:
            state = document.load(directory.coordinator_state)
        except document.Damaged:
            state = None
        cluster = state.content.get("cluster") if state is not None else None
        known = {"cluster": cluster} if cluster else {}
        document.save(path, {"format": FORMAT, **known})
    yield Finding(path.name, text, f"repair: is written anew as format {FORMAT}", repaired=repair)


def set_aside(path: Path) -> None:
    """Give a file a name by which nothing knows it any more."""
    if path.exists():
        path.rename(path.with_name(path.name + DAMAGED))


def _text(error: Exception) -> str:
    return str(error).partition(": ")[2].partition(" - ")[0]
