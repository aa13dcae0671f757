"""Noticing within milliseconds that a process has died: its connections break.

The coordinator keeps one silent connection to each process it knows. When the process is gone its kernel closes
them all, and ZeroMQ's socket monitor says so. A connection that only broke comes back by itself at once; one that
does not is reported. (A process that hangs keeps its connections: heartbeats tell.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import recv_monitor_message

from streammac.wire.sockets import connect

BACK_S = 0.2
"""A broken connection that is not back after so long belongs to a process that is gone."""
RECONNECT_MS = 50
TURN_S = 0.1
DOUBT_S = 0.02
"""Longest wait while a connection is broken, and may come back."""
MAX_WATCHED = 200
"""Processes watched like this; heartbeats have to do for more."""
EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED

Process = tuple[str, int]
"""Name and incarnation."""


@dataclass(slots=True)
class Line:
    """The connection to one process."""

    address: str
    socket: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    broken_at: float | None = None


class Watch:
    """Connections to processes, and whether they hold.

    Parameters
    ----------
    context : zmq.Context
        The process's context.
    poller : zmq.Poller
        Is woken when a connection breaks.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller) -> None:
        self._context = context
        self._poller = poller
        self._lines: dict[Process, Line] = {}

    def keep(self, processes: Iterable[tuple[Process, str]]) -> None:
        """Watch these processes at these addresses, and no others."""
        wanted = dict(list(processes)[:MAX_WATCHED])
        for process, line in list(self._lines.items()):
            if wanted.get(process) != line.address:
                self._close(self._lines.pop(process))
        for process, address in wanted.items():
            if process not in self._lines and address:
                self._lines[process] = self._open(process[0], address)

    def broken(self, now: float) -> list[tuple[Process, float]]:
        """Return the processes whose connections broke, and when, and have not come back."""
        gone = []
        for process, line in self._lines.items():
            self._read(line, now)
            if line.broken_at is not None and now - line.broken_at > BACK_S:
                gone.append((process, line.broken_at))
        for process, _ in gone:
            self._close(self._lines.pop(process))
        return gone

    def wait(self) -> None:
        """Wait until something has arrived or a connection has broken; not for long if one may come back."""
        doubtful = any(line.broken_at is not None for line in self._lines.values())
        self._poller.poll(int((DOUBT_S if doubtful else TURN_S) * 1000))

    def close(self) -> None:
        """Close all connections."""
        for line in self._lines.values():
            self._close(line)
        self._lines.clear()

    def _open(self, name: str, address: str) -> Line:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.reconnect_ivl = RECONNECT_MS
        socket.maxmsgsize = 1024  # nothing is ever said on it
        monitor = socket.get_monitor_socket(EVENTS)
        self._poller.register(monitor, zmq.POLLIN)
        connect(socket, address, name)
        return Line(address, socket, monitor)

    @staticmethod
    def _read(line: Line, now: float) -> None:
        while line.monitor.poll(0):
            event = recv_monitor_message(line.monitor)["event"]
            line.broken_at = now if event == zmq.EVENT_DISCONNECTED else None

    def _close(self, line: Line) -> None:
        self._poller.unregister(line.monitor)
        line.socket.disable_monitor()
        line.monitor.close(linger=0)
        line.socket.close(linger=0)
