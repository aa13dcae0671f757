import tomllib
from pathlib import Path

import pytest

from streammac.errors import ExitCode
from streammac.settings.schema import Settings
from streammac.settings.sources import fields, load
from streammac.settings.toml import settings_toml
from streammac.telemetry import metrics
from tools.reference import PAGES, write

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs`"


def test_pages_hold_every_setting_and_series() -> None:
    settings, series = PAGES["configuration.md"](), PAGES["metrics.md"]()
    for key, field in fields():
        assert f"| `{key.partition('.')[2]}` |" in settings
        assert str(field.description) in settings
    for one in (*metrics.WORKER, *metrics.INGEST, *metrics.COORDINATOR):
        assert f"| `{one.name}` |" in series
    assert "| `dim` |  | >= 1, <= 1048576 |" in settings  # limits inside an optional type


def test_writing(tmp_path: Path) -> None:
    write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(PAGES)


def test_settings_as_toml_are_a_configuration_file(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "cluster": {"workers": 9},
            "training": {"visit_budget": "2s"},
            "model": {"options": {"mu 0": 0.5, "deep": {"a": [1, 2]}}},
            "ingest": {"sources": ["a.npy", "größe.csv"]},
        }
    )
    file = tmp_path / "a.toml"
    file.write_text(settings_toml(settings, {"cluster.workers": "--workers"}))
    assert "workers = 9  # --workers" in file.read_text()
    assert tomllib.loads(file.read_text())["cluster"]["workers"] == 9
    assert load(file, {}, {}).settings == settings


def test_every_exit_code_is_documented() -> None:
    page = (DOCS / "cli.md").read_text()
    for code in ExitCode:
        assert f"| {code.value} |" in page
