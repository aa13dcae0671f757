"""A lane: MPI processes that reach each other, who is at which rank, and messages between them in raw buffers.

`workers.transports.mpi` sends tokens over it; `workers.transports.lane_making` makes one when processes have come. A
death breaks no lane: what is for the dead is refused, and the others go on as before (the User-Level Failure Mitigation
of MPI, where it is there). To import this module is to start MPI.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import mpi4py
import msgspec
import numpy as np

from streammac.wire.codec import WireError
from workers.transports.base import TransportError
from workers.transports.doorbell import Address
from workers.transports.framing import Buffer, Frame, following, pack, unpack

# who makes a lane waits for the others in a thread of its own; the end must not wait for those who have died
mpi4py.rc.thread_level = "multiple"
mpi4py.rc.finalize = False

from mpi4py import MPI  # noqa: E402

__all__ = ["CARD_BYTES", "MPI", "Card", "Lane", "alone", "elastic", "end_together"]

log = logging.getLogger(__name__)

CARD_BYTES = 1024
"""Room for a card: two names of hosts."""
EAGER = 1 << 12
"""Messages of no more bytes leave when they are sent."""
SEND_QUEUE = 1000
"""Messages that may be under way to one rank; more means that it takes none."""
REAPED = 32
"""Of those that wait, so many are looked at in one look at the lane."""
MOST_FAULTS = 100
"""Errors in one look at a lane: more, and it is not used any more."""
FAULT_TOLERANT = "OMPI_MCA_mpi_ft_enable"
"""What ``mpiexec --with-ft ulfm`` sets in the environment of ranks."""
HEAD, FRAME, WORD = 1, 2, 3
"""Tags: the buffer that a message begins with, a large frame of it, words of `lane_making`."""

Arrived: TypeAlias = tuple[int, list[memoryview]]
"""A message's frames, and the rank that sent it."""


class Card(msgspec.Struct, frozen=True, array_like=True):
    """What everybody in a lane knows of a process.

    Attributes
    ----------
    line : str
        What the members of a view know it by.
    address : str
        Where its ring socket listens; none: it is no worker.
    bell : tuple of (str, int)
        Where it is rung.
    """

    line: str
    address: str
    bell: Address

    def written(self) -> bytes:
        """Return it as `CARD_BYTES` bytes: all are of one length, and spaces after JSON mean nothing."""
        return msgspec.json.encode(self).ljust(CARD_BYTES)

    @classmethod
    def read(cls, written: bytes) -> Card:
        """Return the card that was written so."""
        return msgspec.json.decode(written, type=cls)


@dataclass(slots=True)
class _Incoming:
    """What arrives from one rank, in its order: buffers that are being filled."""

    tag: int
    buffer: Buffer
    request: Any
    complete: bool = False


class Lane:
    """One end of a lane.

    Parameters
    ----------
    communicator : MPI.Intracomm
        All processes; nothing but this sends in it.
    cards : sequence of Card
        Of each rank.

    Attributes
    ----------
    words : deque of (int, bytes)
        What `lane_making` was sent, by rank.
    malformed : int
        Messages that were none.
    broken : bool
        It is of no use any more.
    listens_only : bool
        Others may send in it; whether all can, nobody has said.
    """

    def __init__(self, communicator: Any, cards: Sequence[Card]) -> None:
        communicator.Set_errhandler(MPI.ERRORS_RETURN)
        self.communicator = communicator
        self.cards = cards
        self.words: deque[tuple[int, bytes]] = deque()
        self.malformed = 0
        self.broken = self.listens_only = False
        self._dead: frozenset[int] = frozenset()
        self._outgoing: deque[tuple[int, Any, Frame]] = deque()
        self._queued: Counter[int] = Counter()
        self._incoming: dict[int, deque[_Incoming]] = {}
        self._status = MPI.Status()

    @property
    def rank(self) -> int:
        """Of this process."""
        return int(self.communicator.rank)

    @property
    def ranks(self) -> Mapping[str, int]:
        """The rank of each worker that lives, by the address of its ring socket."""
        cards = enumerate(self.cards)
        return {card.address: rank for rank, card in cards if card.address and self.reaches(rank)}

    @property
    def others(self) -> list[int]:
        """The other ranks that live."""
        return [r for r in range(len(self.cards)) if r != self.rank and r not in self._dead]

    def reaches(self, rank: int) -> bool:
        """Return whether nothing is known against a rank."""
        return not self.broken and rank not in self._dead

    @property
    def in_transit(self) -> bool:
        """Whether something moves on only while it is looked at."""
        long = any(len(buffer) > EAGER for _, _, buffer in self._outgoing)
        return long or any(self._incoming.values())

    # -- out ------------------------------------------------------------------------------

    def send(self, rank: int, frames: Sequence[Frame]) -> None:
        """Send a message.

        Raises
        ------
        TransportError
            If the rank is dead, or takes nothing any more.
        """
        if self._queued[rank] >= SEND_QUEUE:
            self._reap()
        if not self.reaches(rank) or self._queued[rank] >= SEND_QUEUE:
            raise TransportError(f"rank {rank} takes no more")
        head, large = pack(frames)
        self._isend(head, rank, HEAD)
        for frame in large:
            self._isend(frame, rank, FRAME)

    def send_word(self, rank: int, word: bytes) -> None:
        """Send a word of `lane_making`; the dead do not hear it."""
        try:
            self._isend(word, rank, WORD)
        except TransportError as error:
            log.debug("%s", error)

    def _isend(self, buffer: Frame, rank: int, tag: int) -> None:
        try:
            request = self.communicator.Isend((buffer, MPI.BYTE), rank, tag)
            if request.Test():
                return
        except MPI.Exception as error:
            self._acknowledge(error)
            raise TransportError(f"rank {rank} takes nothing: {error}") from None
        self._outgoing.append((rank, request, buffer))
        self._queued[rank] += 1

    def _reap(self) -> None:
        """Let go of what has left, or never will."""
        for _ in range(min(REAPED, len(self._outgoing))):
            rank, request, buffer = self._outgoing.popleft()
            if self._is_under_way(request):
                self._outgoing.append((rank, request, buffer))
            else:
                self._queued[rank] -= 1

    def _is_under_way(self, request: Any) -> bool:
        try:
            return not request.Test()
        except MPI.Exception as error:
            self._acknowledge(error)
            return False

    # -- in -------------------------------------------------------------------------------

    def receive(self) -> list[Arrived]:
        """Return the messages that have arrived, those of one rank in its order."""
        if self._outgoing:
            self._reap()
        self._match()
        arrived: list[Arrived] = []
        for rank, incoming in self._incoming.items():
            while incoming and (frames := self._whole(rank, incoming)) is not None:
                if frames:
                    arrived.append((rank, frames))
        return arrived

    def _match(self) -> None:
        """Begin to receive all that has come."""
        faults = 0
        status = self._status
        # one that has just come is often matched by the second look only
        improbe = self.communicator.Improbe
        while not self.broken:
            try:
                message = improbe(status=status) or improbe(status=status)
                if not message:
                    return
                rank, tag = status.source, status.tag
                buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
                request = message.Irecv((buffer, MPI.BYTE))
            except MPI.Exception as error:
                faults += 1
                self._acknowledge(error)
                if faults >= MOST_FAULTS:
                    log.warning("MPI is not used any more: %s", error)
                    self.broken = True
            else:
                incoming = self._incoming.setdefault(rank, deque())
                incoming.append(_Incoming(tag, buffer, request))

    def _whole(self, rank: int, incoming: deque[_Incoming]) -> list[memoryview] | None:
        """Take the first message of a rank; None if it is not all there, nothing if it was none or a word."""
        first = incoming[0]
        if not self._has_come(rank, first):
            return None
        if first.tag == WORD:
            incoming.popleft()
            self.words.append((rank, first.buffer.tobytes()))
            return []
        try:
            if first.tag != HEAD:
                raise WireError(f"a message that begins with tag {first.tag}")
            parts = following(first.buffer)
            if len(incoming) <= parts or not all(
                self._has_come(rank, incoming[i]) for i in range(1, parts + 1)
            ):
                return None
            incoming.popleft()
            large = [incoming.popleft().buffer for _ in range(parts)]
            return unpack(first.buffer, large)
        except WireError as error:
            log.warning("ignored what rank %d sent: %s", rank, error)
            self.malformed += 1
            if incoming and incoming[0] is first:
                incoming.popleft()
            return []

    def _has_come(self, rank: int, part: _Incoming) -> bool:
        if not part.complete and rank not in self._dead:
            try:
                part.complete = part.request.Test()
            except MPI.Exception as error:
                self._acknowledge(error)
        return part.complete

    # -- deaths ---------------------------------------------------------------------------

    def _acknowledge(self, error: Any) -> None:
        """Take notice of who has died: from now on the others can be heard again.

        Nothing of the dead arrives any more, and what was under way to them comes back with an error.
        """
        try:
            self.communicator.Ack_failed()
            failed = self.communicator.Get_failed()
            whole = self.communicator.Get_group()
            ranks = MPI.Group.Translate_ranks(failed, list(range(failed.size)), whole)
        except (MPI.Exception, NotImplementedError):
            log.warning("MPI is not used any more: %s", error)
            self.broken = True
            return
        news = frozenset(int(rank) for rank in ranks) - self._dead
        self._dead |= news
        for rank in news:
            self._incoming.pop(rank, None)
            log.info("MPI: rank %d is gone", rank)


def alone() -> bool:
    """Return whether this process was started without others, and cannot get any."""
    return bool(MPI.COMM_WORLD.size == 1 and MPI.Comm.Get_parent() == MPI.COMM_NULL)


def elastic() -> bool:
    """Return whether the others live on when one of the processes that MPI started dies or leaves."""
    return os.environ.get(FAULT_TOLERANT, "") in ("1", "true")


def end_together() -> None:
    """Wait until all processes that MPI started end: where it is not `elastic`, the first end is the end of all."""
    MPI.Finalize()
