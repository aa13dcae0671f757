"""The folder of keys and the commands that write it."""

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streammac.cli.app import app
from streammac.errors import Failure
from streammac.security.keys import MAX_FILE_BYTES, BadKey, KeyFolder, KeyPair, read_allowed
from tests.security.conftest import copy_cluster_key

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    made = KeyFolder(tmp_path / "run" / "keys")
    made.new("host-a")
    return made


def keys(folder: KeyFolder, *arguments: str) -> str:
    result = CliRunner().invoke(
        app, ["keys", *arguments, "--dir", str(folder.root.parent)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_secrets_are_for_their_owner_alone(tmp_path, mask):
    before = os.umask(mask)
    try:
        KeyFolder(tmp_path / "keys").new("host-a")
    finally:
        os.umask(before)
    assert mode(tmp_path / "keys") == 0o700
    assert {p.name for p in (tmp_path / "keys").iterdir() if mode(p) == 0o600} == {
        "own.key",
        "cluster.key",
    }


@pytest.mark.parametrize("name", ["own.key", "cluster.key"])
def test_a_secret_that_others_may_read_is_not_used(folder, name):
    (folder.root / name).chmod(0o640)
    with pytest.raises(BadKey, match="chmod 600"):
        folder.load()


def test_a_secret_is_in_no_text(folder):
    loaded = folder.load()
    for pair in (loaded.own, loaded.server):
        assert pair.secret.hex() not in repr(loaded)
        assert repr(pair.secret) not in repr(loaded)


def test_no_folder_is_no_keys_but_a_folder_must_be_whole(folder, tmp_path):
    assert KeyFolder(tmp_path / "none").load() is None
    (folder.root / "own.key").unlink()
    with pytest.raises(BadKey, match=r"own\.key.*streammac keys new"):
        folder.load()


def test_an_own_key_is_not_replaced(folder):
    before = folder.load()
    with pytest.raises(BadKey, match="already"):
        folder.new("host-b")
    assert folder.load() == before


def test_a_second_member_keeps_the_cluster_key(folder, tmp_path):
    second = KeyFolder(tmp_path / "second")
    copy_cluster_key(folder, second)
    assert second.new("host-b").cluster == folder.load().cluster
    assert second.load().own.public != folder.load().own.public


def test_a_name_has_one_key(folder):
    folder.allow("b", KEY)
    folder.allow("b", OTHER)
    names = read_allowed(folder.allow_list)
    assert names[OTHER] == "b"
    assert KEY not in names


@pytest.mark.parametrize("name", ["", "a b", "../x", "x\ny", "#x", "x" * 65, "-x"])
def test_odd_names_are_refused_before_anything_is_written(folder, name):
    before = folder.allow_list.read_bytes()
    with pytest.raises(BadKey, match="name"):
        folder.allow(name, KEY)
    assert folder.allow_list.read_bytes() == before
    with pytest.raises(BadKey, match="name"):
        KeyPair.new(name)


@pytest.mark.parametrize(
    "content",
    [b"b", b"b " + b"0" * 63, b"b zz" + b"0" * 62, b"\xff\xfe", b"#" * (MAX_FILE_BYTES + 1)],
)
def test_a_damaged_list_names_its_file(folder, content):
    folder.allow_list.write_bytes(content)
    with pytest.raises(BadKey, match=str(folder.allow_list)):
        read_allowed(folder.allow_list)


def test_comments_and_empty_lines_are_for_people(folder):
    folder.allow_list.write_text(f"# hosts\n\n  {'b':8}{KEY.hex()}\n")
    assert read_allowed(folder.allow_list) == {KEY: "b"}


# -- commands --------------------------------------------------------------------------------------


def test_the_way_of_three_hosts(tmp_path):
    a, b, laptop = (KeyFolder(tmp_path / host / "keys") for host in ("a", "b", "laptop"))
    assert keys(a, "new", "a").split()[0] == "a"
    copy_cluster_key(a, b)
    name, key = keys(b, "new", "b").split()
    keys(a, "allow", name, key)
    keys(laptop, "new", "laptop", "--cluster-key", str(a.root / "cluster.pub"))
    keys(a, "allow", "laptop", str(laptop.root / "own.pub"))
    listed = json.loads(keys(a, "list", "--json"))
    assert listed["allowed"].keys() == {"a", "b", "laptop"}
    assert listed["allowed"]["b"] == key
    assert listed["cluster"] == json.loads(keys(laptop, "list", "--json"))["cluster"]
    keys(a, "revoke", "b")
    assert "allowed  b" not in keys(a, "list")
    assert laptop.load().server is None


def test_revoking_who_is_not_there_is_an_error(folder):
    with pytest.raises(Failure, match="streammac keys list"):
        folder.revoke("nobody")


def test_no_command_prints_a_secret(folder):
    said = keys(folder, "list") + keys(folder, "list", "--json")
    loaded = folder.load()
    assert loaded.own.secret.hex() not in said
    assert loaded.server.secret.hex() not in said
