"""The socket that everybody talks to the coordinator through."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import zmq

from streammac.security import SecureContext
from streammac.settings.schema import Network
from streammac.wire.codec import MAX_FRAME_BYTES, Message, WireError, decode, encode

log = logging.getLogger(__name__)

MESSAGES_AT_ONCE = 1000
LINGER_MS = 1000


class ControlSocket:
    """Messages with the socket identities of who sent them, or is to get them.

    Parameters
    ----------
    context : SecureContext
        The process's context.
    network : Network
        Where to listen.

    Attributes
    ----------
    socket : zmq.Socket
        For a poller.
    address : str
        Where others reach it.
    malformed : int
        Messages that did not decode.
    """

    def __init__(self, context: SecureContext, network: Network) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.router_mandatory = True
        self.socket.router_handover = True
        self.socket.linger = LINGER_MS
        self.socket.maxmsgsize = MAX_FRAME_BYTES
        self.socket.bind(f"tcp://{network.host}:{network.coordinator_port or '*'}")
        self.address = self.socket.get_string(zmq.LAST_ENDPOINT)
        self.malformed = 0

    def receive(self) -> Iterator[tuple[bytes, Message]]:
        """Yield what has arrived, so much of it that there is time for other things."""
        for _ in range(MESSAGES_AT_ONCE):
            try:
                identity, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
                message = decode(frames)
            except zmq.Again:
                return
            except WireError as error:
                self.malformed += 1
                log.warning("a message on the control socket did not decode: %s", error)
                continue
            yield identity, message

    def send(self, identity: bytes, message: Message) -> None:
        """Send a message; that somebody cannot be reached is logged."""
        try:
            self.socket.send_multipart([identity, *encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("could not reach %r: %s", identity, error)

    def close(self) -> None:
        """Close it."""
        self.socket.close()
