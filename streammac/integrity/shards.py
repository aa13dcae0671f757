"""Shards: every row of every segment, what describes them, and how many points the coordinator remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streammac.coordinator.accounts import Accounts
from streammac.errors import StreammacError
from streammac.files import document, log
from streammac.files.disk import Disk
from streammac.files.replace import replace
from streammac.integrity.documents import set_aside
from streammac.integrity.finding import Finding
from streammac.run_directory import RunDirectory
from streammac.store.description import NAME, Description
from streammac.store.directory import Checkpoint
from streammac.store.errors import StoreError
from streammac.store.journal import Opening, entries
from streammac.store.points import Schema
from streammac.store.recovery import WITHDRAWALS_DAMAGED, quarantined, survey
from streammac.store.shard import Shard
from streammac.store.withdrawals import Withdrawals

PASS_BYTES = 64 << 20


def check_shards(directory: RunDirectory, *, repair: bool) -> Iterator[Finding]:
    """Yield what is damaged or missing in the shards of all workers."""
    state = _remembered(directory)
    counts: dict[str, int] = {}
    unknown = set()
    for folder in (directory.shards, directory.held_out_shards):
        for path in sorted(entry for entry in folder.glob("*") if entry.is_dir()):
            name = str(path.relative_to(directory.root))
            try:
                findings, rows = _check(path, name, repair=repair)
            except StreammacError as error:
                yield from _described_badly(path, name, error, state, repair)
                unknown.add(path.name)
            else:
                yield from findings
                counts[path.name] = counts.get(path.name, 0) + rows
    for worker, shard in Accounts.from_json(state.get("accounts", {})).shards.items():
        missing = shard.appended - counts.get(worker, 0)
        if missing > 0 and worker not in unknown:
            yield Finding(
                f"shards/{worker}",
                f"{missing:,} points that it had are not there: files are cut, missing or older",
                "put them back from a copy; else they are counted as damaged with the next start",
            )


def _remembered(directory: RunDirectory) -> dict[str, Any]:
    try:
        found = document.load(directory.coordinator_state)
    except document.Damaged:
        return {}
    return found.content if found is not None else {}


def _check(path: Path, name: str, *, repair: bool) -> tuple[list[Finding], int]:
    known = Description.load(path)
    if known is None:
        raise StoreError(f"{path / NAME}: is missing")
    checkpoint = Checkpoint.load(path)
    withdrawals = Withdrawals(Disk(), path)
    found = survey(
        Disk(), path, known.schema, checkpoint, known.shard, withdrawals.rows, verify=True
    )
    texts = found.damage + ([WITHDRAWALS_DAMAGED] if withdrawals.damaged else [])
    rows = sum(segment.rows for segment, _ in found.found)
    lost = sum(lost.count for segment, _ in found.found for lost in segment.lost)
    if repair and texts:
        shard = Shard.open(path, known.schema)
        while shard.scrub(PASS_BYTES):
            pass
        shard.close()
    remedy = (
        "repair: a copy is set aside, and what is whole stays in use; the next start does the same"
    )
    findings = [
        Finding(f"{name}/{place}", text, remedy, repaired=repair)
        for place, _, text in (text.partition(": ") for text in texts)
    ]
    if lost + checkpoint.damaged and not texts:
        findings.append(
            Finding(
                name,
                f"{lost + checkpoint.damaged:,} points were damaged before, and are counted so",
                harmless=True,
            )
        )
    if quarantined(path):
        findings.append(
            Finding(
                f"{name}/quarantine",
                f"{quarantined(path)} copies of damaged files",
                "remove the folder when you have looked at it",
                harmless=True,
            )
        )
    return findings, checkpoint.rows + found.missing + rows


def _described_badly(
    path: Path, name: str, error: StreammacError, state: dict[str, Any], repair: bool
) -> Iterator[Finding]:
    """Yield why a shard cannot be read; a repair makes anew what describes it, as far as that is known."""
    text = str(error).removeprefix(f"{path}/").partition(" - ")[0]
    file, _, text = text.partition(": ")
    described: bytes | None
    if file == "checkpoint.json":
        described = _checkpoint(path).encode()
        remedy = (
            "repair: is written anew; batches that have expired are not known any more, and would be stored if they "
            "were sent again"
        )
    else:
        description = _description(path, state)
        described = None if description is None else description.encode()
        remedy = "repair: is written anew as the coordinator remembers the stream"
        if description is None:
            remedy = "put it back from a copy: nothing else says what the points look like"
    if repair and described is not None:
        set_aside(path / file)
        replace(path / file, described, sync=True)
    yield Finding(f"{name}/{file}", text, remedy, repaired=repair and described is not None)


def _openings(path: Path) -> dict[int, Opening]:
    found = {}
    for journal in sorted(path.glob("[0-9]*.journal")):
        for entry, *_ in entries(log.read(journal.read_bytes())):
            if isinstance(entry, Opening):
                found[int(journal.stem)] = entry
    return found


def _description(path: Path, state: dict[str, Any]) -> Description | None:
    stream = state.get("schema")
    shards = {opening.shard for opening in _openings(path).values()}
    if stream is None or len(shards) > 1:
        return None
    return Description(Schema.of_stream(**stream), *shards)


def _checkpoint(path: Path) -> Checkpoint:
    openings = _openings(path)
    number = min(openings, default=1)
    rows = openings[number].first if openings else 0
    return Checkpoint(number, expired=rows, rows=rows)
