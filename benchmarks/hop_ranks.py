"""Two ranks that pass a token to and fro, by several ways in turn: ``mpiexec -n 2 python -m benchmarks.hop_ranks``.

`benchmarks.hops` starts it, and reads from its output a line of JSON: seconds and work of a hop, by size and way, and
what it takes to wait.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq

from streammac.allocator import keep_freed_memory
from streammac.wire.codec import decode, encode
from streammac.wire.messages import Token
from workers.transports.base import Transport
from workers.transports.lane import MPI
from workers.transports.lane_making import introduced
from workers.transports.mpi import MpiTransport
from workers.transports.zeromq import ZeroMQTransport

NAMES = ("w1", "w2")
TURN_MS = 100
IDLE_S = 1.0
Hop = Callable[[], None]


def token(size: int) -> Token:
    """Return a token of so many bytes."""
    weights = np.zeros(size // 4, np.float32)
    return Token(1, 2, "encoder/0-3", 0, NAMES, False, None, {"weights": weights})


class Looking:
    """A transport that is looked at all the time."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def hop(self, to: str, message: Token, *, first: bool) -> None:
        """Send and wait for the answer, or wait and answer."""
        if first:
            self.transport.send(to, message)
        while not (arrived := self.transport.receive()):
            self.wait()
        if not first:
            self.transport.send(to, arrived[0])

    def wait(self) -> None:
        """Look again at once."""


class Sleeping(Looking):
    """A transport whose process sleeps until something is there, as a worker's does."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._poller = zmq.Poller()
        for socket in transport.sockets:
            self._poller.register(socket, zmq.POLLIN)

    def wait(self) -> None:
        """Sleep until there is something to look at."""
        self._poller.poll(1 if self.transport.in_transit else TURN_MS)


class Bare:
    """mpi4py alone: one buffer, received where it was received before, and nobody sleeps."""

    def __init__(self) -> None:
        self._communicator = MPI.COMM_WORLD.Dup()
        self._other = 1 - self._communicator.rank

    def hop(self, _to: str, message: Token, *, first: bool) -> None:
        """Send and wait for the answer, or wait and answer."""
        buffer = (message.tensors["weights"], MPI.BYTE)
        if first:
            self._communicator.Send(buffer, self._other)
        self._communicator.Recv(buffer, self._other)
        if not first:
            self._communicator.Send(buffer, self._other)


class Ipc:
    """The same frames over a ZeroMQ Unix socket, encoded and decoded; who waits sleeps."""

    def __init__(self, context: zmq.Context[Any], address: str, *, first: bool) -> None:
        self._socket = context.socket(zmq.PAIR)
        if first:
            self._socket.bind(address)
        else:
            self._socket.connect(address)

    def hop(self, _to: str, message: Token, *, first: bool) -> None:
        """Send and wait for the answer, or wait and answer."""
        if first:
            self._socket.send_multipart(encode(message))
        arrived = decode(self._socket.recv_multipart())
        if not first:
            self._socket.send_multipart(encode(arrived))


def connected(transport: Transport) -> Transport:
    """Make both ranks reach each other."""
    addresses = MPI.COMM_WORLD.allgather(transport.address)
    transport.connect(dict(zip(NAMES, addresses, strict=True)))
    return transport


def measured(way: Any, message: Token, hops: int) -> tuple[float, float]:
    """Return the seconds of a hop, the middle one of many, and what it takes of both processes' time, on average."""
    rank = MPI.COMM_WORLD.rank
    seconds = []
    before = time.process_time()
    for _ in range(hops):
        begin = time.perf_counter()
        way.hop(NAMES[1 - rank], message, first=rank == 0)
        seconds.append(time.perf_counter() - begin)
    work = MPI.COMM_WORLD.allreduce(time.process_time() - before)
    return float(np.median(seconds)) / 2, work / hops / 2


def waited(wait: Callable[[], None], look: Callable[[], object]) -> float:
    """Return the share of a core that it takes to wait for what does not come."""
    MPI.COMM_WORLD.Barrier()
    begin, before = time.monotonic(), time.process_time()
    while (seconds := time.monotonic() - begin) < IDLE_S:
        look()
        wait()
    return (time.process_time() - before) / seconds


def idle(mpi: MpiTransport, asleep: Sleeping) -> dict[str, float]:
    """Return what the ways of waiting take."""
    return {
        "asleep, with a bell": waited(asleep.wait, mpi.receive),
        "a look every millisecond": waited(lambda: time.sleep(0.001), mpi.receive),
    }


def main() -> None:
    """Measure what the arguments say: a folder, and size and hops of each kind of token."""
    keep_freed_memory()
    folder, wanted, rounds = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    context: zmq.Context[Any] = zmq.Context()
    rank = MPI.COMM_WORLD.rank
    mpi = MpiTransport(ZeroMQTransport(context), "127.0.0.1")
    mpi.listen(introduced(MPI.COMM_WORLD.Dup(), mpi.card))
    ways = {
        "mpi4py": Bare(),
        "MPI, looking": Looking(connected(mpi)),
        "MPI": (asleep := Sleeping(mpi)),
        "ZeroMQ tcp": Sleeping(connected(ZeroMQTransport(context))),
        "ZeroMQ ipc": Ipc(context, f"ipc://{folder}/hop", first=rank == 0),
    }
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for size, hops in wanted:
        message = token(size)
        for _ in range(rounds):
            for name, way in ways.items():
                MPI.COMM_WORLD.Barrier()
                row = found.setdefault(str(size), {}).setdefault(name, [])
                row.append(measured(way, message, hops))
    shares = idle(mpi, asleep)
    if rank == 0:
        print(json.dumps({"hops": found, "idle": shares}), flush=True)
    MPI.COMM_WORLD.Barrier()
    os._exit(0)


if __name__ == "__main__":
    main()
