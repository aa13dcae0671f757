"""What benchmarks tell, and how it is kept."""

from pathlib import Path

import msgspec
import pytest

from benchmarks import results
from benchmarks.__main__ import NAMES
from benchmarks.report import Report, Spread

REPORT = Report(
    "Speed",
    {"block": "", "bits": "d", "share": ".0%"},
    (("encoder", 8, Spread(0.25, 0.2, 0.5)), ("decoder", 8, None), ("all", 16, 0.5)),
    "Of the peak.",
    {"speed-up": Spread(1.5, 1.25, 2.0), "share": 0.5},
)


def test_what_is_written_is_read_again(tmp_path):
    result = results.Result({"cores": "2"}, 1.5, (REPORT,))
    results.write("speed", result, tmp_path)
    assert results.read(tmp_path) == {"speed": result}
    assert results.read(tmp_path)["speed"].figure("share") == 0.5


def test_a_figure_that_is_not_there_is_named():
    with pytest.raises(KeyError, match=r"'speed'.*Speed"):
        results.Result({}, 0.0, (REPORT,)).figure("speed")


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "speed.json").write_text('{"machine": {}, "seconds": 1, "reports": [{"title": 3}]}')
    with pytest.raises(msgspec.DecodeError, match="title"):
        results.read(tmp_path)


def test_a_row_has_as_many_values_as_there_are_columns():
    with pytest.raises(ValueError, match="Speed: 2 columns, but a row of 1"):
        Report("Speed", {"a": "", "b": ""}, (("x",),))


def test_every_benchmark_yields_reports():
    folder = Path(results.__file__).parent
    for name in NAMES:
        assert (
            "def run(*, short: bool = False) -> Iterator[Report]:"
            in (folder / f"{name}.py").read_text()
        ), name
