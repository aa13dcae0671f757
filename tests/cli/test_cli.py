import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from streammac.cli import app as cli
from streammac.cli import processes
from streammac.files.document import decode
from streammac.publishing import encoding
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.supervisor import local_cluster
from streammac.supervisor import run as cluster_run
from streammac.wire.status import ClusterStatus
from tests.publishing.test_encoding import Signs
from tests.supervisor.test_supervisor import PROGRAM, cluster, until

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]
MODEL = {"family": "binary_autoencoder", "hyper_parameters": {"bits": 12}}


BUILT = typer.main.get_command(cli.app)
"""Built once: to build all commands takes ten times as long as most of them run."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> Run:
    """Run a command line in this process; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(cli, "app", BUILT)

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["streammac", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        else:
            code = 0
        out, err = capsys.readouterr()
        return int(code or 0), out, err

    return command


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    stood_in = functools.partial(local_cluster.LocalCluster, program=PROGRAM)
    monkeypatch.setattr(local_cluster, "LocalCluster", stood_in)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VersionStore:
    monkeypatch.setattr(encoding, "rebuild", lambda _: Signs())
    store = VersionStore(RunDirectory.create(tmp_path / "run").models, keep=5)
    for n in range(3):
        quality = {"model": 0.5 + n / 10}
        store.publish(
            {"a": np.full((5, 12), n + 1, np.float32)},
            {"epoch": n, "points": 1000, "objective": 0.25, "quality": quality, "model": MODEL},
        )
    store.promote(2, "better by far")
    return store


HEAVY = {
    "numpy", "zmq", "pydantic", "msgspec", "numba", "sklearn", "scipy", "river", "rich", "pygments", "markdown_it",
    "http", "asyncio", "workers", "ingest",
}  # fmt: skip
"""What takes long to import, and neither the package nor the help of a command needs."""


@pytest.mark.parametrize(
    "script",
    [
        "import streammac",
        "import sys; sys.argv = ['streammac', '--help']; from streammac.cli.app import main; main()",
    ],
    ids=["package", "help"],
)
def test_nothing_heavy_is_imported_that_is_not_used(script: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = (
        f"import atexit, sys; atexit.register(lambda: print('imported:', *sys.modules))\n{script}"
    )
    result = subprocess.run(
        [sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True
    )
    *helped, imported = result.stdout.splitlines()
    assert any(line.startswith("Usage: ") for line in helped) == ("--help" in script)
    assert HEAVY.isdisjoint(imported.split()[1:])


@pytest.mark.parametrize(
    "module",
    ["workers.coordinator.process", "workers.worker", "ingest.node", "streammac.supervisor"],
)
def test_a_process_begins_before_what_it_computes_with_is_imported(module: str) -> None:
    """Workers compile in the thread that computes, and the others never."""
    told = f"import sys, {module}; print(*{{'numba', 'sklearn', 'scipy', 'river'}} & sys.modules.keys())"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", told]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "\n"


def test_python_m_streammac() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "streammac", "--version"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "0.1.0")


@pytest.mark.processes
@pytest.mark.usefixtures("stand_ins")
def test_up_runs_writes_its_summary_and_a_table(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "up", "--workers", 2, "--for", 4, "--summary", "s.json", "--dir", "d", "--no-ui"
    )
    assert (code, err) == (0, "")
    assert "starting" in out  # the plain progress
    assert "points in" in out
    assert "ITQ" in out
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["points"]["sent"] == 100
    assert summary["model_version"] == 3
    assert 4 <= summary["seconds"] < 20
    assert summary["seconds_to_first_ack"] > 0
    remembered = decode((tmp_path / "d" / "settings.json").read_bytes())
    assert remembered["cluster"]["workers"] == 2


@pytest.mark.processes
@pytest.mark.usefixtures("stand_ins")
def test_a_dead_process_gives_its_exit_code_and_still_a_summary(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "roles.json").write_text('{"w1": "die"}')
    (tmp_path / "streammac.toml").write_text('[cluster]\nrestart = "never"\n')
    code, _, err = run("up", "--for", 20, "--summary", "s.json", "--dir", "d", "--no-ui")
    assert code == 5
    assert "w1 has a reason to die" in err
    assert "Traceback" not in err
    assert "w1" in json.loads((tmp_path / "s.json").read_text())["error"]


@pytest.mark.processes
@pytest.mark.usefixtures("stand_ins")
def test_the_demo_has_its_source_and_leaves_nothing(run: Run, monkeypatch: Any) -> None:
    seen: list[Any] = []
    original = cluster_run.supervise

    def spy(local: Any, *rest: Any) -> Any:
        seen.append(local)
        return original(local, *rest)

    monkeypatch.setattr(cluster_run, "supervise", spy)
    code, out, _ = run("demo", "--for", 0.5, "--no-ui")
    assert code == 0
    assert "points in" in out
    [source] = seen[0].settings.ingest.sources
    assert source.startswith("digits:?")
    assert seen[0].settings.cluster.workers == 3
    assert not seen[0].directory.root.exists()


@pytest.mark.processes
def test_status_of_a_running_cluster(run: Run, tmp_path: Path) -> None:
    with cluster(tmp_path / "d", workers=1) as local:
        until(lambda: (local.status() or ClusterStatus()).workers)
        code, out, _ = run("status", "--dir", "d", "--json")
        assert code == 0
        assert json.loads(out)["workers"][0]["name"] == "w1"
        code, out, _ = run("status", "--dir", "d")
        assert code == 0
        assert "e0" in out
        code, _, err = run("model", "rollback", 9, "--dir", "d")
        assert code == 6
        assert "no version 9" in err
        code, out, _ = run("model", "unpin", "--dir", "d")
        assert (code, out) == (0, "version 3 is the current one until a better one is published\n")
        code, _, err = run("up", "--dir", "d")
        assert code == 4
        assert "runs there already" in err


def test_no_cluster_is_running(run: Run) -> None:
    code, _, err = run("status")
    assert code == 4
    assert "is not running" in err
    assert run("dead-letters", "replay")[0] == 4


def test_a_process_without_a_coordinator(run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(processes, "JOIN_S", 0.05)
    code, _, err = run("worker", "--dir", "d")
    assert code == 4
    assert "--join" in err


def test_a_wrong_command_line_is_usage(run: Run) -> None:
    assert run("up", "--for", "long")[0] == 2
    assert run("nothing")[0] == 2


def test_wrong_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "streammac.toml").write_text("[model]\nbits = 0\nbit = 1\n")
    for command in (["up"], ["config", "check"], ["config", "show"], ["coordinator"]):
        code, _, err = run(*command)
        assert code == 3
        assert "streammac.toml: model.bits: expected 1 or more, got 0 - e.g. 32" in err
        assert "did you mean model.bits?" in err
        assert "Traceback" not in err
    assert run("up", "--config", "none.toml")[0] == 3


def test_config_show_and_check(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "streammac.toml").write_text("[model]\nbits = 16\n")
    monkeypatch.setenv("STREAMMAC_CLUSTER__SEED", "7")
    code, out, _ = run("config", "show")
    assert code == 0
    assert "bits = 16  # streammac.toml" in out
    assert "seed = 7  # STREAMMAC_CLUSTER__SEED" in out
    code, out, _ = run("config", "check")
    assert (code, out.split(":")[0]) == (0, "ok")


def test_models_are_listed(run: Run, versions: VersionStore) -> None:
    code, out, _ = run("model", "list", "--dir", "run")
    assert code == 0
    lines = [line.split() for line in out.splitlines()[1:]]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert lines[1][-4:] == ["current", "better", "by", "far"]
    code, out, _ = run("model", "list", "--dir", "run", "--json")
    assert [row["quality"]["model"] for row in json.loads(out)] == [0.5, 0.6, 0.7]


def test_rolling_back_pins(run: Run, versions: VersionStore) -> None:
    code, out, _ = run("model", "rollback", 1, "--dir", "run")
    assert code == 0
    assert "until `streammac model unpin`" in out
    assert (versions.current, versions.pinned) == (1, True)
    lines = run("model", "list", "--dir", "run")[1].splitlines()
    assert lines[1].split()[-4:] == ["pinned", "pinned", "by", "hand"]
    listed = json.loads(run("model", "list", "--dir", "run", "--json")[1])
    assert [row["pinned"] for row in listed] == [True, False, False]
    code, _, err = run("model", "rollback", 9, "--dir", "run")
    assert code == 6
    assert "no version 9; there are: 1, 2, 3" in err
    assert run("model", "unpin", "--dir", "run")[0] == 0
    assert (versions.current, versions.pinned) == (1, False)


def test_encoding_with_the_current_and_an_exported_model(
    run: Run, versions: VersionStore, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code, out, _ = run("encode", "x.npy", "c.npy", "--dir", "run")
    assert code == 0
    assert "50 codes of model version 2" in out
    expected = Signs().encode({"a": np.full((5, 12), 2, np.float32)}, x)
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), expected)
    assert run("model", "export", "m.safetensors", "--version", 3, "--dir", "run")[0] == 0
    code, out, _ = run("encode", "x.npy", "d.npy", "--model", "m.safetensors")
    assert code == 0
    assert "model version 3" in out
    code, _, err = run("model", "export", "m.bin", "--dir", "run")
    assert (code, "ends in" in err) == (6, True)


def test_bad_input(run: Run, versions: VersionStore) -> None:
    for arguments in (
        ("encode", "none.npy", "c.npy", "--dir", "run"),
        ("encode", "x.npy", "c.npy", "--dir", "empty"),
        ("encode", "x.npy", "c.npy", "--model", "none.safetensors"),
        ("model", "export", "m.npz", "--version", 9, "--dir", "run"),
        ("model", "export", "m.npz", "--dir", "empty"),
        ("up", "--source", "none.npy", "--for", 0),
    ):
        code, _, err = run(*arguments)
        assert code == 6, arguments
        assert err.startswith("streammac: ")


def test_dead_letters_are_listed(run: Run, tmp_path: Path) -> None:
    from ingest.dead_letters import DeadLetterFile
    from ingest.records import Refused

    file = DeadLetterFile(tmp_path / "run" / "dead-letters" / "i1.ndjson", 1 << 20)
    file.append("feed.csv", "csv", [Refused(b"1,nan", "not finite"), Refused(b"x", "no number")])
    code, out, _ = run("dead-letters", "list", "--dir", "run")
    assert code == 0
    assert "feed.csv: not finite" in out
    assert "2 dead letters" in out
    code, out, _ = run("dead-letters", "list", "--dir", "run", "--json")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["1,nan", "x"]
