"""The socket that clients push points to, and are answered on.

The node's I/O loop owns it; what becomes of pushes is decided by `ingest.pushes`.
"""

from __future__ import annotations

import zmq

from streammac.wire.messages import Push, Pushed
from streammac.wire.sockets import MessageSocket


class Clients(MessageSocket[Push]):
    """All clients of one node.

    Parameters
    ----------
    context : zmq.Context
        The process's context.
    host : str
        Interface to listen on.

    Attributes
    ----------
    address : str
        Where clients connect.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], host: str) -> None:
        super().__init__(context.socket(zmq.ROUTER), "a client", Push)
        self.socket.router_mandatory = True
        self.socket.router_handover = True
        self.socket.linger = 500
        self.address = f"tcp://{host}:{self.socket.bind_to_random_port(f'tcp://{host}')}"

    def answer(self, identity: bytes, pushed: Pushed) -> None:
        """Answer a push."""
        self.send(pushed, identity)
