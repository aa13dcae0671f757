"""Connections between processes: each keeps order, any may be slow, break and lose what was on it.

One `Link` is one direction of one connection of one socket. Like ZeroMQ's sockets, a link whose other end cannot be
reached keeps what is sent, and hands it over when the connection is back; what was on the wire is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streammac.wire.messages import Heartbeat
from tests.simulation.kernel import Kernel, Process

QUEUE = 1000
"""Messages that may wait on a link, as with the real sockets."""
REPEATED_S = 4.0
"""What is sent again comes within that time, possibly after messages that were sent later."""
BREAKS = 0.7
"""How likely a message breaks a connection that is about to break again and again."""


@dataclass(slots=True, eq=False)
class Envelope:
    """A message on a link. ``gone``: it is lost, or travels on in another envelope."""

    message: Any
    due: float
    gone: bool = False


@dataclass(slots=True, eq=False)
class Link:
    """One direction of a connection."""

    sender: Process
    to: str
    channel: str
    queue: deque[Envelope] = field(default_factory=deque)
    last_due: float = 0.0

    @property
    def ends(self) -> tuple[str, str]:
        """The hosts at its ends."""
        return self.sender.name, self.to.split("#", maxsplit=1)[0]


class Network:
    """All links.

    Parameters
    ----------
    kernel : Kernel
        Time and chance.
    slowest_s : float
        A usual message takes less than that.
    jitter : float
        Share of messages that take ten times as long.
    """

    def __init__(self, kernel: Kernel, slowest_s: float, jitter: float) -> None:
        self.kernel = kernel
        self.slowest_s = slowest_s
        self.jitter = jitter
        self.lost = 0
        self._processes: dict[str, Process] = {}
        self._links: dict[tuple[str, str, str], Link] = {}
        self._closed: list[Link] = []
        """Links that were closed at their sender's end while something was on them: it may still arrive."""
        self._blocked: set[tuple[str, str]] = set()
        self._breaking: dict[tuple[str, str], tuple[float, Callable[[Link], None]]] = {}

    def attach(self, process: Process) -> None:
        """Have a process listen at its address; what waits for it there is on its way now."""
        self._processes[process.address] = process
        self.wake(process)

    def wake(self, process: Process) -> None:
        """Hand over what has come while a process was away or hung: of two connections in any order."""
        for link in self._all():
            if link.to == process.address:
                self._send_again(link)

    def send(self, sender: Process, to: str, channel: str, message: Any) -> bool:
        """Put a message on the link to an address; False: the link takes no more."""
        key = (sender.address, to, channel)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link(sender, to, channel)
        if len(link.queue) >= QUEUE:
            return False
        self._put(link, message)
        until, how = self._breaking.get(link.ends, (0.0, self._lose_the_end))
        if self.kernel.now < until and self.kernel.rng.random() < BREAKS:
            how(link)
        return True

    def _put(self, link: Link, message: Any) -> None:
        rng = self.kernel.rng
        delay = self.slowest_s * rng.random() ** 2
        if rng.random() < self.jitter:
            delay *= 10.0
        envelope = Envelope(message, max(link.last_due, self.kernel.now + delay))
        link.last_due = envelope.due
        link.queue.append(envelope)
        if self._is_open(link):
            self.kernel.after(envelope.due - self.kernel.now, self._arrive, link, envelope)

    def _is_open(self, link: Link) -> bool:
        process = self._processes[link.to]
        return link.ends not in self._blocked and process.alive and not process.hangs

    def _arrive(self, link: Link, envelope: Envelope) -> None:
        if envelope.gone or not self._is_open(link):
            return
        link.queue.popleft()
        self._processes[link.to].receive(link.sender.address, envelope.message)

    def _send_again(self, link: Link) -> None:
        waiting, link.queue = link.queue, deque()
        link.last_due = self.kernel.now
        for envelope in waiting:
            envelope.gone = True
            self._put(link, envelope.message)

    def _lose(self, link: Link, first: int, last: int) -> None:
        """Lose a part of what is on a link."""
        kept: deque[Envelope] = deque()
        for i, envelope in enumerate(link.queue):
            if first <= i < last:
                envelope.gone = True
                self.lost += 1
            else:
                kept.append(envelope)
        link.queue = kept

    def _all(self) -> list[Link]:
        self._closed = [link for link in self._closed if link.queue]
        return [*self._links.values(), *self._closed]

    # -- what happens to connections ------------------------------------------------------

    def died(self, process: Process) -> None:
        """Break all connections of a process that died: of what it has sent a part arrives."""
        rng = self.kernel.rng
        for key, link in list(self._links.items()):
            if link.sender is process:
                self._lose_the_end(link)
                self._closed.append(self._links.pop(key))
            elif link.to == process.address:
                self._lose(link, 0, rng.randint(0, len(link.queue)))

    def close(self, sender: Process, to: str, channel: str) -> None:
        """Close one connection at its sender's end."""
        link = self._links.pop((sender.address, to, channel), None)
        if link is not None:
            self._lose_the_end(link)
            self._closed.append(link)

    def cut(self, one: str, other: str, lasting_s: float = 0.0) -> None:
        """Break the connections between two hosts, and again and again for a while: what was on them is lost."""
        self._break(one, other, self._lose_the_end, lasting_s)

    def repeat(self, one: str, other: str, lasting_s: float = 0.0) -> None:
        """Break them under a transport that sends again what it does not know to have arrived."""
        self._break(one, other, self._repeat_the_end, lasting_s)

    def _break(self, one: str, other: str, how: Callable[[Link], None], lasting_s: float) -> None:
        self._breaking[one, other] = (self.kernel.now + lasting_s, how)
        for link in self._between(one, other):
            how(link)

    def _lose_the_end(self, link: Link) -> None:
        self._lose(link, self.kernel.rng.randint(0, len(link.queue)), len(link.queue))

    def _repeat_the_end(self, link: Link) -> None:
        queue = list(link.queue)
        again = queue[self.kernel.rng.randint(0, len(queue)) :]
        self.kernel.after(REPEATED_S * self.kernel.rng.random() ** 4, self._repeat, link, again)

    def _repeat(self, link: Link, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            # heartbeats say how things are now, and carry no number: an old one would be believed
            if not isinstance(envelope.message, Heartbeat):
                self._put(link, envelope.message)

    def block(self, one: str, other: str) -> None:
        """Let nothing through from one host to another; either the connections notice, or they do not."""
        self._blocked.add((one, other))
        if self.kernel.rng.random() < 0.5:
            self.cut(one, other)

    def unblock(self, one: str, other: str) -> None:
        """Let everything through again, what waits first."""
        self._blocked.discard((one, other))
        for link in self._between(one, other):
            self._send_again(link)

    def heal(self) -> None:
        """Let everything through everywhere, and break nothing any more."""
        self._breaking.clear()
        for one, other in sorted(self._blocked):
            self.unblock(one, other)

    def is_blocked(self, one: str, other: str) -> bool:
        """Return whether nothing gets from one host to another."""
        return (one, other) in self._blocked

    def _between(self, one: str, other: str) -> list[Link]:
        return [link for link in self._all() if link.ends == (one, other)]
