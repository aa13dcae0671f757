"""What a hop costs: blocks of two sizes go to and fro between two ends of a real transport, on one machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
import zmq

from streammac.planning.constants import HopCost
from streammac.threads import VitalThread
from streammac.wire.messages import ModelState, Token

SIZES = (1 << 12, 1 << 20)
"""Bytes of the two blocks."""
ROUNDS = 60
PATIENCE_MS = 30_000


class End(Protocol):
    """One end of a transport (`workers.transports.base.Transport`), as far as it is used here."""

    @property
    def address(self) -> str:
        """Where the other end reaches it."""
        ...

    @property
    def sockets(self) -> tuple[Any, ...]:
        """What to poll."""
        ...

    def connect(self, peers: Mapping[str, str]) -> None:
        """Make the other end reachable."""
        ...

    def send(self, to: str, message: Token | ModelState) -> None:
        """Hand a message over."""
        ...

    def receive(self) -> list[Any]:
        """Return what has arrived."""
        ...


def measure(here: End, there: End, rounds: int = ROUNDS) -> HopCost:
    """Return what a hop between two ends costs, the least of several.

    Raises
    ------
    TimeoutError
        If nothing comes back.
    """
    ends = {"here": here, "there": there}
    for end in ends.values():
        end.connect({name: other.address for name, other in ends.items()})
    over = threading.Event()
    echo = VitalThread("echo", partial(_echo, there, over.is_set))
    echo.start()
    try:
        small, large = (min(_hops(here, size, rounds)) for size in SIZES)
    finally:
        over.set()
        echo.join()
    byte_s = max(0.0, large - small) / (SIZES[1] - SIZES[0])
    return HopCost(max(0.0, small - SIZES[0] * byte_s), byte_s)


def _hops(end: End, size: int, rounds: int) -> list[float]:
    tensors = {"weight": np.zeros(size // 4, np.float32)}
    token = Token(1, 1, "encoder/0", 0, ("here", "there"), False, None, tensors)
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        end.send("there", token)
        if not _wait(end, PATIENCE_MS):
            raise TimeoutError("a block that was sent to and fro did not come back")
        seconds.append((time.perf_counter() - begin) / 2)
    return seconds


def _echo(end: End, over: Callable[[], bool]) -> None:
    while not over():
        for message in _wait(end, 50):
            end.send("here", message)


def _wait(end: End, patience_ms: int) -> list[Any]:
    """Return what arrives within a while, as a worker's I/O loop does."""
    poller = zmq.Poller()
    for socket in end.sockets:
        poller.register(socket, zmq.POLLIN)
    return end.receive() if poller.poll(patience_ms) else []
