"""The socket that everybody talks to the coordinator through."""

from __future__ import annotations

import zmq

from streammac.errors import ExitCode, Failure
from streammac.security import SecureContext
from streammac.settings.schema import Network
from streammac.wire.codec import Message
from streammac.wire.sockets import MessageSocket

MESSAGES_AT_ONCE = 1000
LINGER_MS = 1000


class ControlSocket(MessageSocket[Message]):
    """Messages with the socket identities of who sent them, or is to get them.

    Parameters
    ----------
    context : SecureContext
        The process's context.
    network : Network
        Where to listen.

    Attributes
    ----------
    address : str
        Where others reach it.
    """

    def __init__(self, context: SecureContext, network: Network) -> None:
        socket = context.socket(zmq.ROUTER)
        super().__init__(socket, "a member or client", Message, most=MESSAGES_AT_ONCE)
        socket.router_mandatory = True
        socket.router_handover = True
        socket.linger = LINGER_MS
        place = f"{network.host}:{network.coordinator_port or '*'}"
        try:
            socket.bind(f"tcp://{place}")
        except zmq.ZMQError as error:
            raise Failure(
                ExitCode.NOT_RUNNING, f"cannot listen at {place}: {error.strerror}"
            ) from None
        self.address = socket.get_string(zmq.LAST_ENDPOINT)
