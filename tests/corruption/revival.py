"""What `streammac up` finds in a run directory, opened as its processes open it, one after the other."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ingest.dead_letters import damaged as damaged_letters
from ingest.dead_letters import read as read_letters
from ingest.progress import IngestState
from streammac.coordinator.accounts import Accounts
from streammac.delivery.ledger import Ledger
from streammac.delivery.records import State
from streammac.errors import StreammacError
from streammac.files import document
from streammac.page.history import read as read_history
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.sources import load
from streammac.supervisor.roster import Roster
from streammac.wire.messages import StreamSchema
from streammac.wire.reports import IngestReport, Lasting
from workers.shards import WorkerShards


@dataclass
class Revival:
    """What there was, and what was said of it."""

    told: list[str] = field(default_factory=list)
    settings: str = ""
    rows: Counter[bytes] = field(default_factory=Counter)
    damaged: int = 0
    settled: int = 0
    workers: tuple[str, ...] = ()
    model: str = ""
    dead_letters: tuple[bytes, ...] = ()

    @property
    def value(self) -> tuple[object, ...]:
        """All that must not change in silence."""
        return (
            self.settings, sorted(self.rows.items()), self.settled, self.workers, self.model,
            self.dead_letters,
        )  # fmt: skip


def revive(root: Path) -> Revival:
    """Open everything; whatever is no `StreammacError` is a defect and goes through."""
    found = Revival()
    try:
        _revive(RunDirectory.open(root), found)
    except StreammacError as error:
        found.told.append(str(error))
    return found


def _revive(directory: RunDirectory, found: Revival) -> None:
    loaded = load(None, {}, {}, directory.settings)
    settings = loaded.settings
    found.told += [loaded.damage] if loaded.damage else []
    found.settings = settings.model_dump_json()
    for name in ("coordinator", "i1", "w1"):
        directory.announced(name)
        assert 0 < directory.next_incarnation(name) < 1 << 63
    read_history(directory.history)
    found.dead_letters = tuple(letter.raw for letter in read_letters(directory.dead_letters))
    if damaged_letters(directory.dead_letters):
        found.told.append("dead letters are damaged")
    found.workers = tuple(Roster.load(directory.roster, settings.cluster.workers).names)
    state = document.load(directory.coordinator_state)
    if state is None or state.damage:
        found.told.append("coordinator.json")
    content = state.content if state is not None else {}
    accounts = Accounts.from_json(content.get("accounts", {}))
    _models(directory, found)
    schema = StreamSchema(**content["schema"]) if content.get("schema") else None
    for worker in found.workers:
        _apart(found, _worker, directory, worker, schema, accounts, settings)
    _apart(found, _ingest, directory, accounts)


def _apart(found, part, *arguments) -> None:
    """Do what one process does: its end is not that of the others."""
    try:
        part(found, *arguments)
    except StreammacError as error:
        found.told.append(str(error))


def _models(directory, found) -> None:
    versions = VersionStore(directory.models, 8)
    if versions.damage:
        found.told.append(versions.damage)
    newest = versions.newest
    _apart(found, lambda _: versions.load(newest) if newest else None)
    current = versions.current
    kept = versions.retreat()
    if kept != current:
        found.told.append(f"version {current} is not usable")
    if kept:
        model = versions.load(kept)
        tensors = sorted((name, tensor.tobytes()) for name, tensor in model.tensors.items())
        found.model = hashlib.sha256(repr(tensors).encode()).hexdigest()


def _worker(found, directory, worker, schema, accounts, settings) -> None:
    if schema is None:  # a node that comes with a feed says it, and it is the same
        schema = StreamSchema(4, "float32")
    shards = WorkerShards(worker, directory, settings, schema, directory.cluster or "")
    try:
        for shard in shards:
            while shard.scrub(1 << 20):
                pass
            found.told += shard.damage
            view = shard.view()
            found.rows.update(row.tobytes() for row in view.x(slice(None)))
        counts = shards.counts()
        found.damaged += counts.damaged
        found.told += accounts.count_shard(worker, counts)
    finally:
        shards.close()
    Ledger(directory.handover(worker), State()).close()


def _ingest(found, directory, accounts) -> None:
    ledger = Ledger(directory.ledger("i1"), IngestState())
    found.settled = ledger.state.settled_records
    ledger.close()
    report = IngestReport(lasting=Lasting(settled=found.settled))
    found.told += accounts.count_feed("i1", 1 << 62, report)
