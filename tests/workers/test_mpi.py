"""Tokens over MPI, in real ranks: the conformance suite, and what becomes of the others when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection, Listener
from typing import Any

import numpy as np
import pytest

from streammac.supervisor.mpi_starter import ROOT
from tests.patience import PATIENCE_S, wait_for
from tests.workers.mpi_program import mpiexec
from workers.transports.base import TransportError
from workers.transports.checks import all_checks, receive, token
from workers.transports.framing import OWN_MESSAGE

pytestmark = pytest.mark.processes

RANKS = 4
LINES = ("aa", "bb", "cc", "dd")


class End:
    """A transport in a rank, as it is seen from here."""

    address = ""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, *request: Any) -> Any:
        self._connection.send(request)
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.ask(name, *arguments)


class Job:
    """Ranks that wait for orders."""

    def __init__(self, path: str) -> None:
        with Listener(path) as listener:
            command = [*mpiexec(), "-n", str(RANKS), sys.executable]
            command += ["-m", "tests.workers.mpi_rank", path]
            self.process = subprocess.Popen(command, env=os.environ | ROOT)
            here = {}
            for _ in range(RANKS):
                connection = listener.accept()
                rank, pid = connection.recv()
                here[rank] = connection, pid
        self.connections = [here[rank][0] for rank in range(RANKS)]
        self.pids = [here[rank][1] for rank in range(RANKS)]

    def make(self, names: str, lines: tuple[str, ...] = ("",) * RANKS) -> dict[str, End]:
        """Make the ends of a ring in the first ranks; the others are in its lane, too."""
        for connection, line in zip(self.connections, lines, strict=True):
            connection.send(("make", line))
        ends = {}
        for number, connection in enumerate(self.connections):
            end = End(connection)
            end.address = connection.recv()
            ends[names[number : number + 1]] = end
        ends.pop("", None)
        return ends

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    job = Job(str(tmp_path_factory.mktemp("mpi") / "ranks"))
    yield job
    job.close()


def test_cards_are_read_as_they_were_written_whatever_the_port():
    mpiexec()
    program = """
from workers.transports.lane import CARD_BYTES, Card
for port in range(65536):
    card = Card("line", "tcp://host:1", ("host", port))
    written = card.written()
    assert len(written) == CARD_BYTES
    assert Card.read(written) == card, port
"""
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, env=os.environ | ROOT).returncode == 0


@pytest.mark.parametrize("check", list(all_checks()), ids=lambda check: check.__name__)
def test_conformance(check, job):
    check(job.make)


def connected(job: Job, names: str, lines=("",) * RANKS) -> dict[str, End]:
    ends = job.make(names, lines)
    for end in ends.values():
        end.connect({name: one.address for name, one in ends.items()}, lines)
    return ends


def test_a_look_for_what_has_come_keeps_the_core_though_there_are_more_ranks(job):
    for end in job.make("abcd").values():
        assert not end.ask("gives_up_its_core")


def test_large_arrays_arrive_between_small_ones_as_they_were_in_their_order_and_over_mpi(job):
    ends = connected(job, "ab")
    sizes = [10, OWN_MESSAGE, 3_000_000, 7, OWN_MESSAGE // 4, 1]
    ends["a"].ask("send_many", "b", [token(lap, size) for lap, size in enumerate(sizes)])
    for lap, got in enumerate(receive(ends["b"], len(sizes))):
        expected = token(lap, sizes[lap])
        assert got.lap == lap
        np.testing.assert_array_equal(got.tensors["weights"], expected.tensors["weights"])
    assert ends["b"].ask("carried") == len(sizes)


def test_only_the_members_of_the_view_are_believed(job):
    ends = job.make("abc", LINES)
    addresses = {name: end.address for name, end in ends.items()}
    for name in "bc":
        ends[name].connect(addresses, LINES)
        ends[name].send("a", token(lap=ord(name)))
    here = ends["a"]
    wait_for(lambda: (here.receive(), here.ask("malformed"))[1] == 2)
    here.connect(addresses, LINES[:2])
    assert [message.lap for message in here.receive()] == [ord("b")]


def test_the_others_go_on_when_a_rank_is_killed_between_and_in_messages(job):
    ends = connected(job, "abcd")
    os.kill(job.pids[3], signal.SIGSTOP)
    for size in (4, 3_000_000):
        ends["a"].send("d", token(0, size))
    os.kill(job.pids[3], signal.SIGKILL)
    job.connections.pop()

    def refused_or_cut_off() -> bool:
        try:
            ends["a"].send("d", token(1))
        except TransportError:
            return True
        return ends["a"].ask("over_mpi") == 3

    wait_for(refused_or_cut_off)
    for sender in "abc":
        for receiver in "abc":
            ends[sender].send(receiver, token(ord(sender), 50_000))
    for receiver in "abc":
        assert sorted(t.lap for t in receive(ends[receiver], 3)) == [ord(c) for c in "abc"]
