"""What a worker's real `Mover` has around it: connections to the other workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from streammac.delivery.sender import Post
from streammac.wire.codec import Message
from streammac.wire.messages import Ack, Credit, Points, Route
from tests.simulation.kernel import Process
from tests.simulation.network import Network

CHANNEL = "move"
"""Apart from what a worker answers to those who bring it points."""


class MoverSockets:
    """See `workers.handover.Sockets`.

    Parameters
    ----------
    process : Process
        Whose they are.
    network : Network
        What they are connected to.
    moves : callable
        Called with the names of both ends when a batch is sent.
    """

    malformed = 0

    def __init__(
        self, process: Process, network: Network, moves: Callable[[str, str], None]
    ) -> None:
        self._process = process
        self._network = network
        self._moves = moves
        self._ends: dict[str, str] = {}
        self._arrived: deque[tuple[str, Ack | Credit]] = deque()

    def connect(self, routes: Iterable[Route]) -> None:
        """Reach these workers, and nobody else."""
        ends = {route.name: route.address for route in routes}
        for name, address in self._ends.items():
            if ends.get(name) != address:
                self._network.close(self._process, address, CHANNEL)
        self._ends = ends

    def post(self, posts: Iterable[Post]) -> None:
        """Send messages."""
        for name, message in ((post.worker, post.message) for post in posts):
            self._process.say("moves", name, message)
            self._network.send(self._process, self._ends[name], CHANNEL, message)
            if isinstance(message, Points):
                self._moves(self._process.name, name)

    def arrive(self, sender: str, message: Ack | Credit) -> None:
        """Take an answer."""
        self._arrived.append((sender, message))

    def receive(self, ready: Mapping[object, int]) -> Iterator[tuple[str, Message]]:
        """Yield what has arrived, but for what came on connections that are closed."""
        names = {address: name for name, address in self._ends.items()}
        while self._arrived:
            sender, message = self._arrived.popleft()
            if sender in names:
                yield names[sender], message
