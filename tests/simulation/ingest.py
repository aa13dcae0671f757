"""A process round the real `Outbox`, and the client whose points it takes: what `ingest.node` does with sockets.

The client pushes points and pushes again, to the next process of that name, what it has no answer for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ingest.cutting import Origin
from ingest.dead_letters import DeadLetterFile
from ingest.ingest_queue import Delivery
from ingest.outbox import Outbox
from ingest.parts import Parts
from ingest.progress import IngestState
from streammac.delivery.batch import Ticket
from streammac.delivery.ledger import Ledger
from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.settings.schema import Settings
from streammac.wire.codec import Message
from streammac.wire.messages import (
    Ack,
    Credit,
    Heartbeat,
    PleaseRegister,
    Register,
    Registered,
    Routes,
)
from tests.simulation.coordinator import ADDRESS
from tests.simulation.kernel import Kernel, Process
from tests.simulation.network import Network
from tests.simulation.point_rules import PointRules
from tests.simulation.worker import REGISTER_S, REMIND_S, TURN_S


class Client:
    """Pushes points, and remembers which are not settled.

    Parameters
    ----------
    name : str
        Its name.
    every_s : float
        Mean time between two pushes.
    """

    def __init__(self, name: str, every_s: float) -> None:
        self.name = name
        self.every_s = every_s
        self.ends = False
        self.pauses = False
        self.pushes = 0
        self.open: dict[int, int] = {}
        """Pushes without an answer, and their points."""

    def push(self, points: int) -> int:
        """Make a push; return its number."""
        self.pushes += 1
        self.open[self.pushes] = points
        return self.pushes


class IngestProcess(Process):
    """One ingest process.

    Parameters
    ----------
    kernel, network
        The simulated machine room.
    name, incarnation
        Which node it is.
    settings : Settings
        The cluster's.
    folder : Path
        Its disk.
    client : Client
        Its only one.
    rules : PointRules
        Look at every acknowledgement.
    """

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        name: str,
        incarnation: int,
        settings: Settings,
        folder: Path,
        client: Client,
        rules: PointRules,
    ) -> None:
        super().__init__(kernel, name, incarnation)
        self.network = network
        self.settings = settings
        self.client = client
        self.rules = rules
        self._ledger = Ledger(folder / f"{name}.ledger", IngestState())
        letters = DeadLetterFile(folder / f"{name}.letters", settings.ingest.dead_letter_bytes)
        self.outbox = Outbox(name, incarnation, settings, self._ledger, letters)
        self._workers: dict[str, str] = {}
        self._configured = False
        self._registered_at = self._beat_at = float("-inf")
        network.attach(self)
        for number in list(client.open):
            self._take(number)
        self.after(0.0, self._turn)
        self.after(0.0, self._push)

    # -- the loop -------------------------------------------------------------------------

    def receive(self, sender: str, message: Any) -> None:
        match message:
            case PleaseRegister():
                self._register()
            case Registered():
                self._configured = True
            case Routes():
                self.say("got", sender, message)
                self._connect({route.name: route.address for route in message.workers})
                self.outbox.route(message.workers)
            case Ack() | Credit():
                self.say("got", sender, message)
                self._handle(sender, message)
        self._flush()

    def _turn(self) -> None:
        now = self.kernel.now
        if now - self._registered_at >= (REMIND_S if self._configured else REGISTER_S):
            self._registered_at = now
            self._register()
        if now - self._beat_at >= self.settings.cluster.heartbeat_s:
            self._beat_at = now
            self._tell(Heartbeat(self.name, self.incarnation, ingest=self.outbox.report()))
        self._flush()
        self.after(TURN_S, self._turn)

    def _tell(self, message: Message) -> None:
        self.network.send(self, ADDRESS, "control", message)

    def _register(self) -> None:
        addresses = {"client": self.address}
        self._tell(Register("ingest", self.name, self.incarnation, 1, self.name, addresses))

    # -- the client -----------------------------------------------------------------------

    def _push(self) -> None:
        if self.client.ends:
            return
        rng = self.kernel.rng
        if self.outbox.sender.has_room and not self.client.pauses:
            self._take(self.client.push(rng.randint(1, 4)))
            self._flush()
        self.after(2.0 * self.client.every_s * rng.random(), self._push)

    def push_once(self, points: int) -> None:
        """Take points more from a client that had ended."""
        self._take(self.client.push(points))
        self._flush()

    def _take(self, number: int) -> None:
        points, client = self.client.open[number], self.client.name
        x = np.full((points, 2), number, np.float32)
        first = BatchId.of_push(client, 1, number)
        origin = Origin(first, self.settings.ingest.batch_points, 0.0, 0, durable=True)

        def settled(ticket: Ticket) -> None:
            self.client.open.pop(number, None)

        self.outbox.take(Delivery(client, "<f4", Parts(PointBlock(x)), settled, origin))

    # -- workers --------------------------------------------------------------------------

    def _connect(self, workers: dict[str, str]) -> None:
        for name, address in self._workers.items():
            if workers.get(name) != address:
                self.network.close(self, address, "data")
        self._workers = workers

    def _handle(self, sender: str, message: Ack | Credit) -> None:
        name = sender.split("#", maxsplit=1)[0]
        if self._workers.get(name) != sender:
            return  # of a socket that is closed
        batch = self.outbox.handle(name, message, self.kernel.now)
        if batch is not None:
            self.rules.acknowledged(name, batch.batch_id)

    def _flush(self) -> None:
        for post in self.outbox.flush(self.kernel.now):
            address = self._workers.get(post.worker)
            if address is not None:
                self.say("sends", post.worker, post.message)
                self.network.send(self, address, "data", post.message)

    # -- what is known of it --------------------------------------------------------------

    def revokes(self, worker: str, batch_id: BatchId) -> bool:
        """Return whether it has revoked a worker's copy of a batch; if it is dead, its ledger knows."""
        if self.alive:
            session = self.outbox.sender.session(worker)
            return session is not None and batch_id in session.revoked
        return batch_id in self._ledger.state.revoked.get(worker, ())

    def die(self) -> None:
        if self.alive:
            self._ledger.close()
        super().die()
