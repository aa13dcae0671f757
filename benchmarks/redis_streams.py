"""Redis Streams beside ours: the same points into one stream, pipelined, kept in a file as ours are."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

UNDER_WAY = 4
"""Batches that are sent before the answers to the first of them are read."""
START_S = 10.0


def rates(x: np.ndarray, batch: int, folder: Path) -> tuple[float, float] | str:
    """Return points per second with an entry for each point, and with one for each batch; or why there are none.

    Parameters
    ----------
    x : (n, D) array
        The points.
    batch : int
        Points that are sent together.
    folder : Path
        Where the server's files go.
    """
    program = shutil.which("redis-server")
    if program is None:
        return "no redis-server here"
    with _server(program, folder) as port:
        return _rate(x, batch, 1, port), _rate(x, batch, batch, port)


@contextmanager
def _server(program: str, folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "no"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.terminate()
        server.wait()


def _rate(x: np.ndarray, batch: int, entry: int, port: int) -> float:
    pieces = [
        b"".join(_xadd(x[i : i + entry]) for i in range(first, min(first + batch, len(x)), entry))
        for first in range(0, len(x), batch)
    ]
    counts = [len(range(f, min(f + batch, len(x)), entry)) for f in range(0, len(x), batch)]
    connection = _connected(port)
    left: deque[int] = deque()
    begin = time.perf_counter()
    with connection, connection.makefile("rb") as answers:
        for piece, count in zip(pieces, counts, strict=True):
            connection.sendall(piece)
            left.append(count)
            if len(left) > UNDER_WAY:
                _read(answers, left.popleft())
        while left:
            _read(answers, left.popleft())
    return len(x) / (time.perf_counter() - begin)


def _connected(port: int) -> socket.socket:
    end = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _xadd(points: np.ndarray) -> bytes:
    data = points.tobytes()
    return b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nx\r\n$%d\r\n%s\r\n" % (len(data), data)


def _read(answers: object, count: int) -> None:
    for _ in range(count):
        line = answers.readline()  # type: ignore[attr-defined]
        if not line.startswith(b"$"):
            raise RuntimeError(f"Redis answers {line[:100]!r}")
        answers.readline()  # type: ignore[attr-defined]
