"""What can be known before a start is said before it, by ``config check`` and ``up`` in the same words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.sources import SourceError
from ingest.sources.registry import check_source
from streammac.cli.checks import check_hosts
from streammac.publishing.versions import VersionStore
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Network
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture

SETTINGS = [
    ("model.family", "nope", "model.family: no 'nope'"),
    ("model.options", '{"zzz": 1}', "model.options.zzz: binary_autoencoder has"),
    ("model.options", '{"laps": "x"}', "model.options.laps: expected `int`"),
    ("model.bits", "5000", "model.bits: expected a number from 1 to 1024, got 5000"),
    ("network.host", "nohost.invalid", "network.host: expected an interface of this machine"),
    ("network.host", "a b\0c", "network.host: expected an interface of this machine"),
    ("network.http_host", "nohost.invalid", "network.http_host: expected an interface of this"),
    ("network.host", "0.0.0.0", "network.host: expected loopback, got 0.0.0.0"),
    ("cluster.workers", "257", "cluster.workers: expected 256 or less on one machine, got 257"),
    (
        "held_out.measure",
        "luck",
        "held_out.measure: expected one of recall_10, recall_100, recall_1000,",
    ),
    ("held_out.share", "1", "held_out.share: expected 0.5 or less, got"),
]
SOURCES = [
    ("nothing.npy", "no file nothing.npy"),
    ("x" * 300, "File name too long"),
    ("gopher:x", "no source 'gopher': there are file:"),
    ("river:Nope", "river:Nope: no such stream"),
    ("digits:?seed=x", "seed: expected a whole number from 0"),
    ("digits:?rate=0", "rate: expected records per second"),
    ("digits:?rate=1e-300", "rate: expected records per second"),
    ("digits:?limit=0", "limit: expected a whole number from 1"),
    ("digits:?limit=" + "9" * 5000, "limit: expected a whole number from 1"),
    ("digits:?loop=1", "this feed does not end by itself"),
    ("digits:?colour=red", "colour: no such option"),
    ("digits:?", None),
    ("stdin:?loop=1", "standard input cannot be read twice"),
    ("http://127.0.0.1:99999", "expected http://HOST:PORT, got: Port out of range"),
    ("http://127.0.0.1:x", "expected http://HOST:PORT"),
    ("http://127.0.0.1:1/points", "expected http://HOST:PORT and nothing else"),
    ("http://127.0.0.1:1?rate=5", "expected http://HOST:PORT and nothing else"),
    ("http:", "expected http://HOST:PORT"),
    ("http://0.0.0.0:1", "HTTP takes points of anybody"),
    ("http://127.0.0.1:0", None),
    ("picture.png", "unknown kind of file"),
    ("lines.csv?shuffle=1", "shuffle: only files of arrays have it"),
    ("lines.csv?rate=5&limit=3", None),
    ("lines.csv?rate", "not of the form name=value"),
]


@pytest.mark.parametrize(("key", "value", "said"), SETTINGS)
def test_config_check_and_up_refuse_the_same_settings(
    run: Run,  # noqa: F811
    monkeypatch: Any,
    key: str,
    value: str,
    said: str,
) -> None:
    if "\0" in value:
        Path("streammac.toml").write_text(f"[network]\nhost = {json.dumps(value)}\n")
    else:
        monkeypatch.setenv(f"STREAMMAC_{key.upper().replace('.', '__')}", value)
    checked = run("config", "check", "--dir", "d")
    assert checked == run("up", "--dir", "d", "--for", 0, "--no-ui")
    assert (checked[0], checked[1]) == (3, "")
    assert said in checked[2]
    assert checked[2].count("\n") == 1
    assert not Path("d").exists(), "nothing was begun"


def test_the_check_of_hosts_has_no_warning_of_its_own(caplog: Any) -> None:
    check_hosts(Network(host="0.0.0.0"), {})
    assert caplog.messages == []


def test_a_model_is_what_it_was_also_where_the_settings_are_gone(run: Run) -> None:  # noqa: F811
    directory = RunDirectory.create(Path("d"))
    model = {"family": "binary_autoencoder", "hyper_parameters": {"bits": 4}}
    VersionStore(directory.models, keep=1).publish({"w": np.ones(2)}, {"model": model})
    checked = run("config", "check", "--dir", "d")
    assert checked == run("up", "--dir", "d", "--for", 0, "--no-ui")
    assert checked[0] == 3
    assert "model.bits: expected 4, as in version 1 of" in checked[2]


@pytest.mark.parametrize(("uri", "said"), SOURCES)
def test_a_source_is_checked_without_opening_it(
    tmp_path: Path, monkeypatch: Any, uri: str, said: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("picture.png", "lines.csv"):
        Path(name).touch()
    if said is None:
        check_source(uri, "127.0.0.1")
        return
    with pytest.raises(SourceError) as caught:
        check_source(uri, "127.0.0.1")
    assert said in str(caught.value)


def test_config_check_and_up_refuse_the_same_sources(run: Run, monkeypatch: Any) -> None:  # noqa: F811
    said = run("up", "--dir", "d", "--for", 0, "--no-ui", "--source", "gopher:x")
    assert (said[0], said[2].count("\n")) == (6, 1)
    assert not Path("d").exists()
    monkeypatch.setenv("STREAMMAC_INGEST__SOURCES", '["gopher:x"]')
    assert run("config", "check", "--dir", "d") == said
