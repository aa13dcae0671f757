"""The units: their commands are ours, and systemd understands them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main

from streammac.cli.app import app

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
VALUES = {
    "%S/streammac": "/var/lib/streammac",
    "%i": "w1",
    "${COORDINATOR}": "tcp://10.0.0.1:7000",
    "${ADDRESS}": "10.0.0.2",
    "$SOURCES": "--source feed.npy",
}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_commands_and_options_are_ours(unit: Path):
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    for variable, value in VALUES.items():
        line = line.replace(variable, value)
    _, name, *words = line.split()
    typer.main.get_command(app).commands[name].make_context(name, words)  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_understands_them(tmp_path: Path):
    for unit in UNITS:
        there = unit.read_text().replace("/opt/streammac/bin/streammac", "/bin/true")
        (tmp_path / unit.name).write_text(there)
    units = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
