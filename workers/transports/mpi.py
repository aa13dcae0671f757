"""Tokens over MPI between the members that MPI started, over ZeroMQ to and from all others.

Who has come by itself, or is cut off from MPI, has a part in the same ring. By which of the two a member is reached is
settled when a view begins, and holds as long as it does: so what one sends to another keeps its order. The coordinator
knows nothing of it; its views alone say who is there.

MPI is only looked at when there is something to see, since it waits by burning a core: senders ring a `Doorbell` that
the worker's I/O loop has among its sockets. It is imported when this module is; `workers.listeners` does that where the
settings ask for it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from streammac.errors import ExitCode, Failure
from streammac.wire.codec import WireError, decode, encode
from workers.transports.base import RingMessage, TransportError
from workers.transports.doorbell import Doorbell
from workers.transports.known_lines import KnownLines
from workers.transports.lane import Card, Lane, alone, elastic, end_together
from workers.transports.lane_making import LaneMaker
from workers.transports.zeromq import ZeroMQTransport

log = logging.getLogger(__name__)

LANES = 3
"""So many are listened to: others may still send over a former one."""
FIRST_S = 5.0
"""So long the first lane is waited for before the ring is entered without it."""
RUNG_S = 0.02
"""So long after a ring somebody's message may be on its way."""
LINGER_S = 0.5


class MpiTransport:
    """A member's end of its lanes, and its ZeroMQ sockets.

    Parameters
    ----------
    zeromq : ZeroMQTransport
        For those that MPI does not reach.
    host : str
        Interface on which the doorbell is.
    line : str
        What the other members know this one by. Without it, everybody is believed.

    Attributes
    ----------
    card : Card
        What the others in a lane know of this member.
    carried : int
        Messages that have come over MPI.
    """

    def __init__(self, zeromq: ZeroMQTransport, host: str, line: str = "") -> None:
        self._zeromq = zeromq
        self._bell = Doorbell(host)
        self._lines = KnownLines(line)
        self._admitted: list[RingMessage] = []
        self.carried = self._unusable = 0
        self._lanes: deque[Lane] = deque(maxlen=LANES)
        self._ways: dict[str, tuple[Lane, int]] = {}
        self._rung_at = float("-inf")
        self.card = Card(line, zeromq.address, self._bell.address)
        self._maker = LaneMaker(self.card, lambda: self._bell.ring(self._bell.address))

    def begin(self) -> None:
        """Have the first lane made, of the processes that MPI started; if that takes long, go on without it.

        Raises
        ------
        Failure
            If MPI did not start this process.
        """
        if alone():
            raise Failure(
                ExitCode.CONFIGURATION,
                "--transport mpi: MPI did not start this process - start it with `mpiexec --with-ft "
                "ulfm -n 8 streammac worker --transport mpi ...`, or leave --transport out",
            )
        if not elastic():
            log.warning(
                "the MPI that started this process survives no death: when a worker dies, all do, and who leaves "
                "stays until the end - start them with `mpiexec --with-ft ulfm` of Open MPI 5 or newer"
            )
        self._maker.begin()
        self.listen(self._maker.take(FIRST_S))

    def listen(self, lane: Lane | None) -> None:
        """Take what comes in a lane from now on, if there is one; it is sent over with the next view."""
        if lane is not None:
            self._lanes.append(lane)

    @property
    def address(self) -> str:
        """Where the ZeroMQ socket listens."""
        return self._zeromq.address

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The ZeroMQ inbox and the bell."""
        return (*self._zeromq.sockets, self._bell.socket)

    @property
    def in_transit(self) -> bool:
        """See `Transport`."""
        expects = time.monotonic() - self._rung_at < RUNG_S
        return expects or any(lane.in_transit for lane in self._lanes)

    @property
    def malformed(self) -> int:
        """See `Transport`."""
        lanes = sum(lane.malformed for lane in self._lanes)
        return self._zeromq.malformed + self._lines.refused + self._unusable + lanes

    @property
    def over_mpi(self) -> int:
        """Members of the view that are reached over MPI now."""
        return sum(lane.reaches(rank) for lane, rank in self._ways.values())

    def connect(self, peers: Mapping[str, str], lines: Collection[str] = ()) -> None:
        """See `Transport.connect`."""
        self._zeromq.connect(peers, lines)
        self._admitted += self._lines.renew(lines)
        self.listen(self._maker.take())
        self._ways = {}
        usable = [lane for lane in self._lanes if not lane.listens_only]
        if usable:
            lane = usable[-1]
            ranks = lane.ranks
            self._ways = {n: (lane, ranks[a]) for n, a in peers.items() if a in ranks}
            log.info("over MPI: %d of %d members", self.over_mpi, len(peers))

    def send(self, to: str, message: RingMessage) -> None:
        """See `Transport.send`."""
        lane, rank = self._ways.get(to, (None, 0))
        if lane is None or not lane.reaches(rank):
            self._zeromq.send(to, message)
            return
        try:
            lane.send(rank, encode(message))
        except TransportError as error:
            raise TransportError(f"{to!r}: {error}") from None
        self._bell.ring(lane.cards[rank].bell)

    def receive(self) -> list[RingMessage]:
        """See `Transport.receive`."""
        rung = self._bell.rung()
        self.listen(self._maker.take())
        messages, self._admitted = self._admitted + self._zeromq.receive(), []
        before = self.carried
        for lane in self._lanes:
            for rank, frames in lane.receive():
                self.carried += 1
                message = self._decoded(frames)
                if message is not None and self._lines.admit(lane.cards[rank].line, message):
                    messages.append(message)
            self._maker.answer(lane)
        if self.carried > before:
            self._rung_at = float("-inf")
        elif rung:
            self._rung_at = time.monotonic()
        return messages

    def _decoded(self, frames: list[memoryview]) -> RingMessage | None:
        try:
            message = decode(frames)
        except WireError as error:
            log.warning("ignored what a member sent: %s", error)
        else:
            if isinstance(message, RingMessage):
                return message
            log.warning("ignored a %s of a member", type(message).__name__)
        self._unusable += 1
        return None

    def close(self) -> None:
        """See `Transport.close`."""
        self._zeromq.close()
        end = time.monotonic() + LINGER_S
        while any(lane.in_transit for lane in self._lanes) and time.monotonic() < end:
            for lane in self._lanes:
                lane.receive()
            time.sleep(0.001)
        self._bell.close()
        if self._lanes and not elastic():
            log.info("waiting for all that MPI has started to end")
            end_together()
