"""Who takes part: registrations, signs of life, and the members of the next view.

Pure bookkeeping for the coordinator: the clock is an argument, sockets are opaque identities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streammac.coordinator.failure_detector import FailureDetector
from streammac.wire.messages import Drain, Heartbeat, MemberAddress, Move, Register

MAX_PEERS = 10_000
BLINK_S = 1.0
"""A coordinator that did not look for so long excuses its peers for the time."""
HEED_S = 5.0
"""An order to hand over points that no heartbeat speaks of after so long is given again."""


@dataclass(slots=True)
class Peer:
    """A registered process and the last that was heard of it.

    ``state``: ``alive``; ``draining``, it leaves in good order; ``lost``, it died or fell silent; ``left``.
    """

    registration: Register
    identity: bytes
    signs: FailureDetector
    state: Literal["alive", "draining", "lost", "left"] = "alive"
    facts: dict[str, float] = field(default_factory=dict)
    holding: tuple[str, ...] = ()
    drained: bool = False
    """It left while the others went on."""
    banned_until: float = 0.0
    """Until then it counts as lost, whatever is heard of it."""
    orders: int = 0
    """Orders to hand over points that it was given."""
    order: Drain | Move | None = None
    """The last of them."""
    ordered_at: float = 0.0
    """When it was told that."""

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
    def heeded(self) -> int:
        """Orders to hand over points that it has heard of, as far as is known."""
        return int(self.facts.get("orders", 0))

    @property
    def giving(self) -> bool:
        """Return whether it has an order to hand over points: it gets none meanwhile."""
        awaited = self.state != "left" and self.orders > self.heeded
        return awaited or self.facts.get("giving", 0) > 0

    @property
    def moves(self) -> bool:
        """Return whether it hands over points, or may have something of that under way."""
        return self.giving or self.facts.get("handing", 0) > 0

    @property
    def away(self) -> bool:
        """Return whether its points are out of reach, until it returns."""
        return self.state == "lost" or self.drained

    @property
    def ready(self) -> bool:
        """Return whether it can train: a worker needs a moment to load what it computes with."""
        return self.state == "alive" and self.facts.get("ready", 0) > 0

    def give_order(self, order: Drain | Move, now: float) -> None:
        """Take note that it is told to hand over points."""
        self.orders = max(self.orders, self.heeded) + 1
        self.order, self.ordered_at = order, now

    def unheard(self, now: float) -> bool:
        """Return whether its order seems to be lost: it has to be told again, or it would get no points any more."""
        late = self.orders > self.heeded and now - self.ordered_at > HEED_S
        if late:
            self.ordered_at = now
        return late


class Membership:
    """All processes that ever registered, by name."""

    def __init__(self, heartbeat_s: float) -> None:
        self.heartbeat_s = heartbeat_s
        self.peers: dict[str, Peer] = {}
        self._looked = float("inf")

    def register(self, identity: bytes, message: Register, now: float) -> bool:
        """Take a registration; return whether the process is new (or a new incarnation)."""
        known = self.peers.get(message.name)
        if known is not None:
            if message.incarnation < known.incarnation:
                return False  # a process that was replaced meanwhile
            if message.incarnation == known.incarnation:
                known.registration, known.identity = message, identity
                return self._alive(known, now)
        elif len(self.peers) >= MAX_PEERS:
            return False
        signs = FailureDetector(self.heartbeat_s, now)
        self.peers[message.name] = Peer(message, identity, signs)
        return True

    def hear(self, peer: Peer, message: Heartbeat, now: float) -> bool:
        """Take a process's heartbeat; return whether it brings a lost one back."""
        back = self._alive(peer, now)
        peer.facts, peer.holding = message.facts, message.holding
        return back

    @staticmethod
    def _alive(peer: Peer, now: float) -> bool:
        peer.signs.hear(now)
        back = peer.state == "lost" and now >= peer.banned_until
        if back:
            peer.state = "alive"
        return back

    def find(self, name: str, incarnation: int) -> Peer | None:
        """Return a process, None if another one of that name has come since."""
        peer = self.peers.get(name)
        return peer if peer is not None and peer.incarnation == incarnation else None

    def leave(self, name: str, incarnation: int, facts: dict[str, float]) -> bool:
        """Take a goodbye; return whether the process was here."""
        peer = self.find(name, incarnation)
        if peer is None:
            return False
        peer.state, peer.facts, peer.holding = "left", facts, ()
        return True

    def silence(self, now: float) -> list[Peer]:
        """BatchId as lost, and return, the processes that have been silent for too long."""
        pause, self._looked = now - self._looked, now
        if pause > BLINK_S:
            for peer in self.peers.values():
                peer.signs.excuse(pause)
        gone = [p for p in self.peers.values() if p.here and p.signs.suspicious(now)]
        for peer in gone:
            peer.state, peer.holding = "lost", ()
        return gone

    def lose(self, name: str, incarnation: int) -> Peer | None:
        """BatchId a process as lost whose connection broke; return it if that is news."""
        peer = self.find(name, incarnation)
        if peer is None or not peer.here:
            return None
        peer.state, peer.holding = "lost", ()
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
        facts = {peer.name: peer.facts for peer in self.of("worker")}
        return {n: int(f.get("points", 0) - f.get("held_out", 0)) for n, f in facts.items()}

    @property
    def points_to_train_on(self) -> int:
        """Points to train on in the shards of all live workers."""
        return sum(self.shards.values())

    @property
    def appended(self) -> int:
        """Points that live workers have ever stored."""
        return int(sum(peer.facts.get("appended", 0) for peer in self.of("worker")))


def address(peer: Peer, socket: str) -> MemberAddress:
    """Return where a process listens with one of its sockets."""
    return MemberAddress(peer.name, peer.registration.addresses.get(socket, ""))
