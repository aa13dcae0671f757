"""A process's line to its coordinator: registration, heartbeats, orders, and a goodbye.

Workers and ingest nodes hold one each, in their I/O loop.
"""

from __future__ import annotations

import logging
import os
import socket as hosts
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Literal

import zmq

from streammac.link.claim import Claim
from streammac.link.pulse import Pulse
from streammac.link.whereabouts import Whereabouts
from streammac.names import plain
from streammac.security import SecureContext
from streammac.wire.codec import Message
from streammac.wire.fields import Addresses
from streammac.wire.messages import Heartbeat, PleaseRegister, Register
from streammac.wire.sockets import MessageSocket

log = logging.getLogger(__name__)

REGISTER_S = 1.0
"""Time between two attempts to register."""
SILENT_S = 25.0
"""A coordinator that has answered no reminder for so long is out of reach."""
REMIND_S = 10.0
"""Once registered, a reminder leaves so often: a coordinator that was restarted learns of us by it."""
LINGER_MS = 1000


class CoordinatorLink:
    """The line of one process.

    Parameters
    ----------
    context : SecureContext
        The process's context.
    role : {"worker", "ingest"}
        What the process is.
    claim : Claim
        Its stable name, and which process of it this is.
    coordinator : Whereabouts
        Where the coordinator is.

    Attributes
    ----------
    line : str
        What the members of a view know the process by.
    pulse : Pulse
        What the process's loop tells of itself.
    addresses : dict
        Where others reach the process; what is added is told with the next registration.
    """

    def __init__(
        self,
        context: SecureContext,
        role: Literal["worker", "ingest"],
        claim: Claim,
        coordinator: Whereabouts,
    ) -> None:
        self.role = role
        self.coordinator = coordinator
        self.name = claim.name
        self.incarnation = claim.incarnation
        self.line = uuid.uuid4().hex
        self._claim = claim  # held as long as the line
        self.addresses: Addresses = {}
        self.socket = context.socket(zmq.DEALER)
        self.socket.identity = f"{self.name}:{self.incarnation}".encode()
        self.socket.linger = LINGER_MS
        self.socket.connect(coordinator.address)
        context.watch(self.socket)
        self._messages = MessageSocket(self.socket, "the coordinator", Message)
        self._registered_at = self._beat_at = float("-inf")
        self.pulse = Pulse()
        self._heard_at = time.monotonic()
        self.hurry = False
        """Something has changed that the coordinator waits for: the next heartbeat leaves at once."""

    def tell(self, message: Message) -> None:
        """Send a message; it is dropped, and that is logged, if the coordinator takes nothing."""
        self._messages.send(message)

    def receive(self) -> Iterator[Message]:
        """Yield what has arrived; a coordinator that was restarted is told at once who we are."""
        for _, message in self._messages.receive():
            self._heard_at = time.monotonic()
            if isinstance(message, PleaseRegister):
                self.register()
            else:
                yield message

    @property
    def unheard(self) -> str:
        """Return since when the coordinator is out of reach, in words; empty if it is not."""
        silent_s = time.monotonic() - self._heard_at
        return f"the coordinator was silent for {silent_s:.0f} s" if silent_s > SILENT_S else ""

    @property
    def moved(self) -> bool:
        """Return, and log, whether the coordinator is elsewhere: then the process is to be started again."""
        where = self.coordinator.moved if self.unheard else ""
        if where:
            log.error("%s: it is at %s now, start this process again", self.unheard, where)
        return bool(where)

    @property
    def malformed(self) -> int:
        """What arrived and was no message."""
        return self._messages.malformed

    def register(self) -> None:
        """Present the process."""
        pid, host = os.getpid(), plain(hosts.gethostname(), "host")
        known = (
            self.role,
            self.name,
            self.incarnation,
            pid,
            host,
            self.addresses,
            self._claim.home,
            self.line,
        )
        self.tell(Register(*known))

    def keep_registered(self, now: float, *, answered: bool) -> None:
        """Register when it is time to; called in every turn of the process's loop."""
        self.pulse.turn()
        if now - self._registered_at >= (REMIND_S if answered else REGISTER_S):
            self._registered_at = now
            self.register()

    def beat(self, now: float, every_s: float, heartbeat: Callable[[float], Heartbeat]) -> None:
        """Send a heartbeat when it is time to; ``heartbeat`` makes it, from the seconds since the last one."""
        elapsed = now - self._beat_at
        if elapsed >= every_s or self.hurry:
            self.hurry = False
            self._beat_at = now
            self.tell(heartbeat(min(elapsed, 3600.0)))
