import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.errors import ExitCode
from streammac.settings.schema import Settings, visit_budget
from streammac.settings.sources import ConfigurationError, Flag, fields, load


def load_text(tmp_path: Path, text: str, **environment: str) -> Settings:
    path = tmp_path / "streammac.toml"
    path.write_text(text)
    return load(path, environment, {}).settings


def problem(tmp_path: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text, **environment)
    assert caught.value.code is ExitCode.CONFIGURATION
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_without_anything_the_defaults_hold(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {"STREAMMAC_DATA": "/somewhere"}, {}).settings == Settings()


def test_a_file_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("streammac.toml").write_text("[cluster]\nworkers = 7")
    assert load(None, {}, {}).settings.cluster.workers == 7


def test_flags_before_environment_before_file_before_memory(tmp_path: Path) -> None:
    file, memory = tmp_path / "a.toml", tmp_path / "settings.json"
    memory.write_text(json.dumps({"cluster": {"workers": 2, "seed": 2, "heartbeat_s": 2}}))
    layers: list[tuple[str, int]] = []
    environment: dict[str, str] = {}
    flags: dict[str, Flag] = {}
    file.write_text("")

    def workers() -> tuple[str, int]:
        loaded = load(file, environment, flags, memory)
        assert loaded.settings.cluster.seed == 2
        return loaded.origins["cluster.workers"], loaded.settings.cluster.workers

    layers.append(workers())
    file.write_text("[cluster]\nworkers = 3")
    layers.append(workers())
    environment["STREAMMAC_CLUSTER__WORKERS"] = "4"
    layers.append(workers())
    flags["cluster.workers"] = Flag("--workers", 5)
    layers.append(workers())
    assert layers == [
        (str(memory), 2),
        (str(file), 3),
        ("STREAMMAC_CLUSTER__WORKERS", 4),
        ("--workers", 5),
    ]


def test_the_error_for_a_visit_budget(tmp_path: Path) -> None:
    assert problem(tmp_path, '[training]\nvisit_budget = "fast"') == (
        "streammac.toml: training.visit_budget: expected a number of points or seconds, "
        'got "fast" - e.g. 20000 or "2s"'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[cluster]\nworkers = 0",
            "streammac.toml: cluster.workers: expected 1 or more, got 0 - e.g. 3",
        ),
        (
            '[cluster]\nworkers = "many"',
            'streammac.toml: cluster.workers: expected a whole number, got "many" - e.g. 3',
        ),
        (
            '[store]\nack = "disk"',
            "streammac.toml: store.ack: expected one of 'memory', 'file' or 'fsync', "
            'got "disk" - e.g. "file"',
        ),
        (
            "[training]\nvisit_bugdet = 5",
            "streammac.toml: training.visit_bugdet: expected a known key, got visit_bugdet - "
            "did you mean training.visit_budget?",
        ),
        (
            "[modle]\nbits = 5",
            "streammac.toml: modle: expected a known key, got modle - did you mean model?",
        ),
        (
            "[probe]\npoints = 100",
            "streammac.toml: probe: expected a known key, got probe - the table is called held_out now",
        ),
        (
            "[quux]\nbits = 5",
            "streammac.toml: quux: expected a known key, got quux - "
            "the tables are cluster, network, stream, model, training, store, ingest, held_out, "
            "publish, drift, logs",
        ),
        (
            "bits = 5",
            "streammac.toml: bits: expected a known key, got bits - did you mean model.bits?",
        ),
        (
            "model = 5",
            "streammac.toml: model: expected a table, got 5 - e.g. a key model.family",
        ),
        (
            "[ingest]\nsources = 3",
            'streammac.toml: ingest.sources: expected a list, got 3 - e.g. ["points.npy"]',
        ),
        (
            "[training]\nvisit_budget = 1.5",
            "streammac.toml: training.visit_budget: expected a number of points or seconds, "
            'got 1.5 - e.g. 20000 or "2s"',
        ),
        (
            '[training]\nrefresh = "20000"',
            'streammac.toml: training.refresh: expected seconds, got "20000" - e.g. "5s"',
        ),
        (
            '[training]\nrefresh = "10ms"',
            'streammac.toml: training.refresh: expected at least "1s", got "10ms"',
        ),
        (
            '[training]\nrefresh = "5s"\nvisit_budget = "2s"',
            'streammac.toml: training.refresh: expected none beside a visit_budget in seconds, got "5s"',
        ),
        (
            "[training]\ndeterministic = 7",
            "streammac.toml: training.deterministic: expected true or false, got 7 - e.g. false",
        ),
        (
            "[stream]\ndim = 0",
            "streammac.toml: stream.dim: expected 1 or more, got 0",
        ),
        (
            '[training]\nbackups = "few"',
            "streammac.toml: training.backups: expected 'dynamic' or a whole number, "
            'got "few" - e.g. "dynamic"',
        ),
        (
            "[training]\nbackups = -1",
            "streammac.toml: training.backups: expected 'dynamic' or 0 or more, "
            'got -1 - e.g. "dynamic"',
        ),
        (
            "[training]\nbackups = true",
            'streammac.toml: training.backups: expected a whole number, got true - e.g. "dynamic"',
        ),
        (
            "[cluster]\nworkers = true",
            "streammac.toml: cluster.workers: expected a whole number, got true - e.g. 3",
        ),
        (
            "[cluster]\nheartbeat_s = true",
            "streammac.toml: cluster.heartbeat_s: expected a number, got true - e.g. 0.5",
        ),
    ],
)
def test_errors_name_place_key_expectation_value_and_remedy(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problem(tmp_path, text) == expected


def test_an_error_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    assert problem(tmp_path, STREAMMAC_MODEL__BITS="wide") == (
        'STREAMMAC_MODEL__BITS: model.bits: expected a whole number, got "wide" - e.g. 32'
    )
    assert problem(tmp_path, STREAMMAC_MODEL__BIT="8").endswith("did you mean model.bits?")
    assert "expected JSON" in problem(tmp_path, STREAMMAC_INGEST__SOURCES="[1")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("STREAMMAC_CLUSTER_WORKERS", "did you mean STREAMMAC_CLUSTER__WORKERS?"),
        ("STREAMMAC_KEY", "did you mean STREAMMAC_KEYS?"),
        ("STREAMMAC_NOPE", "settings are STREAMMAC_SECTION__KEY"),
    ],
)
def test_a_variable_that_means_nothing_is_an_error(tmp_path: Path, name: str, remedy: str) -> None:
    assert problem(tmp_path, **{name: "1"}) == (
        f"{name}: expected a variable that means something, got this one - {remedy}"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cluster.workers", "10001"),
        ("cluster.heartbeat_s", "1e-9"),
        ("cluster.heartbeat_s", "inf"),
        ("cluster.heartbeat_s", "nan"),
        ("held_out.share", "1"),
        ("model.bits", "10000000000"),
        ("model.options", '{"bits": 8}'),
        ("model.options", '{"family": "x"}'),
        ("network.host", ""),
        ("network.http_host", ""),
        ("stream.dim", "99999999999"),
        ("store.retain_s", "inf"),
        ("training.growth", "inf"),
    ],
)
def test_a_value_that_no_cluster_can_work_with_is_refused(
    tmp_path: Path, key: str, value: str
) -> None:
    assert key in problem(tmp_path, **{f"STREAMMAC_{key.upper().replace('.', '__')}": value})


def test_every_number_has_two_limits() -> None:
    for table in Settings.model_json_schema()["$defs"].values():
        for name, setting in table["properties"].items():
            for kind in setting.get("anyOf", [setting]):
                if kind.get("type") in ("integer", "number") and name != "visit_budget":
                    assert kind.keys() & {"minimum", "exclusiveMinimum"}, name
                    assert kind.keys() & {"maximum", "exclusiveMaximum"}, name


@pytest.mark.parametrize("text", ["[]", "7", '"x"', "null", "[" * 100_000, "\xff", ""])
def test_remembered_settings_that_are_none_say_so(tmp_path: Path, text: str) -> None:
    memory = tmp_path / "settings.json"
    memory.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"settings\.json"):
        load(None, {}, {}, memory)


def test_an_error_in_a_flag_names_the_flag() -> None:
    with pytest.raises(
        ConfigurationError, match=r"--bits: model\.bits: expected 1 or more, got -1"
    ):
        load(None, {}, {"model.bits": Flag("--bits", -1)})


def test_every_problem_gets_a_line(tmp_path: Path) -> None:
    text = problem(tmp_path, "[cluster]\nworkers = 0\nseed = -1")
    assert [line.split(": ")[1] for line in text.splitlines()] == [
        "cluster.workers",
        "cluster.seed",
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "streammac.toml: expected TOML, got:" in problem(tmp_path, "a = ")
    assert "line 2" in problem(tmp_path, "[a]\nb = ?")
    assert "expected TOML" in problem(tmp_path, "a = " + "9" * 5000)
    assert "expected TOML" in problem(tmp_path, "a = " + "[" * 100_000)
    with pytest.raises(ConfigurationError, match=r"--config: .*none\.toml: .* No such file"):
        load(tmp_path / "none.toml", {}, {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(tmp_path / "binary.toml", {}, {})


def test_lists_and_tables_come_through_the_environment_as_json(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path,
        "",
        STREAMMAC_INGEST__SOURCES='["a.npy", "b.csv"]',
        STREAMMAC_MODEL__OPTIONS='{"mu": 0.5}',
    )
    assert settings.ingest.sources == ("a.npy", "b.csv")
    assert settings.model.options == {"mu": 0.5}


def test_a_directory_keeps_its_kind_of_model(tmp_path: Path) -> None:
    memory = tmp_path / "settings.json"
    before = Settings.model_validate({"model": {"bits": 32}})
    memory.write_text(before.model_dump_json())
    same = load(None, {"STREAMMAC_MODEL__BITS": "32"}, {}, memory)
    assert same.settings == before
    with pytest.raises(ConfigurationError) as caught:
        load(None, {}, {"model.bits": Flag("--bits", 16)}, memory)
    assert str(caught.value) == (
        f"--bits: model.bits: expected 32, with which {tmp_path} was started, got 16 - "
        "leave it out, or use another directory"
    )


@given(
    budget=st.none() | st.integers(1) | st.sampled_from(["20", "2s", "1.5 ms"]),
    sources=st.lists(st.text(max_size=5), max_size=3),
    options=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3),
)
def test_settings_survive_their_own_json(
    budget: int | str | None, sources: list[str], options: dict[str, Any]
) -> None:
    values = {
        "training": {"visit_budget": budget},
        "ingest": {"sources": sources},
        "model": {"options": options},
    }
    settings = Settings.model_validate(values)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_a_directory_does_not_remember_what_it_has_read(tmp_path: Path) -> None:
    memory = tmp_path / "settings.json"
    settings = Settings.model_validate(
        {"cluster": {"workers": 9}, "ingest": {"sources": ["a.npy"]}}
    )
    memory.write_text(settings.model_dump_json())
    again = load(None, {}, {}, memory).settings
    assert again.cluster.workers == 9
    assert again.ingest.sources == ()


def test_every_setting_is_described() -> None:
    for key, setting in fields():
        assert setting.description, key


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (None, None)),
        (20000, (20000, None)),
        ("20000", (20000, None)),
        ("2s", (None, 2.0)),
        ("2.5 s", (None, 2.5)),
        ("500ms", (None, 0.5)),
    ],
)
def test_visit_budgets(value: int | str | None, expected: tuple[int | None, float | None]) -> None:
    assert visit_budget(value) == expected


@pytest.mark.parametrize("value", ["", "fast", "0", 0, -5, "0s", "-1s", "2 min", "1.5"])
def test_what_is_no_visit_budget(value: int | str) -> None:
    with pytest.raises(ValueError, match="number of points or seconds"):
        visit_budget(value)
