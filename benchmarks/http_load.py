"""Load on an HTTP endpoint: requests over open connections, as fast as they are answered or at a given rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
import numpy as np

BUSY = 429
PAUSE_S = 0.01


@dataclass
class Answers:
    """What came of requests: seconds of each that was answered, how many were put off, how many failed."""

    seconds: list[float] = field(default_factory=list)
    put_off: int = 0
    failed: int = 0
    span_s: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.span_s

    def ms(self, percent: float) -> float:
        """Return within how many milliseconds so many percent were answered."""
        return float(np.percentile(self.seconds, percent)) * 1e3


def ndjson(points: int, dim: int, bodies: int) -> list[bytes]:
    """Return bodies of so many points."""
    rng = np.random.default_rng(0)
    return [
        b"\n".join(msgspec.json.encode({"x": row}) for row in rng.random((points, dim)).tolist())
        for _ in range(bodies)
    ]


def post(
    url: str, bodies: Sequence[bytes], connections: int, seconds: float, rate: float | None = None
) -> Answers:
    """Post bodies for some seconds; return what came of them.

    Parameters
    ----------
    url : str
        Where.
    bodies : sequence of bytes
        NDJSON; they are sent again and again.
    connections : int
        Requests at a time.
    seconds : float
        So long.
    rate : float, optional
        Requests per second of all connections. A request that is late because the one before it was counts from
        when it was due. None: each connection sends the next one when it has its answer.
    """
    return asyncio.run(_post(url, bodies, connections, seconds, rate))


async def _post(
    url: str, bodies: Sequence[bytes], connections: int, seconds: float, rate: float | None
) -> Answers:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port
    requests = [
        f"POST /points HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies
    ]
    answers, begin = Answers(), time.monotonic()

    async def work(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        count = number
        while True:
            due = time.monotonic() if rate is None else begin + count / rate
            if due > begin + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while True:
                writer.write(requests[count % len(requests)])
                status = await _answer(reader)
                if status != BUSY:
                    break
                answers.put_off += 1
                await asyncio.sleep(PAUSE_S)
            if status == 200:
                answers.seconds.append(time.monotonic() - due)
            else:
                answers.failed += 1
            count += connections
        writer.close()

    await asyncio.gather(*map(work, range(connections)))
    answers.span_s = time.monotonic() - begin
    return answers


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read an answer; return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r")[0]
    await reader.readexactly(int(length))
    return int(head.split(" ", 2)[1])
