"""Load by Python clients: pushes by processes of their own, as fast as they are answered or at a given rate."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.http_load import Answers
from streammac.client import Client


def push(
    folder: Path, clients: int, batch: int, dim: int, seconds: float, rate: float | None = None
) -> Answers:
    """Push points for some seconds; return what came of it.

    Parameters
    ----------
    folder : Path
        Run directory.
    clients : int
        So many push at a time, a process each.
    batch, dim : int
        Points of a push, and their length.
    seconds : float
        So long.
    rate : float, optional
        Pushes per second of all clients; see `benchmarks.http_load.post`. None: as fast as they are answered.
    """
    begin = time.time() + 3.0 + clients  # until then all are up
    each = None if rate is None else rate / clients
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(clients, mp_context=context) as pool:
        parts = [
            pool.submit(_work, folder, number, batch, dim, begin, seconds, each)
            for number in range(clients)
        ]
        return Answers([s for part in parts for s in part.result()], span_s=seconds)


def _work(
    folder: Path,
    number: int,
    batch: int,
    dim: int,
    begin: float,
    seconds: float,
    rate: float | None,
) -> list[float]:
    x = np.random.default_rng(number).random((batch, dim), np.float32)
    taken: list[float] = []
    with Client(folder) as client:
        client.push(x)
        time.sleep(max(0.0, begin - time.time()))
        start = time.monotonic()
        count = 0.0
        while True:
            due = time.monotonic() if rate is None else start + (count + number / 8) / rate
            if due > start + seconds:
                return taken
            time.sleep(max(0.0, due - time.monotonic()))
            client.push(x)
            taken.append(time.monotonic() - due)
            count += 1
