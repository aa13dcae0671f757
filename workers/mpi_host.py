"""The host of an MPI job: starts workers in it, at first and again, and leads them into the lane of the others.

``streammac up --transport mpi`` has MPI start this process alone (`streammac.supervisor.mpi_job`), and writes to its
standard input which workers to start, an `Order` a line. So what takes a second, to start a process inside the job, is
done by nobody who trains. It has no part in the ring, and sleeps unless there is something to do.

Each worker is a job of its own to MPI: what MPI starts together, it ends together.
"""

from __future__ import annotations

import logging
import os
import selectors
import struct
import time
from collections import deque
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from streammac.supervisor.mpi_job import Order
from streammac.threads import VitalThread
from workers.transports.doorbell import Doorbell
from workers.transports.lane import MPI, WORD, Card, Lane
from workers.transports.lane_making import ASK, DONE, GO, READY, USE, grown

log = logging.getLogger(__name__)

ROUND_S = 0.5
"""So long a process has to say that it is ready: who hangs is asked again in the next round."""
MADE_S = 5.0
"""The same once it has gone: it takes milliseconds."""
LOOK_S = 0.002
TURN_S = 0.05
"""Between two looks at what is under way."""
WRAPPER = """
exec >>"$1" 2>&1 9<"$2"; record=$3; shift 3
setsid "$@" & echo $! >"$record"; wait $!; code=$?; echo $code >>"$record"
[ $code -le 128 ] || kill -9 $$
exit $code
"""
"""A shell in which a worker runs: its log, its lifeline as descriptor 9, and a record of its process and how it ended.

Who was killed by a signal is killed once more here, so that MPI hears of a death and not of an error. Each worker has a
session of its own, as over ZeroMQ: Linux shares out the cores among sessions.
"""
READ = 1 << 16
NEWCOMER = 1
"""The rank of one who has come, beside this process."""


class Host:
    """What the host knows.

    Attributes
    ----------
    lane : Lane
        Of those who are there, and this process.
    """

    def __init__(self) -> None:
        self._bell = Doorbell("127.0.0.1")
        self._card = Card("", "", self._bell.address)
        self.lane = Lane(MPI.COMM_SELF.Dup(), [self._card])
        self._starting: dict[VitalThread, Path] = {}
        """And where the end of what they start is recorded."""
        self._come: deque[Any] = deque()
        """Communicators of this process and one that has come, which is not in the lane yet."""
        self._round = 0
        self._missing: set[int] = set()

    @property
    def busy(self) -> bool:
        """Return whether something is under way."""
        return bool(self._starting or self._come)

    def start(self, order: Order) -> None:
        """Start a worker; that takes a second, in which others can be started."""
        alone = (
            MPI.COMM_SELF.Dup()
        )  # here, not in the thread: operations of one communicator have an order
        alone.Set_errhandler(MPI.ERRORS_RETURN)
        thread = VitalThread(f"start of {order.name}", partial(self._spawn, order, alone))
        self._starting[thread] = Path(order.record)
        thread.start()

    def _spawn(self, order: Order, alone: Any) -> None:
        shell = ["-c", WRAPPER, order.name, order.log, order.lifeline, order.record]
        try:
            child = alone.Spawn("/bin/sh", [*shell, *order.command], 1)
            child.Set_errhandler(MPI.ERRORS_RETURN)
            both = child.Merge(high=False)
            both.Set_errhandler(MPI.ERRORS_RETURN)
        except MPI.Exception as error:
            log.error("%s cannot be started: %s", order.name, error)
            Path(order.record).write_text("0\n1\n")
        else:
            self._come.append(both)

    def step(self) -> None:
        """Lead those who have come into the lane, once all are there that are being started."""
        # MPI waits for ever, asleep, for one that was killed before it had said anything
        self._starting = {
            thread: record
            for thread, record in self._starting.items()
            if thread.is_alive() and not _has_ended(record)
        }
        if self._starting or not self._come or not self._said(ASK, READY, ROUND_S):
            return
        for _ in range(len(self._come)):
            if not self._take_in(self._come.popleft()):
                return
        self._say(USE)
        log.info("%d workers are in the lane", len(self.lane.ranks))

    def _take_in(self, both: Any) -> bool:
        """Make the lane with one who has come; return whether the others still follow."""
        try:
            if not _is_ready(both):
                self._come.append(both)  # it hangs: perhaps later
                return True
        except MPI.Exception:
            return True  # it has died
        self._say(GO)
        try:
            both.Send((GO, MPI.BYTE), NEWCOMER, WORD)
            lane = grown(self.lane, self._card, both)
        except MPI.Exception as error:
            log.warning("who has come is reached over ZeroMQ: %s", error)
            return False
        former, self.lane = self.lane, lane
        if self._said(b"", DONE, MADE_S):
            return True
        lane.communicator.Revoke()
        self.lane = former
        return False

    def _said(self, question: bytes, answer: bytes, patience_s: float) -> bool:
        """Return whether all who live in the lane answer in time."""
        self._round += 1
        self._say(question)
        end = time.monotonic() + patience_s
        answered: set[int] = set()
        while missing := set(self.lane.others) - answered:
            if time.monotonic() > end:
                if missing != self._missing:
                    log.info("no answer %r of ranks %s", answer, missing)
                self._missing = missing
                return False
            self.lane.receive()
            while self.lane.words:
                rank, word = self.lane.words.popleft()
                if word in (answer, answer + self._number):
                    answered.add(rank)
            time.sleep(LOOK_S)
        return True

    @property
    def _number(self) -> bytes:
        return struct.pack("<I", self._round)

    def _say(self, kind: bytes) -> None:
        if kind:
            for rank in self.lane.others:
                self.lane.send_word(rank, kind + self._number)
                self._bell.ring(self.lane.cards[rank].bell)


def _has_ended(record: Path) -> bool:
    """Return whether a shell has written how its worker ended."""
    try:
        return record.read_text().count("\n") > 1
    except OSError:
        return False


def _is_ready(both: Any) -> bool:
    """Return whether one who has come answers."""
    both.Send((ASK, MPI.BYTE), NEWCOMER, WORD)
    end = time.monotonic() + ROUND_S
    while not both.Iprobe(NEWCOMER, WORD):
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_S)
    while both.Iprobe(NEWCOMER, WORD):  # of former rounds, too
        both.Recv((bytearray(len(READY)), MPI.BYTE), NEWCOMER, WORD)
    return True


def carry_out(host: Host, lines: Collection[bytes]) -> None:
    """Start the workers of these orders."""
    for line in lines:
        host.start(msgspec.json.decode(line, type=Order))


def run(lifeline: str) -> None:
    """Carry out orders until an empty one comes, or whoever gives them is gone: then this pipe closes."""
    host = Host()
    inbox = selectors.DefaultSelector()
    inbox.register(0, selectors.EVENT_READ)
    end = inbox.register(os.open(lifeline, os.O_RDONLY), selectors.EVENT_READ)
    text = b""
    while True:
        ready = [key for key, _ in inbox.select(TURN_S if host.busy else None)]
        if end in ready:
            os._exit(0)  # the end of a job does not wait for the end of all its processes
        if ready:
            news = os.read(0, READ)
            *lines, text = (text + news).split(b"\n")
            if not news or b"" in lines:
                os._exit(0)
            carry_out(host, lines)
        host.step()
