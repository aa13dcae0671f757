"""`streammac check`: what it finds of each kind of damage, and what a repair leaves."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from ingest.progress import IngestState
from streammac.delivery.ledger import Ledger, LedgerError
from streammac.delivery.records import Handed
from streammac.errors import Failure
from streammac.files import document
from streammac.files.lock import lock
from streammac.integrity.directory import check
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.store import Retention, Schema, Shard, StoreError
from streammac.supervisor.roster import Roster

SCHEMA = Schema(4)
OPTIONS = {"segment_bytes": 240}
MODEL = {"model": {"family": "binary_autoencoder", "hyper_parameters": {"bits": 4}}}


@pytest.fixture
def directory(tmp_path):
    directory = RunDirectory.create(tmp_path / "d")
    directory.processes.mkdir()
    for folder in (directory.shard("w1"), directory.held_out("w1")):
        shard = Shard.open(folder, SCHEMA, **OPTIONS, retention=Retention(points=20))
        for n in range(8):
            x = np.full((5, 4), n, np.float32)
            shard.append(PointBlock(x), BatchId("i1", 1, n), 0.0)
        shard.enforce_retention(0.0)
        shard.close()
    for _ in range(2):
        Roster(directory.roster, 1, ["w1"]).save()
        state = {
            "cluster": directory.cluster,
            "view": 3,
            "schema": {"dim": 4, "dtype": "float32", "targets": 0},
            "accounts": {"shards": {"w1": {"appended": 80, "points": 50}}},
        }
        document.save(directory.coordinator_state, state, keep_former=True)
    document.save(directory.settings, {"cluster": {"workers": 1}}, keep_former=True)
    ledger = Ledger(directory.ledger("i1"), IngestState())
    for number in range(3):
        ledger.write([Handed("s", 1, number, "w1")])
    ledger.close()
    versions = VersionStore(directory.models, keep=3)
    for _ in range(2):
        versions.publish({"w": np.ones(3, np.float32)}, {"epoch": 1, **MODEL})
    versions.promote(2, "better")
    return directory


def found(directory, **options) -> dict[str, str]:
    return {finding.path: finding.text for finding in check(directory, **options)}


def flip(path, at=None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 4
    path.write_bytes(content)


def repaired(directory) -> list[str]:
    """Repair; return what was said, once nothing is left."""
    said = [f"{f.path}: {f.text}" for f in check(directory, repair=True) if not f.harmless]
    assert [finding for finding in check(directory) if not finding.harmless] == []
    return said


def test_a_sound_directory_has_no_findings(directory):
    assert found(directory) == {}


@pytest.mark.parametrize(
    "name", ["settings.json", "coordinator.json", "workers.json", "models/versions.json"]
)
def test_a_damaged_document_is_found_and_the_former_generation_takes_its_place(directory, name):
    flip(directory.root / name)
    assert list(found(directory)) == [name]
    [said] = repaired(directory)
    assert said.startswith(f"{name}: is damaged")
    assert (directory.root / f"{name}.damaged").exists()
    assert (directory.root / name).exists()


def test_a_damaged_format_is_written_anew_with_the_identity_of_the_cluster(directory):
    cluster = directory.cluster
    flip(directory.format)
    with pytest.raises(Failure, match="is damaged"):
        RunDirectory.open(directory.root)
    assert len(repaired(directory)) == 1
    assert RunDirectory.open(directory.root).cluster == cluster


def test_a_damaged_ledger_keeps_what_is_readable(directory):
    path = directory.ledger("i1")
    flip(path, 14)
    [said] = repaired(directory)
    assert said == "ingest/i1/ledger: is damaged at byte 0"
    ledger = Ledger(path, IngestState())
    assert [batch_id.sequence for batch_id in ledger.state.handed] == [1, 2]


def test_a_ledger_that_is_gone_is_begun_anew(directory):
    path = directory.ledger("i1")
    path.unlink()
    with pytest.raises(LedgerError):
        Ledger(path, IngestState())
    assert repaired(directory) == ["ingest/i1/ledger: is missing"]
    Ledger(path, IngestState()).close()


def test_a_ledger_without_a_readable_record_is_set_aside(directory):
    path = directory.ledger("i1")
    path.write_bytes(b"torn")
    assert repaired(directory) == ["ingest/i1/ledger: is empty"]
    assert path.with_name("ledger.damaged").read_bytes() == b"torn"
    Ledger(path, IngestState()).close()


def test_every_row_of_a_shard_is_looked_at(directory):
    segment = sorted(directory.shard("w1").glob("*.x"))[0]
    flip(segment, 3)
    [(path, text)] = found(directory).items()
    assert path == f"shards/w1/{segment.stem}"
    assert text == "5 of 15 points are not as they were written"
    assert found(directory), "a check changes nothing"
    repaired(directory)
    assert found(directory) == {
        "shards/w1": "5 points were damaged before, and are counted so",
        "shards/w1/quarantine": "1 copies of damaged files",
    }


def test_what_was_withdrawn_may_rot(directory):
    shard = Shard.open(directory.shard("w1"), SCHEMA, **OPTIONS)
    shard.withdraw([BatchId("i1", 1, 3)], remember=False)
    shard.close()
    flip(directory.shard("w1") / "00000002.x", 2)
    assert found(directory) == {"shards/w1/00000002": "is damaged where it costs no point"}


def test_points_that_the_coordinator_remembers_are_missed(directory):
    shutil.rmtree(directory.held_out("w1"))
    assert found(directory)["shards/w1"].startswith("40 points that it had are not there")


@pytest.mark.parametrize("name", ["schema.json", "checkpoint.json"])
def test_what_describes_a_shard_is_written_anew(directory, name):
    path = directory.shard("w1")
    flip(path / name)
    with pytest.raises(StoreError):
        Shard.open(path, SCHEMA)
    [said] = repaired(directory)
    assert said.startswith(f"shards/w1/{name}: is damaged")
    shard = Shard.open(path, SCHEMA, **OPTIONS)
    assert (shard.points, shard.appended, shard.damage) == (25, 40, [])


def test_a_description_that_nobody_knows_is_left_to_people(directory):
    for path in directory.root.glob("coordinator.json*"):
        path.unlink()
    flip(directory.shard("w1") / "schema.json")
    [finding] = check(directory, repair=True)
    assert (finding.path, finding.repaired) == ("shards/w1/schema.json", False)
    assert finding.remedy.startswith("put it back")


def test_a_damaged_version_is_set_aside(directory):
    versions = VersionStore(directory.models, keep=9)
    flip(versions.file(2))
    for _ in range(2):
        versions.publish({"w": np.ones(3, np.float32)}, {"epoch": 2, **MODEL})
    flip(versions.file(4))
    said = repaired(directory)
    assert [text.partition(":")[0] for text in said[:-1]] == [
        "models/v00000002.safetensors",
        "models/v00000004.safetensors",
    ]
    assert said[-1] == "models: version 2, the current one, is missing"
    assert (versions.list(), versions.current) == ((1, 3), 3)
    assert found(directory) == {}


def test_where_no_version_is_usable_the_current_one_stays_missing(directory):
    versions = VersionStore(directory.models, keep=3)
    for version in versions.list():
        flip(versions.file(version))
    assert [f.path for f in check(directory, repair=True) if not f.repaired] == ["models"]


def test_what_a_killed_process_left_is_removed(directory):
    left = directory.root / "workers.json.77.new"
    left.write_bytes(b"half")
    [finding] = check(directory, repair=True)
    assert finding.harmless
    assert not left.exists()


def test_a_directory_in_use_is_left_alone(directory):
    with lock(directory.lock), pytest.raises(Failure, match="processes of a cluster use it"):
        list(check(directory))
