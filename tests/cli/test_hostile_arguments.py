"""Every command with bad arguments: words and a documented exit code, never a traceback.

The commands and their options are read from the command line itself, so a new one is driven, too.
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from streammac.cli import app as cli
from streammac.cli import processes
from streammac.errors import ExitCode, Failure
from streammac.run_directory import RunDirectory
from tests.cli.test_cli import ROOT, Run, run  # noqa: F401 - a fixture

ALWAYS = ("", "-1", "nan", "99999999999999999999", "../../escape", "\udcff")
"""Each option gets these and, in turn, some of the others."""
HOSTILE = (
    " ", "0", "inf", "-inf", "1e400", "9" * 5000, "x" * 300, "/", "/dev/null", "/proc/self/mem", "a\nb",
    "{", "[]", "%s", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://nohost.invalid:9", "http://127.0.0.1:x",
    "river:Nope", "digits:?seed=-1", "--", "-h-",
)  # fmt: skip
CODES = {
    int(code)
    for code in re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
} - {1}
"""The documented ones; 1 is a defect."""
BOUNDED = {"--for": "0", "--timeout": "0", "--once": None}
"""What keeps a command short that would run for ever where its arguments are good."""


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def hostile_lines(path: tuple[str, ...], command: Any) -> Iterator[list[str]]:
    """Yield arguments: each option and argument with each value, the rest as good as it gets."""
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    short = [
        part
        for option in options
        for part in (option.opts[0], BOUNDED.get(option.opts[0]))
        if option.opts[0] in BOUNDED and part is not None
    ]
    plain = [{"IN": "x.npy", "N": "1"}.get(a.metavar or "", "w1") for a in arguments]
    others = itertools.cycle(HOSTILE)
    yield [*path, "--nonesuch"]
    yield [*path, *short, *plain, "too", "many", "arguments"]
    for at, _ in enumerate(arguments):
        for value in (*ALWAYS, *itertools.islice(others, 4)):
            yield [*path, *short, "--", *plain[:at], value, *plain[at + 1 :]]
    for option in options:
        if option.is_flag:
            yield [*path, *short, option.opts[0], *plain]
            continue
        for value in (*ALWAYS, *itertools.islice(others, 4)):
            yield [*path, *short, f"{option.opts[0]}={value}", *plain]


def test_all_options_are_driven() -> None:
    assert len(COMMANDS) >= 24
    lines = [line for path, command in COMMANDS.items() for line in hostile_lines(path, command)]
    assert len(lines) > 800
    assert any("--lifeline=nan" in line for line in lines), "hidden ones, too"


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands come as far as to start something, and no further."""
    import ingest.node
    import workers.coordinator.process
    import workers.worker
    from streammac.link import request
    from streammac.supervisor import run as supervisor

    for place in (ingest.node, workers.worker, workers.coordinator.process):
        monkeypatch.setattr(place, "run", lambda *_: 0)

    def supervise(*_: Any) -> supervisor.Run:
        return supervisor.Run(None, None, 0.0, 0.0)

    def testbed(*_: Any, **__: Any) -> None:
        raise Failure(ExitCode.NOT_RUNNING, "would start a cluster of its own")

    monkeypatch.setattr(supervisor, "supervise", supervise)
    monkeypatch.setattr("streammac.chaos.testbed.Testbed", testbed)
    monkeypatch.setattr("streammac.supervisor.processes.end_with", lambda _: None)
    monkeypatch.setattr(processes, "JOIN_S", 0.0)
    monkeypatch.setattr(request, "_ask", lambda *_: None)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("path", COMMANDS, ids="-".join)
def test_no_argument_makes_a_command_lose_its_words(
    run: Run,  # noqa: F811
    path: tuple[str, ...],
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 8), np.float32))
    for line in hostile_lines(path, COMMANDS[path]):
        code, out, err = run(*line)
        shown = [part[:60] for part in line]
        assert code in CODES, (code, shown, err)
        assert "Traceback" not in out + err, (shown, err)
        assert code == 0 or err or out, shown
    assert not (tmp_path.parent / "escape").exists()


STARTING = {("chaos",), ("demo",), ("worker",), ("ingest",), ("coordinator",)}
GOOD = {
    "encode": ("x.npy", "y.npy"),
    "model export": ("m.npz",),
    "model rollback": ("1",),
    "workers remove": ("w1",),
    "keys revoke": ("w1",),
    "keys allow": ("host-b", "ab" * 32),
    "up": ("--for", "0", "--no-ui"),
}
DAMAGED = ("", "{", "[]", "null", "7", "\x00\xff", '{"pid": "x"}', '{"a": ' * 50_000)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    "name",
    [
        "format.json",
        "settings.json",
        "workers.json",
        "processes/coordinator.json",
        "processes/supervisor.json",
        "models/versions.json",
        "models/v00000001.safetensors",
        "dead-letters/i1.ndjson",
        "history.ndjson",
        "last-status.json",
        "keys/own.key",
        "keys/allowed",
    ],
)
def test_no_file_of_a_run_directory_makes_a_command_lose_its_words(
    run: Run,  # noqa: F811
    name: str,
    tmp_path: Path,
) -> None:
    RunDirectory.create(tmp_path / "d")
    path = tmp_path / "d" / name
    path.parent.mkdir(exist_ok=True)
    np.save(tmp_path / "x.npy", np.zeros((3, 8), np.float32))
    for turn, command in enumerate(COMMANDS):
        if command in STARTING:
            continue  # `up` stands for them
        content = DAMAGED[(turn + len(name)) % len(DAMAGED)]
        path.write_bytes(content.encode("latin-1"))
        os.chmod(path, 0o600)
        place = ["d"] if command == ("report",) else ["--dir", "d"]
        code, out, err = run(*command, *GOOD.get(" ".join(command), ()), *place)
        assert code in CODES, (code, command, content[:20], err)
        assert "Traceback" not in out + err


def test_a_defect_is_told_in_a_line_and_kept_in_a_file(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise KeyError("something that nobody thought of")

    monkeypatch.setattr(cli, "app", broken)
    code, _, err = run("status")
    assert code == 1
    assert err.count("\n") == 1
    assert "KeyError: 'something that nobody thought of' - please report it" in err
    kept = Path(err.rpartition(" ")[2].strip())
    assert "Traceback" in kept.read_text()
    kept.unlink()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "d/lock"), "d/lock: No space left on device"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
    ],
)
def test_a_disk_that_takes_nothing_is_one_line(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    said: str,
) -> None:
    def full() -> None:
        raise error

    monkeypatch.setattr(cli, "app", full)
    assert run("status") == (6, "", f"streammac: {said}\n")


def test_a_summary_that_cannot_be_written_is_told(run: Run, nothing_runs: None) -> None:  # noqa: F811
    Path("a").write_text("no folder")
    code, _, err = run("up", "--for", 0, "--dir", "d", "--no-ui", "--summary", "a/s.json")
    assert code == 6
    assert "--summary: a/s.json:" in err
