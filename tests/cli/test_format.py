"""Run directories of another format are refused by every command, and nothing in them is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streammac.errors import ExitCode, Failure
from streammac.files.document import decode
from streammac.run_directory import FORMAT, RunDirectory
from tests.cli.test_cli import Run, run  # noqa: F401

COMMANDS = (
    ("status",),
    ("top", "--once"),
    ("workers", "list"),
    ("model", "list"),
    ("model", "rollback", 1),
    ("encode", "in.npy", "out.npy"),
    ("dead-letters", "list"),
    ("dead-letters", "replay"),
    ("config", "show"),
    ("config", "check"),
    ("keys", "new"),
    ("keys", "list"),
    ("up", "--for", 0),
    ("coordinator",),
    ("worker",),
    ("worker", "--join", "tcp://127.0.0.1:1"),
    ("ingest",),
    ("report", "d"),
    ("chaos", "d"),
)
"""Commands that open a run directory."""


def old_files(kind: str) -> dict[str, str]:
    """Return what the versions without a format left behind, by path."""
    settings = {"model": {"bits": 16}, "probe": {"points": 4096, "tolerance": 0.01}}
    schema = {"format": 2, "dim": 4, "dtype": "float32", "y_shape": None, "y_dtype": "float32"}
    cluster = {
        "settings.json": json.dumps(settings),
        "coordinator.json": json.dumps({"view": 3, "epoch": 7}),
        "processes/coordinator.json": json.dumps({"name": "coordinator", "pid": 1 << 30}),
        "shards/w1/schema.json": json.dumps(schema),
        "probe/w1/schema.json": json.dumps(schema),
        "models/versions.json": json.dumps({"current": 1, "last": 1, "reasons": {}}),
        "ingest/i1/ledger": "",
        "workers.json": json.dumps({"asked": 1, "workers": ["w1"]}),
        "history.ndjson": "",
    }
    parts = {"cluster": "", "worker": "shards/", "ingest": "ingest/"}
    return {path: text for path, text in cluster.items() if path.startswith(parts[kind])}


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def made(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(map(str, command)))
def test_a_directory_without_a_format_is_refused(run: Run, tmp_path: Path, command: tuple) -> None:  # noqa: F811
    old = made(tmp_path / "d", old_files("cluster"))
    before = content(old)
    code, out, err = run(*command, *(() if "d" in command else ("--dir", "d")))
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert "d: has no format version" in err
    assert "use the version that wrote it, or another --dir" in err
    assert content(old) == before


@pytest.mark.parametrize("kind", ["cluster", "worker", "ingest"])
def test_whatever_process_made_it(tmp_path: Path, kind: str) -> None:
    old = made(tmp_path / "d", old_files(kind))
    with pytest.raises(Failure, match="has no format version"):
        RunDirectory.open(old)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps({"format": FORMAT + 1}), f"has format version {FORMAT + 1}.*reads {FORMAT} - "),
        ("{", r"format\.json: is damaged .* - put it back"),
        ("[]", r"format\.json: is damaged .* - put it back"),
    ],
)
def test_another_format_is_refused_and_named(tmp_path: Path, text: str, message: str) -> None:
    made(tmp_path, {"format.json": text})
    for begin in (RunDirectory.open, RunDirectory.create):
        with pytest.raises(Failure, match=message) as error:
            begin(tmp_path)
        assert error.value.code is ExitCode.BAD_INPUT


def test_a_new_directory_gets_the_format_and_is_opened_again(tmp_path: Path) -> None:
    made(tmp_path / "d", {"vectors.npy": "", "keys/own.pub": "", "worker-name": "w"})
    for root in (tmp_path / "d", tmp_path / "deep" / "down"):
        directory = RunDirectory.create(root)
        made(root, old_files("cluster"))
        assert RunDirectory.open(root) == RunDirectory.create(root) == directory
        assert decode(directory.format.read_bytes())["format"] == FORMAT
        assert directory.cluster


@pytest.mark.parametrize(
    ("command", "code"), [("status", ExitCode.NOT_RUNNING), ("report", ExitCode.BAD_INPUT)]
)
def test_who_only_reads_makes_no_directory(
    run: Run,  # noqa: F811
    tmp_path: Path,
    command: str,
    code: ExitCode,
) -> None:
    got, _, err = run(command, *(["--dir"] if command == "status" else []), "d")
    assert (got, "format" in err) == (code, False)
    assert not (tmp_path / "d").exists()
