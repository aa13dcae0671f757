"""Points from ingest nodes into the shards: append, make safe, then acknowledge.

Called by the worker's I/O loop with what its data socket received. Batches that arrive together are made
safe together (group commit), and no acknowledgement leaves before that.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import numpy as np
import zmq

from streammac.config import Settings
from streammac.run_directory import RunDirectory
from streammac.store import Mark, Outcome, Retention, Schema, Shard, StoreError
from streammac.store import Points as StoredPoints
from streammac.wire.codec import Message, WireError, decode, encode
from streammac.wire.messages import Ack, Credit, HeldOut, Hello, Points, StreamSchema

log = logging.getLogger(__name__)

BATCHES_PER_TURN = 64
"""Batches taken before the I/O loop looks at its other sockets again."""


def schema_of(stream: StreamSchema) -> Schema:
    """Return the store's schema for the stream's."""
    if stream.targets:
        return Schema(stream.dim, stream.dtype, y_shape=(stream.targets,), y_dtype="float32")
    return Schema(stream.dim, stream.dtype)


@dataclass(slots=True)
class Intake:
    """A worker's two shards, training and held out, and what is on its way into them.

    Parameters
    ----------
    name : str
        The worker's name.
    directory : RunDirectory
        Where the shards are.
    settings : Settings
        Ack mode, retention, window.
    """

    name: str
    directory: RunDirectory
    settings: Settings
    malformed: int = 0
    refused: int = 0
    duplicates: int = 0
    train: Shard | None = None
    probe: Shard | None = None
    _waiting: list[tuple[bytes, Points]] = field(default_factory=list)

    def open(self, stream: StreamSchema) -> None:
        """Open the shards, once it is known what a point looks like."""
        if self.train is not None:
            return
        store = self.settings.store
        schema = schema_of(stream)
        retention = Retention(store.retain_points, store.retain_bytes, store.retain_s)
        self.train = Shard.open(
            self.directory.shard(self.name),
            schema,
            ack=store.ack,
            segment_bytes=store.segment_bytes,
            retention=retention,
        )
        self.probe = Shard.open(
            self.directory.probe(self.name),
            schema,
            ack=store.ack,
            segment_bytes=min(store.segment_bytes, 4 << 20),
            retention=Retention(points=4 * self.settings.probe.points),
        )

    def serve(self, socket: zmq.Socket[bytes]) -> list[HeldOut]:
        """Take what has arrived, acknowledge it; return held-out points for the coordinator."""
        batches: list[tuple[bytes, Points]] = []
        for _ in range(BATCHES_PER_TURN):
            try:
                identity, *frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                message = decode(frames)
            except WireError as error:
                self.malformed += 1
                log.warning("a message on the data socket did not decode: %s", error)
                continue
            if isinstance(message, Points):
                batches.append((identity, message))
            elif isinstance(message, Hello):
                self._send(socket, identity, Credit(self.settings.ingest.window_bytes))
            else:
                self.malformed += 1
        if self.train is None:
            # the ingest node may know the schema a moment before we do; its window bounds this list
            self._waiting += batches
            return []
        batches, self._waiting = self._waiting + batches, []
        return self._store(socket, batches)

    def _store(
        self, socket: zmq.Socket[bytes], batches: list[tuple[bytes, Points]]
    ) -> list[HeldOut]:
        assert self.train is not None
        assert self.probe is not None
        acks: list[tuple[bytes, Ack]] = []
        held_out: list[HeldOut] = []
        window = self.settings.ingest.window_bytes
        now = time.time()
        for identity, batch in batches:
            shard = self.probe if batch.held_out else self.train
            mark = Mark(batch.source, batch.incarnation, batch.sequence)
            tensors = batch.tensors
            reason = ""
            try:
                points = StoredPoints(
                    tensors["x"], tensors.get("y"), tensors.get("time"), batch.keys or None
                )
                outcome = shard.append(points, mark, now)
                answer = "stored" if outcome is Outcome.STORED else "duplicate"
                if answer == "duplicate":
                    self.duplicates += len(tensors["x"])
                elif batch.held_out:
                    held_out.append(HeldOut(self.name, {"x": tensors["x"]}))
            except (StoreError, KeyError, OSError) as error:
                self.refused += 1
                answer, reason = "refused", f"{type(error).__name__}: {error}"
                log.warning("refused a batch of %s: %s", batch.source, reason)
            acks.append(
                (
                    identity,
                    Ack(
                        batch.source,
                        batch.incarnation,
                        batch.sequence,
                        answer,  # type: ignore[arg-type]
                        window,
                        reason,
                    ),
                )
            )
        if acks:
            self.train.commit()
            self.probe.commit()
        for identity, ack in acks:
            self._send(socket, identity, ack)
        return held_out

    @staticmethod
    def _send(socket: zmq.Socket[bytes], identity: bytes, message: Message) -> None:
        try:
            socket.send_multipart([identity, *encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # the ingest node is gone or does not read; it sends again what it has no answer for
            log.warning("could not answer an ingest node: %s", error)

    def remembered_probe(self, most: int) -> HeldOut | None:
        """Return the newest held-out points, for a coordinator that has just (re)started."""
        if self.probe is None or self.probe.points == 0:
            return None
        view = self.probe.view()
        x = view.x(slice(max(0, len(view) - most), len(view)))
        return HeldOut(self.name, {"x": x.astype(np.float32, copy=False)})

    def enforce_retention(self) -> None:
        """Drop what is beyond the retention limits."""
        for shard in (self.train, self.probe):
            if shard is not None:
                shard.enforce_retention(time.time())

    def facts(self) -> dict[str, float]:
        """Return the counts for heartbeats; held-out points count as stored."""
        shards = [shard for shard in (self.train, self.probe) if shard is not None]
        return {
            "points": float(sum(s.points for s in shards)),
            "appended": float(sum(s.appended for s in shards)),
            "expired": float(sum(s.expired for s in shards)),
            "bytes": float(sum(s.bytes for s in shards)),
            "held_out": float(self.probe.points if self.probe is not None else 0),
            "duplicates": float(self.duplicates),
            "malformed": float(self.malformed),
            "refused": float(self.refused),
        }

    def close(self) -> None:
        """Make everything safe and release the shards."""
        for shard in (self.train, self.probe):
            if shard is not None:
                shard.close()
