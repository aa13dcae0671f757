"""ZeroMQ contexts whose TCP sockets are protected by themselves, at the moment they bind or connect.

Processes, the client and the control line call `open_context` with a folder of keys; what they then do with sockets is
plain ZeroMQ. With keys, whoever listens proves the cluster's key and asks the guard about each peer; whoever connects
proves its own key and accepts only the cluster's. Without, listening beyond loopback is refused.
"""

from __future__ import annotations

import ipaddress
import logging
from pathlib import Path
from typing import Any, cast

import zmq

from streammac.errors import ExitCode, Failure
from streammac.security.guard import DOMAIN, REASONS, Guard
from streammac.security.keys import BadKey, KeyFolder, Keys
from streammac.wire.codec import MAX_FRAME_BYTES

log = logging.getLogger(__name__)

LOCAL = ("inproc:", "ipc:")
"""What never leaves the machine is not protected; everything else is."""
HANDSHAKE_MS = 3000
"""A handshake takes milliseconds; ZeroMQ may leave a refused peer waiting until this is over, then it tries again."""
CURVE_OVERHEAD_BYTES = 64
"""Encryption lengthens a frame by 33 bytes."""


def is_loopback(host: str) -> bool:
    """Tell whether what listens on this interface is out of the reach of other machines.

    Names are not looked up, so that the answer does not depend on a name server.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "host-a")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_open_host(host: str, folder: Path | None, *, keyed: bool, insecure: bool) -> None:
    """Check that this host may be listened on.

    Raises
    ------
    Failure
        If it is beyond loopback, there are no keys, and ``insecure`` does not allow it.
    """
    if is_loopback(host) or keyed or insecure:
        return
    raise Failure(
        ExitCode.CONFIGURATION,
        f"network.host: expected loopback, got {host}, and there are no keys in {folder} - make "
        "some with `streammac keys new`; only if you trust everybody who can reach that address, "
        "say --insecure",
    )


class SecureSocket(zmq.Socket[bytes]):
    """A socket that its context protects."""

    def bind(self, addr: str) -> Any:
        """Protect the socket, then bind it."""
        if not addr.startswith(LOCAL):
            assert isinstance(self.context, SecureContext)
            self.context.protect_server(self, addr)
        return super().bind(addr)

    def connect(self, addr: str) -> Any:
        """Protect the socket, then connect it."""
        if not addr.startswith(LOCAL):
            assert isinstance(self.context, SecureContext)
            self.context.protect_client(self)
        return super().connect(addr)


class SecureContext(zmq.Context[zmq.Socket[bytes]]):
    """A context that protects its TCP sockets; `open_context` makes it."""

    _socket_class = SecureSocket
    folder: Path | None = None
    keys: Keys | None = None
    insecure: bool = False
    guard: Guard | None = None

    def protect_server(self, socket: zmq.Socket[bytes], address: str) -> None:
        """Make a socket ask for keys, before it binds to an address.

        Raises
        ------
        Failure
            If the address is beyond loopback and nothing allows that, or these are a client's keys.
        """
        self._limit_frames(socket)
        host = address.partition("://")[2].rpartition(":")[0]
        if self.keys is None:
            refuse_open_host(host, self.folder, keyed=False, insecure=self.insecure)
            if not is_loopback(host):
                log.warning("%s: open to everybody who can reach it (--insecure)", address)
            return
        if self.keys.server is None:
            raise BadKey(
                f"{self.folder}: these are the keys of a client - to listen, copy cluster.key "
                "from another member into it"
            )
        socket.handshake_ivl = HANDSHAKE_MS
        socket.curve_server = True
        socket.curve_publickey = self.keys.server.public
        socket.curve_secretkey = self.keys.server.secret
        socket.zap_domain = DOMAIN
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # if there is no guard, nobody comes in
        self.watch(socket)

    def protect_client(self, socket: zmq.Socket[bytes]) -> None:
        """Give a socket its keys, before it connects."""
        self._limit_frames(socket)
        if self.keys is not None:
            socket.handshake_ivl = HANDSHAKE_MS
            socket.curve_publickey = self.keys.own.public
            socket.curve_secretkey = self.keys.own.secret
            socket.curve_serverkey = self.keys.cluster

    def _limit_frames(self, socket: zmq.Socket[bytes]) -> None:
        """Set the limit on frames, unless the socket has a smaller one of its own."""
        own = cast(int, socket.getsockopt(zmq.MAXMSGSIZE))
        limit = own if own >= 0 else MAX_FRAME_BYTES
        socket.maxmsgsize = limit + (CURVE_OVERHEAD_BYTES if self.keys is not None else 0)

    def watch(self, socket: zmq.Socket[bytes]) -> None:
        """Count the failed handshakes of a socket; those that listen are counted anyway."""
        if self.keys is not None:
            if self.guard is None:
                self.guard = Guard(self, self.keys.allow_list)
            self.guard.watch(socket)

    def handshake_failures(self) -> dict[str, int]:
        """Return the failed handshakes so far, by reason (`streammac.security.guard.REASONS`)."""
        failures = self.guard.failures() if self.guard is not None else {}
        return dict.fromkeys(REASONS, 0) | failures


def open_context(folder: Path | None, *, insecure: bool = False) -> SecureContext:
    """Return a context for the sockets of a process or client.

    Parameters
    ----------
    folder : Path or None
        Folder of keys; where it does not exist, nothing is encrypted.
    insecure : bool
        Without keys, listen beyond loopback all the same.

    Raises
    ------
    Failure
        If the folder is not in order.
    """
    context = context_with(KeyFolder(folder).load() if folder is not None else None)
    context.folder = folder
    context.insecure = insecure
    return context


def context_with(keys: Keys | None) -> SecureContext:
    """Return a context with keys that were read before; see `open_context`."""
    context = SecureContext()
    context.keys = keys
    return context
