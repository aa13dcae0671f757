"""The commands of a page of the manual, as it has them: ``host-a$ COMMAND`` in blocks of a section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_LINE = re.compile(r"(?P<host>[a-z][a-z0-9-]*)\$ (?P<command>.*)")
_PLACEHOLDER = re.compile(r"(allow (?P<name>\S+)) [0-9a-f]{4}\.\.\.")
RUNS = re.compile(r"\bstreammac (coordinator|worker|ingest|up)\b")
"""Commands that do not end by themselves."""


def commands(page: Path, section: str) -> Iterator[tuple[str, str]]:
    """Yield the host and the command of each line of a section that has any.

    Parameters
    ----------
    page : Path
        Markdown.
    section : str
        Its heading.
    """
    text = page.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    for block in text.split("```")[1::2]:
        for line in block.splitlines():
            if match := _LINE.fullmatch(line):
                yield match["host"], match["command"]


def with_key(command: str, keys: dict[str, str]) -> str:
    """Return a command with the key that stands for ``3f0c...`` in it."""
    return _PLACEHOLDER.sub(lambda found: f"{found[1]} {keys[found['name']]}", command)
