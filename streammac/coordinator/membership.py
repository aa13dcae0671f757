"""Who takes part: registrations, signs of life, and the members of the next view.

Pure bookkeeping for the coordinator: the clock is an argument, sockets are opaque identities.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from streammac.coordinator.contest import Contest
from streammac.coordinator.failure_detector import FailureDetector
from streammac.wire.messages import Goodbye, Heartbeat, MemberAddress, Register
from streammac.wire.reports import IngestReport, WorkerReport

MAX_PEERS = 1000
"""Processes that are remembered, so that the status of all of them is one message."""
NEEDED: dict[str, tuple[Literal["ring", "data", "client"], ...]] = {
    "worker": ("ring", "data"),
    "ingest": ("client",),
}
"""The addresses without which nobody can do anything with a process."""


@dataclass(slots=True)
class Peer:
    """A registered process and the last that was heard of it.

    ``state``: ``alive``; ``draining``, it leaves in good order; ``lost``, it died or fell silent; ``left``.
    """

    registration: Register
    identity: bytes
    detector: FailureDetector
    state: Literal["alive", "draining", "lost", "left"] = "alive"
    worker: WorkerReport = field(default_factory=WorkerReport)
    ingest: IngestReport = field(default_factory=IngestReport)
    """What it reported last; of the other role, nothing."""
    drained: bool = False
    """It left while the others went on."""
    banned_until: float = 0.0
    """Until then it counts as lost, whatever is heard of it."""

    @property
    def name(self) -> str:
        """Stable name of the process."""
        return self.registration.name

    @property
    def incarnation(self) -> int:
        """Which process of that name it is."""
        return self.registration.incarnation

    @property
    def here(self) -> bool:
        """Return whether messages reach it."""
        return self.state in ("alive", "draining")

    @property
    def away(self) -> bool:
        """Return whether its points are out of reach, until it returns."""
        return self.state == "lost" or self.drained

    @property
    def ready(self) -> bool:
        """Return whether it can train: a worker needs a moment to load what it computes with."""
        return self.state == "alive" and self.worker.ring.ready


class Membership:
    """All processes that ever registered, by name."""

    def __init__(self, heartbeat_s: float) -> None:
        self.heartbeat_s = heartbeat_s
        self.peers: dict[str, Peer] = {}
        self._contest = Contest(heartbeat_s)

    def refusal(self, message: Register, now: float) -> str | None:
        """Return why a process cannot register; empty if it can, None as long as that is not clear."""
        missing = [one for one in NEEDED[message.role] if not message.addresses.get(one)]
        if missing:
            return f"{message.name}: expected an address for {', '.join(missing)}"
        known = self.peers.get(message.name)
        if known is None:
            return (
                f"there are {MAX_PEERS} processes already" if len(self.peers) >= MAX_PEERS else ""
            )
        first = known.registration
        if message.incarnation < first.incarnation:
            return f"{message.name}: process {first.pid} on {first.host} has taken its place"
        if message.incarnation == first.incarnation or not known.here:
            return ""
        return self._contest.refusal(first, known.detector.last, message, now)

    def register(self, identity: bytes, message: Register, now: float) -> bool:
        """Take a registration that is not refused; return whether the process is new (or a new incarnation)."""
        known = self.peers.get(message.name)
        if known is not None and message.incarnation == known.incarnation:
            known.registration, known.identity = message, identity
            return self._alive(known, now)
        detector = FailureDetector(self.heartbeat_s, now)
        self.peers[message.name] = Peer(message, identity, detector)
        return True

    def hear(self, peer: Peer, message: Heartbeat, now: float) -> bool:
        """Take a process's heartbeat; return whether it brings a lost one back."""
        back = self._alive(peer, now)
        self._take(peer, message)
        return back

    @staticmethod
    def _take(peer: Peer, message: Heartbeat | Goodbye) -> None:
        peer.worker = message.worker or peer.worker
        peer.ingest = message.ingest or peer.ingest

    @staticmethod
    def _alive(peer: Peer, now: float) -> bool:
        peer.detector.hear(now)
        back = peer.state == "lost" and now >= peer.banned_until
        if back:
            peer.state = "alive"
        return back

    def find(self, name: str, incarnation: int) -> Peer | None:
        """Return a process, None if another one of that name has come since."""
        peer = self.peers.get(name)
        return peer if peer is not None and peer.incarnation == incarnation else None

    def is_from(self, identity: bytes, name: str) -> bool:
        """Return whether the process of a name speaks for itself."""
        return name in self.peers and self.peers[name].identity == identity

    def forget(self, kept: Collection[str]) -> None:
        """Make room if there is none: forget who is gone without points, but for those who are ``kept``."""
        if len(self.peers) < MAX_PEERS:
            return
        gone = [p for p in self.peers.values() if not (p.here or p.worker.points)]
        for peer in sorted(gone, key=lambda p: p.detector.last)[: MAX_PEERS // 10]:
            if peer.name not in kept:
                del self.peers[peer.name]

    def leave(self, peer: Peer, message: Goodbye) -> None:
        """Take a process's goodbye."""
        self._take(peer, message)
        peer.state = "left"

    def silence(self, now: float) -> list[Peer]:
        """Take for lost, and return, the processes that have been silent for too long."""
        gone = [p for p in self.peers.values() if p.here and p.detector.suspicious(now)]
        for peer in gone:
            peer.state = "lost"
        return gone

    def lose(self, name: str, incarnation: int) -> Peer | None:
        """Take a process for lost whose connection broke; return it if that is news."""
        peer = self.find(name, incarnation)
        if peer is None or not peer.here:
            return None
        peer.state = "lost"
        return peer

    def of(self, role: str, *, alive: bool = True) -> list[Peer]:
        """Return the processes of a role, in the order of their names."""
        peers = [p for p in self.peers.values() if p.registration.role == role]
        return sorted(
            (p for p in peers if p.state == "alive" or not alive), key=lambda peer: peer.name
        )

    @property
    def shards(self) -> dict[str, int]:
        """Points that each live worker has to train on: without the held-out ones."""
        shards = {peer.name: peer.worker.shard for peer in self.of("worker")}
        return {n: s.points - s.held_out if s is not None else 0 for n, s in shards.items()}

    @property
    def points_to_train_on(self) -> int:
        """Points to train on in the shards of all live workers."""
        return sum(self.shards.values())


def address(peer: Peer, socket: Literal["ring", "data"]) -> MemberAddress:
    """Return where a process listens with one of its sockets."""
    registration = peer.registration
    return MemberAddress(peer.name, registration.addresses.get(socket, ""), registration.line)
