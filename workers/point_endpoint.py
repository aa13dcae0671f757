"""Points from their senders into the worker's shards: the socket side of `streammac.delivery.receiver`.

Called by the worker's I/O loop with what its data socket received. Batches that arrive together are made
safe together (group commit), and no acknowledgement leaves before that.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import numpy as np
import zmq
from msgspec.structs import replace

from streammac.delivery.receiver import Receiver
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.store import Shard
from streammac.wire.codec import Message, WireError, decode, encode
from streammac.wire.messages import HeldOutPoints, OpenSession, Points, StreamSchema
from streammac.wire.reports import ShardCounts
from workers.shards import WorkerShards

log = logging.getLogger(__name__)

MESSAGES_PER_TURN = 64
"""Messages taken before the I/O loop looks at its other sockets again."""
MAX_EARLY = 1024
"""Greetings that may wait for the shards to be opened; later ones are repeated by their senders."""


@dataclass(slots=True)
class PointEndpoint:
    """A worker's shards, and what is on its way into them.

    Parameters
    ----------
    name : str
        The worker's name.
    incarnation : int
        Which process of that name it is.
    directory : RunDirectory
        Where the shards are.
    settings : Settings
        Ack mode, retention, window.
    """

    name: str
    incarnation: int
    directory: RunDirectory
    settings: Settings
    shards: WorkerShards | None = None
    receiver: Receiver[bytes] | None = None
    _early: dict[str, tuple[bytes, OpenSession]] = field(default_factory=dict)
    _undecodable: int = 0

    @property
    def train(self) -> Shard | None:
        """The shard of training points, once it is open."""
        return self.shards.train if self.shards is not None else None

    def open(self, stream: StreamSchema) -> None:
        """Open the shards, once it is known what a point looks like."""
        if self.shards is None:
            self.shards = WorkerShards(self.name, self.directory, self.settings, stream)
            window = self.settings.ingest.window_bytes
            self.receiver = Receiver(self.incarnation, window, self.shards)

    def serve(self, socket: zmq.Socket[bytes]) -> list[HeldOutPoints]:
        """Take what has arrived, answer it; return held-out points for the coordinator."""
        arrived = self._receive(socket)
        if self.receiver is None or self.shards is None:
            # nobody has credit yet, so only openings count; they are answered as soon as the shards are open
            for identity, message in arrived:
                if isinstance(message, OpenSession) and len(self._early) < MAX_EARLY:
                    self._early[message.sender] = (identity, message)
            return []
        arrived = [*self._early.values(), *arrived]
        self._early.clear()
        for identity, answer in self.receiver.take(arrived, time.monotonic()):
            self._send(socket, identity, answer)
        fresh, self.shards.fresh_held_out = self.shards.fresh_held_out, []
        return [HeldOutPoints(self.name, {"x": x}) for x in fresh]

    def _receive(self, socket: zmq.Socket[bytes]) -> list[tuple[bytes, OpenSession | Points]]:
        arrived: list[tuple[bytes, OpenSession | Points]] = []
        for _ in range(MESSAGES_PER_TURN):
            try:
                identity, *frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                message = decode(frames)
            except WireError as error:
                self._undecodable += 1
                log.warning("a message on the data socket did not decode: %s", error)
                continue
            if isinstance(message, OpenSession | Points):
                arrived.append((identity, message))
            else:
                self._undecodable += 1
        return arrived

    @staticmethod
    def _send(socket: zmq.Socket[bytes], identity: bytes, message: Message) -> None:
        try:
            socket.send_multipart([identity, *encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # the sender is gone or does not read; it asks again for what it has no answer to
            log.warning("could not answer a sender of points: %s", error)

    def remembered_held_out(self, most: int) -> HeldOutPoints | None:
        """Return the newest held-out points, for a coordinator that has just (re)started."""
        if self.shards is None or self.shards.held_out.points == 0:
            return None
        view = self.shards.held_out.view()
        x = view.x(view.recent(most))
        return HeldOutPoints(self.name, {"x": x.astype(np.float32, copy=False)})

    def enforce_retention(self) -> None:
        """Drop what is beyond the retention limits."""
        if self.shards is not None:
            self.shards.enforce_retention()

    def drop(self) -> int:
        """Give up all points; return how many there were."""
        if self.shards is None:
            return 0
        points = self.shards.counts().points
        self.shards.drop()
        return points

    @property
    def malformed(self) -> int:
        """Messages that did not decode or make no sense."""
        return self._undecodable + (self.receiver.malformed if self.receiver is not None else 0)

    def counts(self) -> ShardCounts | None:
        """Return the counts of the shards for heartbeats, None before they are open."""
        if self.shards is None or self.receiver is None:
            return None
        return replace(
            self.shards.counts(),
            duplicates=self.receiver.duplicates,
            refused=self.receiver.refused,
            refusing=bool(self.receiver.refusing),
        )

    def close(self) -> None:
        """Make everything safe and release the shards."""
        if self.shards is not None:
            self.shards.close()
