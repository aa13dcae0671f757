"""Finding a coordinator that a shared disk tells of, and finding it again when it is elsewhere."""

from __future__ import annotations

import io
import json

import pytest

from streammac.errors import ExitCode, Failure
from streammac.link import coordinator
from streammac.link.claim import Claim
from streammac.link.coordinator import CoordinatorLink
from streammac.link.interrupt import Interrupt
from streammac.link.registration import register
from streammac.link.whereabouts import Whereabouts
from streammac.run_directory import RunDirectory
from streammac.security import open_context

GONE = 999_999_999
"""No process has this number."""


def announce(directory: RunDirectory, address: str, **more: object) -> None:
    directory.announce("coordinator", {"control": address, **more})


@pytest.fixture
def shared(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path)


def test_an_address_that_somebody_named_stays_what_it_is():
    assert Whereabouts("tcp://10.0.0.1:7000").moved == ""


def test_a_coordinator_of_another_host_is_believed_to_run(shared):
    announce(shared, "tcp://10.0.0.1:7000", pid=GONE)
    assert shared.announced("coordinator") is None, "it ran here, and is gone"
    announce(shared, "tcp://10.0.0.1:7000", pid=GONE, host="another")
    where = Whereabouts.announced_in(shared, 0)
    assert (where.address, where.moved) == ("tcp://10.0.0.1:7000", "")
    announce(shared, "tcp://10.0.0.2:7000", host="a third one")
    assert where.moved == "tcp://10.0.0.2:7000"
    shared.retract("coordinator")
    assert where.moved == ""


def test_who_finds_none_is_told_what_to_do(shared):
    with pytest.raises(Failure, match="--join tcp://HOST:PORT") as failure:
        Whereabouts.announced_in(shared, 0)
    assert failure.value.code == ExitCode.NOT_RUNNING


def test_a_process_whose_coordinator_has_moved_ends_to_be_started_again(
    shared, monkeypatch, caplog
):
    monkeypatch.setattr(coordinator, "SILENT_S", 0.0)
    announce(shared, "tcp://127.0.0.1:1")
    with open_context(None) as context:
        claim = Claim("w1", 1, "home", io.BytesIO())
        link = CoordinatorLink(context, "worker", claim, Whereabouts.announced_in(shared, 0))
        assert not link.moved
        announce(shared, "tcp://127.0.0.1:2")
        assert register(link, Interrupt()) is ExitCode.NOT_RUNNING
        link.socket.close(linger=0)
    assert "it is at tcp://127.0.0.1:2 now, start this process again" in caplog.text


def test_an_announcement_says_which_host_it_is_of(shared):
    announce(shared, "tcp://127.0.0.1:1")
    assert json.loads((shared.processes / "coordinator.json").read_text())["host"]
