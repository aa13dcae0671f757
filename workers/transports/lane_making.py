"""How lanes are made: of all processes that MPI started together, and again when some have come.

Those who come are started by a *host* (`workers.mpi_host`), which is rank 0 of every lane it has a part in. It asks the
processes of the lane whether they are ready, in a round that is over soon: who hangs makes nobody wait in a collective
operation. Only when all are, it bids them to go. Then the dead are left out (`Shrink`), and those who have come are
taken in (`Create_intercomm`, `Merge`), within milliseconds. If somebody dies in these, everybody stays with the former
lane.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from streammac.threads import VitalThread
from workers.transports.lane import MPI, WORD, Card, Lane

log = logging.getLogger(__name__)

CARD_BYTES = 256
LOOK_S = 0.005
HOST = 0
"""Its rank."""
BRIDGE = 7
"""Tag of the operation that connects two groups."""
ASK, READY, GO = b"?", b"!", b">"
"""The first bytes of words; the number of the round follows."""


def first_lane(card: Card) -> Lane:
    """Make the lane of the processes that MPI started with this one; whom a host started, it takes into its own."""
    parent = MPI.Comm.Get_parent()
    if parent == MPI.COMM_NULL:
        return introduced(MPI.COMM_WORLD.Dup(), card)
    with_host = parent.Merge(high=True)
    with_host.Set_errhandler(MPI.ERRORS_RETURN)
    while not with_host.Iprobe(HOST, WORD):  # a collective operation would burn a core meanwhile
        time.sleep(LOOK_S)
    with guarded(MPI.COMM_WORLD.Shrink()) as newcomers:
        bridge = newcomers.Create_intercomm(0, with_host, HOST, BRIDGE)
        return introduced(bridge.Merge(high=True), card)


def grown(lane: Lane, card: Card, newcomers: Any = MPI.COMM_SELF, leader: int = 0) -> Lane:
    """Make the lane of those who live and those who have come (all that live call this).

    Parameters
    ----------
    lane : Lane
        The former one.
    card : Card
        This process's.
    newcomers : MPI.Intracomm
        At the host: of it and those who have come.
    leader : int
        At the host: the first of them that lives.
    """
    with guarded(lane.communicator.Shrink()) as alive:
        bridge = alive.Create_intercomm(HOST, newcomers, leader, BRIDGE)
        return introduced(bridge.Merge(high=False), card)


@contextmanager
def guarded(communicator: Any) -> Iterator[Any]:
    """Have errors of a communicator raised, and nobody wait in it for who has met one."""
    communicator.Set_errhandler(MPI.ERRORS_RETURN)
    try:
        yield communicator
    except MPI.Exception:
        communicator.Revoke()
        raise


def introduced(communicator: Any, card: Card) -> Lane:
    """Return a lane of these processes, which all call this."""
    own = np.frombuffer(msgspec.msgpack.encode(card).ljust(CARD_BYTES, b"\0"), np.uint8)
    every = np.empty((communicator.size, CARD_BYTES), np.uint8)
    with guarded(communicator):
        communicator.Allgather((own, MPI.BYTE), (every, MPI.BYTE))
    cards = [msgspec.msgpack.decode(bytes(row).rstrip(b"\0"), type=Card) for row in every]
    return Lane(communicator, cards)


class LaneMaker:
    """Makes lanes in threads of its own, at most one at a time.

    Parameters
    ----------
    card : Card
        Of this process.
    made : callable
        Is called, in the thread, when there is a new one to `take`.
    """

    def __init__(self, card: Card, made: Callable[[], None]) -> None:
        self._card = card
        self._made = made
        self._lanes: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        self._under_way = False

    def begin(self) -> None:
        """Make the first one."""
        self._start(lambda: first_lane(self._card))

    def take(self, timeout_s: float | None = None) -> Lane | None:
        """Return the lane that was made meanwhile; None if there is none, even after so long."""
        try:
            lane = self._lanes.get(timeout_s is not None, timeout_s)
        except queue.Empty:
            return None
        self._under_way = False
        return lane

    def answer(self, lane: Lane) -> None:
        """Answer what the host has said in this lane."""
        while lane.words:
            rank, word = lane.words.popleft()
            kind, number = word[:1], word[1:]
            if rank != HOST or self._under_way:
                continue
            if kind == ASK:
                lane.send_word(HOST, READY + number)
            elif kind == GO:
                self._start(lambda: grown(lane, self._card))

    def _start(self, make: Callable[[], Lane]) -> None:
        self._under_way = True

        def work() -> None:
            lane = None
            try:
                lane = make()
            except MPI.Exception as error:
                log.warning("MPI: those who have come are reached over ZeroMQ: %s", error)
            self._lanes.put(lane)
            self._made()

        VitalThread("lane", work).start()
