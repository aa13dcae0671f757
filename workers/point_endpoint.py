"""Points from their senders into the worker's shards: the socket side of `streammac.delivery.receiver`.

The socket is there from the start, because its address is told at the registration; the endpoint from when the shards
are open. Both are called by the worker's I/O loop. Batches that arrive together are made safe together (group commit),
and no acknowledgement leaves before that.
"""

from __future__ import annotations

import logging
import math
import time

import zmq
from msgspec.structs import replace

from streammac.delivery.receiver import Receiver
from streammac.points.block import PointBlock
from streammac.wire.codec import Message
from streammac.wire.messages import HeldOutPoints, OpenSession, Points
from streammac.wire.reports import ShardCounts
from streammac.wire.sockets import MessageSocket
from workers.shards import WorkerShards

log = logging.getLogger(__name__)

MESSAGES_PER_TURN = 64
"""Messages taken before the I/O loop looks at its other sockets again."""
RECEIVE_QUEUE = 1000
"""Messages that may wait on the socket; credit keeps the real number far below."""
MAX_EARLY = 1024
"""Openings of sessions that may wait for the shards to be opened; later ones are repeated by their senders."""


class PointSocket:
    """The socket that senders of points connect to.

    Parameters
    ----------
    context : zmq.Context
        The process's context.
    host : str
        Interface to listen on.

    Attributes
    ----------
    socket : zmq.Socket
        For the loop's poller.
    address : str
        Where senders connect.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], host: str) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.router_mandatory = True
        self.socket.linger = 500
        self.socket.rcvhwm = RECEIVE_QUEUE
        self.address = f"tcp://{host}:{self.socket.bind_to_random_port(f'tcp://{host}')}"
        self._messages: MessageSocket[OpenSession | Points] = MessageSocket(
            self.socket, "a sender of points", OpenSession, Points, most=MESSAGES_PER_TURN
        )
        self._early: dict[str, tuple[bytes, OpenSession]] = {}

    @property
    def malformed(self) -> int:
        """Messages that were none, or not a sender's."""
        return self._messages.malformed

    def keep_openings(self) -> None:
        """Take what has arrived before the shards are open: nobody has credit yet, so only openings count."""
        for identity, message in self._messages.receive():
            if isinstance(message, OpenSession) and len(self._early) < MAX_EARLY:
                self._early[message.sender] = (identity, message)

    def receive(self) -> list[tuple[bytes, OpenSession | Points]]:
        """Return what has arrived, and first the openings that were kept."""
        early, self._early = self._early, {}
        return [*early.values(), *self._messages.receive()]

    def send(self, identity: bytes, message: Message) -> None:
        """Answer a sender; one that is gone or does not read asks again for what it has no answer to."""
        self._messages.send(message, identity)


class PointEndpoint:
    """What is on its way into a worker's shards.

    Parameters
    ----------
    name : str
        The worker's name.
    incarnation : int
        Which process of that name it is.
    window_bytes : int
        Credit of each sender.
    socket : PointSocket
        Where points arrive.
    shards : WorkerShards
        Where they go.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        window_bytes: int,
        socket: PointSocket,
        shards: WorkerShards,
    ) -> None:
        self.name = name
        self.socket = socket
        self.shards = shards
        self.receiver: Receiver[bytes] = Receiver(incarnation, window_bytes, shards)

    def serve(self) -> list[HeldOutPoints]:
        """Take what has arrived, answer it; return held-out points for the coordinator."""
        for identity, answer in self.receiver.take(self.socket.receive(), time.monotonic()):
            self.socket.send(identity, answer)
        fresh, self.shards.fresh_held_out = self.shards.fresh_held_out, []
        return [_told(self.name, points) for points in fresh]

    def remembered_held_out(self, most: int) -> HeldOutPoints | None:
        """Return the newest held-out points, for a coordinator that has just (re)started.

        They are to reach back as far as the points to train on.
        """
        train, held_out = self.shards
        if held_out.points == 0:
            return None
        share = train.points / train.appended if train.appended else 1.0
        view = held_out.view()
        rows = view.recent(min(most, math.ceil(share * held_out.appended)))
        return _told(self.name, PointBlock(view.x(rows), view.y(rows)))

    @property
    def malformed(self) -> int:
        """Messages that did not decode or make no sense."""
        return self.socket.malformed + self.receiver.malformed

    def counts(self) -> ShardCounts:
        """Return the counts of the shards for heartbeats."""
        return replace(
            self.shards.counts(),
            duplicates=self.receiver.duplicates,
            refused=self.receiver.refused,
            refusing=bool(self.receiver.refusing),
        )


def _told(name: str, points: PointBlock) -> HeldOutPoints:
    """Return held-out points as they are told of: when they came, and what they are called, is of no consequence."""
    return HeldOutPoints(name, PointBlock(points.x, points.y).tensors())
