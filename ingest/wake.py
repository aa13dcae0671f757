"""How the node's threads wake its I/O loop, which waits for sockets and so is woken by one."""

from __future__ import annotations

import contextlib
import threading

import zmq

ADDRESS = "inproc://wake"


class Wake:
    """A socket that becomes ready when any thread asks for the loop's attention.

    Parameters
    ----------
    context : zmq.Context
        The process's context.

    Attributes
    ----------
    socket : zmq.Socket
        For the loop's poller.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self.socket = context.socket(zmq.PULL)
        self.socket.bind(ADDRESS)
        self._of_thread = threading.local()  # sockets are not shared between threads

    def __call__(self) -> None:
        """Wake the loop, from any thread."""
        # if the loop has not taken the last one yet, it will look anyway; if it has ended, nobody has to
        with contextlib.suppress(zmq.ZMQError):
            socket = getattr(self._of_thread, "socket", None)
            if socket is None:
                socket = self._context.socket(zmq.PUSH)
                socket.linger = 0
                socket.sndhwm = 1
                socket.connect(ADDRESS)
                self._of_thread.socket = socket
            socket.send(b"", zmq.NOBLOCK)

    def drain(self) -> None:
        """Take all calls that have come; in the loop."""
        try:
            while True:
                self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return
