"""``streammac plan``: a table, JSON, and words where numbers are absurd."""

import json

import pytest
from typer.testing import CliRunner

from streammac.cli.app import app
from streammac.errors import ExitCode, Failure
from streammac.planning import constants as kept
from tests.planning.rings import equal


@pytest.fixture
def constants(tmp_path):
    path = tmp_path / "constants.json"
    kept.write(path, equal())
    return str(path)


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *arguments])


def test_json_has_every_number(constants):
    answer = run("--constants", constants, "--points", "1000000", "--workers", "1,8", "--json")
    told = json.loads(answer.stdout)
    assert [one["workers"] for one in told["outlook"]] == [1, 8]
    assert told["outlook"][0]["simulated_speedup"] == pytest.approx(1.0)
    assert told["outlook"][1]["sent_bytes"] > 0
    assert told["workload"] == {
        "points": 1_000_000, "dim": 128, "bits": 32, "laps": 2, "block_bits": None
    }  # fmt: skip


def test_a_table_for_people(constants):
    answer = run("--constants", constants, "--points", "1000000", "--workers", "1,8")
    assert answer.exit_code == 0
    assert "speed-up" in answer.stdout
    assert "7.98" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_faster_machines_are_faster(constants):
    common = ("--constants", constants, "--points", "1000000", "--workers", "2", "--json")
    slow, fast = (
        json.loads(run(*common, "--hop", "0", "--speed", speed).stdout)["outlook"][0]["simulated_s"]
        for speed in ("1", "2")
    )
    assert slow == pytest.approx(2 * fast)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--dim", "8"], "give --points and --dim"),
        (["--points", "10", "--dim", "8", "--workers", "1,x"], "numbers of workers"),
        (["--points", "10", "--dim", "8", "--speed", "nan"], "--speed"),
        (["--points", "10", "--dim", "8", "--layers", "8,x"], "numbers of units"),
        (["--points", "10", "--dim", "8", "--layers", "8", "--bits", "8"], "--layers of a net"),
        (["--points", "10", "--dim", "8", "--classes", "3"], "give its --layers"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments, told):
    answer = run(*arguments)
    assert answer.exit_code == ExitCode.USAGE
    assert told in answer.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--points", "10", "--workers", "11"], "workers: expected a number from 1 to 10"),
        (["--points", "10", "--bits", "2000"], "bits: expected a number from 1 to 1,024"),
        (["--points", "1000", "--layers", "0"], "layers: expected numbers from 1 to 65536"),
        (["--points", "1000", "--layers", "8"], "the plan is for a net 128-8-128"),
        (["--points", "1000", "--bits", "16"], "model: these constants are of codes of 32 bits"),
    ],
)
def test_absurd_numbers_end_with_words(constants, arguments, told):
    answer = run("--constants", constants, *arguments)
    assert isinstance(answer.exception, Failure)
    assert told in str(answer.exception)
