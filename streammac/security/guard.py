"""The thread that decides who comes in and counts who does not.

libzmq asks it over the ZAP protocol about every key that has completed a handshake (CURVE alone proves that a peer
owns *some* key), and tells it by socket monitors which handshakes have failed. `SecureContext` starts it; it ends with
its context.
"""

from __future__ import annotations

import itertools
import logging
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zmq

from streammac.security.keys import BadKey, read_allowed
from streammac.threads import VitalThread

log = logging.getLogger(__name__)

DOMAIN = b"streammac"
ZAP_ADDRESS = "inproc://zeromq.zap.01"
ZAP_VERSION = b"1.0"
ZAP_FRAMES = 7
MONITORS_ADDRESS = "inproc://streammac.monitors"
EVENTS = (
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.MONITOR_STOPPED
)
LOG_S = 10.0
"""Refusals are counted one by one, but logged once in so long for each reason: peers try ten times a second."""
OK, NOT_NOW, MALFORMED = b"200", b"300", b"500"
"""ZAP's statuses. Who is not known hears "not now" and tries again, so that it comes in once it is allowed; after a
"never" ZeroMQ would give up until the peer's process is restarted."""
CRYPTOGRAPHIC = 0x11000001
MECHANISM_MISMATCH = 0x11000002
REASONS = {
    "unknown_key": "the key is not on the allow-list",
    "allow_list": "the allow-list cannot be read, so nobody comes in",
    "no_key": "one side has keys and the other has none",
    "wrong_cluster_key": "the two sides have different cluster keys",
    "protocol": "the peer does not speak the protocol",
    "closed": "the peer hung up during the handshake; its own log may say why",
}


def reason(event: int, value: int) -> str:
    """Return the reason, a key of `REASONS`, that a monitor's event tells.

    >>> reason(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL, 0)
    'closed'
    """
    if event == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
        known = {CRYPTOGRAPHIC: "wrong_cluster_key", MECHANISM_MISMATCH: "no_key"}
        return known.get(value, "protocol")
    return "closed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard says to one request, and for its own side why it refuses and whom."""

    number: bytes
    status: bytes
    name: str = ""
    reason: str = ""
    detail: str = ""

    @property
    def frames(self) -> list[bytes]:
        """The reply as ZAP wants it; the text does not tell strangers why."""
        return [ZAP_VERSION, self.number, self.status, b"", self.name.encode(), b""]


def verdict(request: Sequence[bytes], allow_list: Path) -> Verdict:
    """Return the answer to a ZAP request.

    The allow-list is read anew each time, so that a change holds from the next handshake on.
    """
    if len(request) != ZAP_FRAMES or request[0] != ZAP_VERSION:
        number = request[1] if len(request) > 1 else b""
        return Verdict(number, MALFORMED, reason="protocol", detail="not a request for a key")
    _, number, domain, address, _, mechanism, key = request
    if domain != DOMAIN or mechanism != b"CURVE":
        return Verdict(number, MALFORMED, reason="protocol", detail="not a request for a key")
    try:
        name = read_allowed(allow_list).get(key)
    except BadKey as error:
        return Verdict(number, NOT_NOW, reason="allow_list", detail=str(error))
    if name is None:
        whose = f"{key.hex()} of {address.decode(errors='replace')}"
        return Verdict(number, NOT_NOW, reason="unknown_key", detail=whose)
    return Verdict(number, OK, name)


class Guard:
    """The thread of one context.

    Parameters
    ----------
    context : zmq.Context
        Whose sockets are guarded.
    allow_list : Path
        Who may come in.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allow_list: Path) -> None:
        # a shadow: these sockets are the thread's, out of the reach of the context's destroy()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.shadow(context.underlying)
        self._allow_list = allow_list
        self._failures: Counter[str] = Counter()
        self._logged: dict[str, float] = {}
        self._zap = self._context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(ZAP_ADDRESS)
        self._new = self._context.socket(zmq.PULL)
        self._new.bind(MONITORS_ADDRESS)
        self._monitors: set[zmq.Socket[bytes]] = set()
        self._number = itertools.count()
        VitalThread("guard", self._run).start()

    def watch(self, socket: zmq.Socket[bytes]) -> None:
        """Count the failed handshakes of a socket."""
        address = f"{MONITORS_ADDRESS}.{next(self._number)}"
        socket.monitor(address, EVENTS)
        with self._context.socket(zmq.PUSH) as tell:
            tell.connect(MONITORS_ADDRESS)
            tell.send(address.encode())

    def failures(self) -> dict[str, int]:
        """Return the failed handshakes so far, by reason."""
        return dict(self._failures)

    # -- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                self._turn()
        except zmq.ZMQError as error:
            if error.errno != zmq.ETERM:
                raise  # without this thread nobody comes in (ZAP_ENFORCE_DOMAIN)
        finally:
            for socket in (self._zap, self._new, *self._monitors):
                socket.close(linger=0)

    def _turn(self) -> None:
        poller = zmq.Poller()
        for socket in (self._zap, self._new, *self._monitors):
            poller.register(socket, zmq.POLLIN)
        for socket, _ in poller.poll():
            if socket is self._zap:
                answer = verdict(self._zap.recv_multipart(), self._allow_list)
                self._zap.send_multipart(answer.frames)
                if answer.reason:
                    self._count(answer.reason, answer.detail)
            elif socket is self._new:
                monitor = self._context.socket(zmq.PAIR)
                monitor.connect(self._new.recv().decode())
                self._monitors.add(monitor)
            else:
                self._take_event(socket)

    def _take_event(self, monitor: zmq.Socket[bytes]) -> None:
        head, endpoint = monitor.recv_multipart()[:2]
        event, value = struct.unpack("=Hi", head)
        if event == zmq.Event.MONITOR_STOPPED:
            self._monitors.remove(monitor)
            monitor.close(linger=0)
            return
        self._count(reason(event, value), endpoint.decode(errors="replace"))

    def _count(self, why: str, detail: str) -> None:
        self._failures[why] += 1
        now = time.monotonic()
        if now - self._logged.get(why, -LOG_S) >= LOG_S:
            self._logged[why] = now
            log.warning("a handshake failed (%s): %s: %s", why, REASONS[why], detail)
