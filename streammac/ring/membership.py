"""Who takes part: registrations, signs of life, and the members of the next view.

Pure bookkeeping for the coordinator: the clock is an argument, sockets are opaque identities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streammac.wire.messages import Heartbeat, MemberAddress, Register

SILENT_BEATS = 12
"""A peer that misses so many heartbeats in a row is taken for gone."""
MAX_PEERS = 10_000


@dataclass(slots=True)
class Peer:
    """A registered process and the last that was heard of it."""

    registration: Register
    identity: bytes
    seen: float
    state: Literal["alive", "silent", "left"] = "alive"
    facts: dict[str, float] = field(default_factory=dict)
    holding: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Stable name of the process."""
        return self.registration.name


class Membership:
    """All processes that ever registered, by name."""

    def __init__(self, heartbeat_s: float) -> None:
        self.patience_s = SILENT_BEATS * heartbeat_s
        self.peers: dict[str, Peer] = {}

    def register(self, identity: bytes, message: Register, now: float) -> bool:
        """Take a registration; return whether the process is new (or a new incarnation)."""
        known = self.peers.get(message.name)
        if known is not None:
            if message.incarnation < known.registration.incarnation:
                return False  # a process that was replaced meanwhile
            if message == known.registration:
                known.identity, known.seen = identity, now
                back, known.state = known.state != "alive", "alive"
                return back
        elif len(self.peers) >= MAX_PEERS:
            return False
        self.peers[message.name] = Peer(message, identity, now)
        return True

    def hear(self, message: Heartbeat, now: float) -> bool:
        """Take a heartbeat; return whether it brings a silent process back."""
        peer = self.peers.get(message.name)
        if peer is None or peer.registration.incarnation != message.incarnation:
            return False
        back = peer.state == "silent"
        if peer.state != "left":
            peer.state = "alive"
        peer.seen, peer.facts, peer.holding = now, message.facts, message.holding
        return back

    def leave(self, name: str, incarnation: int, facts: dict[str, float]) -> bool:
        """Take a goodbye; return whether the process was here."""
        peer = self.peers.get(name)
        if peer is None or peer.registration.incarnation != incarnation:
            return False
        peer.state, peer.facts, peer.holding = "left", facts, ()
        return True

    def silence(self, now: float) -> list[str]:
        """Mark and return the processes that have been silent for too long."""
        gone = [
            peer.name
            for peer in self.peers.values()
            if peer.state == "alive" and now - peer.seen > self.patience_s
        ]
        for name in gone:
            self.peers[name].state = "silent"
        return gone

    def of(self, role: str, *, alive: bool = True) -> list[Peer]:
        """Return the processes of a role, in the order of their names."""
        peers = [p for p in self.peers.values() if p.registration.role == role]
        return sorted(
            (p for p in peers if p.state == "alive" or not alive), key=lambda peer: peer.name
        )

    def addresses(self, socket: str) -> tuple[MemberAddress, ...]:
        """Return where the live workers listen with one of their sockets (``ring``, ``data``)."""
        return tuple(
            MemberAddress(p.name, p.registration.addresses.get(socket, ""))
            for p in self.of("worker")
        )
