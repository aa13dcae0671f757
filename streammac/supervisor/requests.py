"""Where a running supervisor takes requests: ``streammac workers add`` talks to it, and `streammac.chaos`.

A Unix socket in a private folder, so that only this user can reach it; its address is announced in the run
directory. Messages are those of `streammac.wire`; what does not decode costs a warning.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import zmq

from streammac.security import open_context
from streammac.wire.codec import Message
from streammac.wire.sockets import MessageSocket

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 64 << 10


class SupervisorSocket:
    """Takes requests and answers them, in the thread of whoever calls `serve`."""

    def __init__(self) -> None:
        # not in the run directory: a Unix socket's path may have some hundred characters only
        self._folder = Path(tempfile.mkdtemp(prefix="streammac-"))
        self.address = f"ipc://{self._folder}/supervisor"
        self._context = open_context(None)
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 500
        self._socket.maxmsgsize = MAX_REQUEST_BYTES
        self._socket.bind(self.address)
        self._messages = MessageSocket(self._socket, "somebody", Message)

    def serve(self, wait_s: float, answer: Callable[[Message], Message | None]) -> None:
        """Wait so long for requests, and answer those that come.

        ``answer`` returns None for what is no request.
        """
        if not self._socket.poll(int(wait_s * 1000)):
            return
        for identity, request in self._messages.receive():
            reply = answer(request)
            if reply is None:
                log.warning("ignored a %s: it is no request", type(request).__name__)
            else:
                self._messages.send(reply, identity)

    def close(self) -> None:
        """Close the socket and remove its folder."""
        self._socket.close()
        self._context.term()
        shutil.rmtree(self._folder, ignore_errors=True)
