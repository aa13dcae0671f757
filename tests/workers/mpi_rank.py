"""A rank that does as `tests.workers.test_mpi` tells it: ``mpiexec -n 4 python -m tests.workers.mpi_rank SOCKET``."""

from __future__ import annotations

import ctypes
import os
import sys
from multiprocessing.connection import Client, Connection

import zmq

from workers.transports.base import RingMessage, TransportError
from workers.transports.lane import MPI
from workers.transports.lane_making import introduced
from workers.transports.mpi import MpiTransport
from workers.transports.zeromq import ZeroMQTransport


def made(context: zmq.Context, line: str) -> MpiTransport:
    """Make an end and a lane of its own; all ranks do so at the same time."""
    transport = MpiTransport(ZeroMQTransport(context, line=line), "127.0.0.1", line)
    transport.listen(introduced(MPI.COMM_WORLD.Dup(), transport.card))
    return transport


def done(transport: MpiTransport, name: str, *arguments: object) -> object:
    if name == "send_many":
        to, messages = arguments
        return [transport.send(to, message) for message in messages]
    found = getattr(transport, name)
    return found(*arguments) if callable(found) else found


def gives_up_its_core() -> bool:
    """Return whether each look for what has come does so, which Open MPI tells nobody."""
    library = ctypes.CDLL(MPI.__file__)
    return ctypes.c_bool.in_dll(library, "opal_progress_yield_when_idle").value


def serve(connection: Connection) -> None:
    context = zmq.Context()
    transport = None
    early: list[RingMessage] = []
    connection.send((MPI.COMM_WORLD.rank, os.getpid()))
    while True:
        # as a worker's I/O loop does
        while transport is not None and transport.in_transit and not connection.poll(0.001):
            early += transport.receive()
        name, *arguments = connection.recv()
        try:
            if name == "make":
                transport = made(context, *arguments)
                answer = transport.address
            elif name == "gives_up_its_core":
                answer = gives_up_its_core()
            elif name == "close":
                answer, transport = transport.close(), None
            elif name == "receive":
                answer, early = early + transport.receive(), []
            else:
                answer = done(transport, name, *arguments)
        except TransportError as error:
            answer = error
        connection.send(answer)


if __name__ == "__main__":
    try:
        serve(Client(sys.argv[1]))
    except EOFError:
        os._exit(0)
