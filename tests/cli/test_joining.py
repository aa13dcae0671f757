"""How a single process finds its cluster: what it is told to join, and whose keys it takes."""

import pytest
import typer

from streammac.cli.options import _address_or_directory
from streammac.cli.processes import _coordinator
from streammac.run_directory import RunDirectory
from streammac.security import KeyFolder


def test_a_process_with_a_directory_of_its_own_takes_address_and_keys_from_the_shared_one(tmp_path):
    shared, own = RunDirectory.create(tmp_path / "shared"), RunDirectory.create(tmp_path / "own")
    keys = KeyFolder(shared.keys).new("cluster")
    shared.announce("coordinator", {"control": "tcp://10.0.0.1:7000"})
    for _ in range(2):  # a restart
        where = _coordinator(own, str(shared.root), timeout=0)
        assert (where.address, where.directory) == ("tcp://10.0.0.1:7000", shared)
        assert KeyFolder(own.keys).load().own == keys.own


def test_keys_of_its_own_stay(tmp_path):
    shared, own = RunDirectory.create(tmp_path / "shared"), RunDirectory.create(tmp_path / "own")
    KeyFolder(shared.keys).new("cluster")
    mine = KeyFolder(own.keys).new("mine")
    shared.announce("coordinator", {"control": "tcp://10.0.0.1:7000"})
    _coordinator(own, str(shared.root), timeout=0)
    assert KeyFolder(own.keys).load().own == mine.own


def test_what_is_no_address_and_no_directory_is_refused(tmp_path):
    assert _address_or_directory(str(tmp_path)) == str(tmp_path)
    assert _address_or_directory("tcp://10.0.0.1:7000") == "tcp://10.0.0.1:7000"
    with pytest.raises(typer.BadParameter, match="tcp://HOST:PORT"):
        _address_or_directory(str(tmp_path / "nowhere"))
