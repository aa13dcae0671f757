"""Wakes a process that waits at its sockets: MPI has none that could be waited for.

A ring is an empty datagram. It says that it is worth while to look, nothing else: one that is lost or false costs
nothing but time.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
MOST_RINGS = 1000
"""That are taken at once."""


class Doorbell:
    """One process's bell.

    Parameters
    ----------
    host : str
        Interface to listen on; the port is any free one.

    Attributes
    ----------
    address : tuple of (str, int)
        Where it is rung.
    """

    def __init__(self, host: str) -> None:
        ((family, *_, where), *_) = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_DGRAM)
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(where)
        self.address: Address = self.socket.getsockname()[:2]

    def ring(self, at: Address) -> None:
        """Ring somebody's bell; who does not hear it looks a little later."""
        with contextlib.suppress(OSError):
            self.socket.sendto(b"", at)

    def rung(self) -> bool:
        """Return whether somebody has rung since the last time."""
        heard = False
        for _ in range(MOST_RINGS):
            try:
                self.socket.recv(1)
            except OSError:
                break
            heard = True
        return heard

    def close(self) -> None:
        """Release the socket."""
        self.socket.close()
