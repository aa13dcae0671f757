"""How lanes are made: of all processes that MPI started together, and again when some have come.

Those who come are started by a *host* (`workers.mpi_host`), which is rank 0 of every lane it has a part in, and leads:

1. It asks the processes of the lane whether they are ready (`ASK`, `READY`), in a round that is over soon. So who hangs
   makes nobody wait in a collective operation, which burns a core.
2. It bids all to go (`GO`). The dead are left out (`Shrink`), one who has come is taken in (`Create_intercomm`,
   `Merge`), all within milliseconds, and each says that it has the new lane (`DONE`).
3. If all have, it bids them go again for the next one who has come, or to use what they have (`USE`); else it revokes
   the new one.

Nobody sends in a lane that somebody may not have: if anybody dies on the way, all stay with the former one.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from streammac.threads import VitalThread
from workers.transports.lane import CARD_BYTES, MPI, WORD, Card, Lane

log = logging.getLogger(__name__)

WORD_BYTES = 16
LOOK_S, PATIENT_S = 0.002, 0.02
"""Between two looks for a word: of the others, who wait for milliseconds; of who comes, and may wait for long."""
HOST = 0
"""Its rank."""
BRIDGE = 7
"""Tag of the operation that connects two groups."""
ASK, READY, GO, DONE, USE = b"?", b"!", b">", b".", b"="
"""The first bytes of words; a number of the round may follow."""


class NotMade(Exception):
    """A lane was not made, or the host says nothing of it."""


def first_lane(card: Card) -> Lane:
    """Return the lane of the processes that MPI started with this one; who was started by a host is led into its lane.

    Raises
    ------
    NotMade
        If somebody died on the way.
    """
    parent = MPI.Comm.Get_parent()
    if parent == MPI.COMM_NULL:
        with _errors():
            return introduced(MPI.COMM_WORLD.Dup(), card)
    with _errors():
        with_host = parent.Merge(high=True)
        with_host.Set_errhandler(MPI.ERRORS_RETURN)
        while _word(with_host, PATIENT_S) == ASK:
            with_host.Send((READY, MPI.BYTE), HOST, WORD)
        bridge = MPI.COMM_SELF.Create_intercomm(0, with_host, HOST, BRIDGE)
        lane = introduced(bridge.Merge(high=True), card)
    return _led(lane, card)


def led(lane: Lane, card: Card) -> Lane:
    """Return the lane into which the host leads those who live in this one.

    Raises
    ------
    NotMade
        If somebody died on the way.
    """
    with _errors():
        following = grown(lane, card)
    return _led(following, card)


def _led(lane: Lane, card: Card) -> Lane:
    """Follow the host from a lane that is new; return the one that is to be used.

    If the host dies before it says whether all have the lane, it is only listened to: others may have heard that.
    """
    while True:
        lane.send_word(HOST, DONE)
        try:
            word = _word(lane.communicator, LOOK_S)
        except MPI.Exception as error:
            if lane.communicator.Is_revoked():
                raise NotMade(f"MPI: {error}") from None
            lane.listens_only = True
            return lane
        if word == USE:
            return lane
        try:
            with _errors():
                lane = grown(lane, card)
        except NotMade as error:
            log.warning("%s", error)
            return lane  # all have it


def grown(lane: Lane, card: Card, newcomer: Any = MPI.COMM_SELF) -> Lane:
    """Make the lane of those who live and one who has come; all that live call this.

    Parameters
    ----------
    lane : Lane
        The former one.
    card : Card
        This process's.
    newcomer : MPI.Intracomm
        At the host: of it and who has come.
    """
    with guarded(lane.communicator.Shrink()) as alive:
        bridge = alive.Create_intercomm(HOST, newcomer, 1, BRIDGE)
        return introduced(bridge.Merge(high=False), card)


def introduced(communicator: Any, card: Card) -> Lane:
    """Return a lane of these processes; all call this."""
    own = np.frombuffer(card.written(), np.uint8)
    every = np.empty((communicator.size, CARD_BYTES), np.uint8)
    with guarded(communicator):
        communicator.Allgather((own, MPI.BYTE), (every, MPI.BYTE))
    return Lane(communicator, [Card.read(row.tobytes()) for row in every])


@contextmanager
def guarded(communicator: Any) -> Iterator[Any]:
    """Have errors of a communicator raised, and nobody wait in it for who has met one."""
    communicator.Set_errhandler(MPI.ERRORS_RETURN)
    try:
        yield communicator
    except MPI.Exception:
        communicator.Revoke()
        raise


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except MPI.Exception as error:
        raise NotMade(f"MPI: {error}") from None


def _word(communicator: Any, look_s: float) -> bytes:
    """Wait for what the host says, without burning a core."""
    while not communicator.Iprobe(HOST, WORD):
        time.sleep(look_s)
    word = np.zeros(WORD_BYTES, np.uint8)
    communicator.Recv((word, MPI.BYTE), HOST, WORD)
    return word.tobytes()[:1]


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

    def take(self, timeout_s: float = 0.0) -> Lane | None:
        """Return the lane that was made meanwhile; None if there is none, even after so long."""
        if not self._under_way:
            return None
        try:
            lane = self._lanes.get(timeout_s > 0, timeout_s)
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
                self._start(lambda: led(lane, self._card))

    def _start(self, make: Callable[[], Lane]) -> None:
        self._under_way = True

        def work() -> None:
            lane = None
            try:
                lane = make()
            except NotMade as error:
                log.warning("who has come is reached over ZeroMQ: %s", error)
            self._lanes.put(lane)
            self._made()

        VitalThread("lane", work).start()
