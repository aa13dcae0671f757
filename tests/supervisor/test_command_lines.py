import socket
from pathlib import Path
from typing import Any

import pytest

from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor.command_lines import arguments, reads_stdin


def settings(**network: Any) -> Settings:
    return Settings.model_validate({"network": network})


@pytest.mark.parametrize("role", ["worker", "ingest"])
def test_a_process_is_told_its_name_and_where_it_listens(role: Any, tmp_path: Path) -> None:
    given = settings(host="10.0.0.1", http_names=["a"], insecure=True)
    line = arguments(role, "one", RunDirectory(tmp_path), given, lifeline=7)
    assert line[0] == role
    assert line[-1] == "--insecure"
    options = dict(zip(line[1:-1:2], line[2:-1:2], strict=True))
    assert options == {
        "--dir": str(tmp_path),
        "--lifeline": "7",
        "--log-format": "text",
        "--name": "one",
        "--host": "10.0.0.1",
        "--http-host": "127.0.0.1",
        "--http-name": "a",
    }


def test_a_coordinator_comes_back_where_it_was(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)

    def ports() -> list[str]:
        line = arguments("coordinator", "coordinator", directory, settings(), lifeline=7)
        return line[line.index("--control-port") :]

    assert ports() == ["--control-port", "0", "--http-port", "0"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        known = {"control": "tcp://127.0.0.1:5555", "http_url": f"http://127.0.0.1:{port}"}
        directory.announce("coordinator", known)
        # somebody else has it by now: no reason not to come back
        assert ports() == ["--control-port", "5555", "--http-port", "0"]
    assert ports() == ["--control-port", "5555", "--http-port", str(port)]
    directory.announce("coordinator", {**known, "host": "another"})
    assert ports() == ["--control-port", "0", "--http-port", "0"], "on a disk that hosts share"


def test_an_ingest_node_reads_standard_input_if_it_is_a_source() -> None:
    piped = Settings.model_validate({"ingest": {"sources": ["a.npy", "stdin:?format=csv"]}})
    assert reads_stdin("ingest", piped)
    assert not reads_stdin("worker", piped)
    assert not reads_stdin("ingest", Settings())
