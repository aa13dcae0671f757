"""Hostile messages to the sockets of a real cluster, and what it is to be like afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from msgspec.structs import replace

from streammac import Client
from streammac.publishing.versions import VersionStore
from streammac.wire.codec import Message, WireError, decode, decode_all, encode, encode_all
from streammac.wire.messages import (
    Credit,
    DrainRequest,
    Goodbye,
    Heartbeat,
    HeldOutPoints,
    Holdings,
    ModelState,
    OpenSession,
    PinVersion,
    Points,
    ProbeAnswer,
    Push,
    Register,
    Routes,
    Shutdown,
    Token,
    Wake,
)
from streammac.wire.status import ClusterStatus
from tests.fuzzing.values import hostile
from tests.wire.test_codec import KINDS
from tests.workers.live_cluster import LiveCluster, states

SETTINGS: dict[str, Any] = {
    "model": {"bits": 8, "options": {"starts": 3, "refined": 1}},
    "stream": {"dim": 4, "dtype": "float32"},
    "training": {"start_points": 100},
}
WORKERS = 2
SHARES = (0.0, 0.02, 0.1, 0.4)
"""How much of a message is hostile."""
ORDERS = (Shutdown, DrainRequest, PinVersion)
"""What everybody may ask for, and the cluster then does: only with values that it refuses."""
LIKELY: dict[str, list[type[Message]]] = {
    "control": [Register, Register, Heartbeat, Holdings, HeldOutPoints, ProbeAnswer, Goodbye],
    "data": [OpenSession, Points, Points],
    "ring": [Token, Token, ModelState, Wake],
    "client": [Push],
}
"""What each socket takes; of all other messages there are some, too."""
BUNDLED = 0.1
"""Share of sendings that are a bundle."""
ASIDE = 0.1
"""Share of messages that do not belong to a socket."""
SEND_S = 60.0


@dataclass
class Line:
    """A line to one socket of a process, and the messages that went over it."""

    kind: str
    socket: zmq.Socket[bytes]
    rng: random.Random
    incarnations: dict[str, int]
    count: int = 0
    refused: int = 0
    sessions: dict[str, int] = field(default_factory=dict)
    """What the process believes to have with whom."""

    def send(self) -> None:
        """Send one more hostile message."""
        messages = [self._message() for _ in range(1 if self.rng.random() > BUNDLED else 3)]
        for frames in encode_all(messages):
            self._send([bytes(frame) for frame in frames])

    def _send(self, frames: list[bytes]) -> None:
        self.refused += any(isinstance(one, WireError) for one in decode_all(frames))
        if not self.socket.poll(SEND_S * 1000, zmq.POLLOUT):
            raise TimeoutError(f"{self.kind}: takes nothing for {SEND_S:.0f} s")
        self.socket.send_multipart(frames)
        self.count += 1
        while self.socket.poll(0):
            for answer in decode_all(self.socket.recv_multipart()):
                if isinstance(answer, Credit):
                    self.sessions |= dict.fromkeys(self.sessions, answer.session)

    def _message(self) -> Message:
        kinds = LIKELY[self.kind] if self.rng.random() > ASIDE else KINDS
        message = hostile(self.rng.choice(kinds), self.rng, self.rng.choice(SHARES))
        if isinstance(message, ORDERS):
            return (
                replace(message, name="../x")
                if isinstance(message, DrainRequest)
                else Push("", 0, 0, {})
            )
        if isinstance(message, OpenSession) and self.rng.random() < 0.9:
            known = self.incarnations[self.rng.choice(sorted(self.incarnations))]
            number = self.rng.choice((time.time_ns(), message.session))
            self.sessions[message.sender] = number
            return replace(message, incarnation=known, session=number)
        if isinstance(message, Points) and message.sender in self.sessions:
            return replace(message, session=self.sessions[message.sender])
        return message


class Attack:
    """A cluster with one line to each kind of its sockets.

    Parameters
    ----------
    folder : Path
        Where the cluster runs.
    seed : int
        Decides what is sent.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.cluster = LiveCluster(folder, SETTINGS, WORKERS)
        self.seed = seed
        self.lines: list[Line] = []
        self._context = zmq.Context()
        self._rng = np.random.default_rng(seed)

    def push(self, count: int = 500) -> None:
        """Push good points, and see that they are all taken."""
        x = self._rng.normal(size=(count, 4)).astype(np.float32)
        with Client(self.cluster.directory.root) as client:
            result = client.push(x)
        assert result.accepted == count, result

    def begin(self) -> None:
        """Wait until the cluster trains, and open the lines."""
        self.cluster.wait(lambda s: bool(s.feeding) and len(s.members) == WORKERS, "everybody")
        self.push()
        self.cluster.epochs(1)
        for kind, address in self._addresses().items():
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.connect(address)
            rng = random.Random(f"{self.seed}:{kind}")
            self.lines.append(Line(kind, socket, rng, self._incarnations()))

    def _addresses(self) -> dict[str, str]:
        known = self.cluster.directory.announced
        worker, node, coordinator = known("w1"), known("i1"), known("coordinator")
        assert worker is not None
        assert node is not None
        assert coordinator is not None
        return {
            "control": coordinator["control"],
            "data": worker["data"],
            "ring": worker["ring"],
            "client": node["client"],
        }

    def _incarnations(self) -> dict[str, int]:
        """Return those of the workers, as any ingest node is told them."""
        with self._context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            coordinator = self.cluster.directory.announced("coordinator")
            assert coordinator is not None
            socket.connect(coordinator["control"])
            register = Register("ingest", "spy", 1, 1, "h", {"client": "tcp://127.0.0.1:9"}, "s")
            socket.send_multipart(encode(register))
            while True:
                answer = decode(socket.recv_multipart())
                if isinstance(answer, Routes):
                    return {route.name: route.incarnation for route in answer.workers}

    def send(self, messages: int) -> Iterator[int]:
        """Send so many to each socket; yield how many, now and then, when the cluster has been looked at."""
        while self.lines[0].count < messages:
            for _ in range(min(1000, messages - self.lines[0].count)):
                for line in self.lines:
                    try:
                        line.send()
                    except TimeoutError:
                        self.look()
                        raise
            self.look()
            yield self.lines[0].count

    def look(self) -> None:
        """See that nobody has died."""
        dead = {
            name: c.exit_message()
            for name, c in self.cluster.children.items()
            if c.exit_code is not None
        }
        assert not dead, "\n".join(dead.values())

    def end(self) -> ClusterStatus:
        """See that the cluster is as before: points are stored and trained, and the books balance."""
        for line in self.lines:
            line.socket.close()
        self.look()
        everybody = {"w1": "alive", "w2": "alive"}
        self.cluster.wait(lambda s: everybody.items() <= states(s).items(), "both workers")
        self.cluster.wait(lambda s: len(s.members) == WORKERS, "nobody else")
        self.cluster.wait(lambda s: [node.name for node in s.feeding] == ["i1"], "the ingest node")
        before = self.cluster.wait(lambda s: True, "a status").points.stored
        self.push()
        self.cluster.wait(lambda s: s.points.stored >= before + 500, "good points")
        status = self.cluster.epochs(2)
        self.look()
        points = status.points
        gone = points.expired + points.away + points.dropped
        assert points.accepted == points.stored + gone, points
        versions = VersionStore(self.cluster.directory.models, keep=5)
        tensors = versions.load(versions.newest).tensors
        assert all(np.isfinite(array).all() for array in tensors.values())
        return status

    def close(self) -> None:
        """End the cluster."""
        self._context.destroy(linger=0)
        self.cluster.__exit__()
