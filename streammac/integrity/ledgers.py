"""Ledgers: of ingest nodes, and of points that workers hand to others."""

from __future__ import annotations

from collections.abc import Iterator

from streammac.files import log
from streammac.files.replace import replace
from streammac.integrity.documents import set_aside
from streammac.integrity.finding import Finding
from streammac.run_directory import RunDirectory

DOUBLES = "what it does not know to be settled is sent again, and may be stored twice"


def check_ledgers(directory: RunDirectory, *, repair: bool) -> Iterator[Finding]:
    """Yield the ledgers that their processes would refuse."""
    locks = [
        *directory.root.glob("ingest/*/ledger.lock"),
        *directory.root.glob("ingest/*/waiting.lock"),
        *directory.shards.glob("*/handover.lock"),
    ]
    for mark in sorted(locks):
        path = mark.with_suffix("")
        name = str(path.relative_to(directory.root))
        contents = log.read(path.read_bytes() if path.exists() else b"")
        if not contents.entries and mark.stat().st_size:
            text = "is empty" if path.exists() else "is missing"
            if repair:
                set_aside(path)
                mark.write_bytes(b"")
            yield Finding(name, text, f"repair: is begun anew; {DOUBLES}", repaired=repair)
        elif contents.damage is not None:
            if repair:
                set_aside(path)
                kept = b"".join(log.framed(bytes(entry.body)) for entry in contents.entries)
                replace(path, kept, sync=True)
            yield Finding(
                name,
                f"is damaged at byte {contents.damage}",
                f"repair: the {len(contents.entries)} records that are readable are kept; {DOUBLES}",
                repaired=repair,
            )
