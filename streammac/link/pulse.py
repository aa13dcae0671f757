"""Whether a process is alive and ready, as its loop tells and probes ask: ``/health`` and ``/ready``.

A process is alive as long as its loop turns; one that is not can only be killed and started again. It is ready when it
can do its work, in its loop's own words why not. Threads of HTTP read what the loop has said last, and wait for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

HUNG_S = 30.0
"""A loop that has not turned for so long does not turn any more; a slow disk takes less."""


class Pulse:
    """What the loop of a process tells of itself.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.

    Attributes
    ----------
    unready : str
        Why the process cannot do its work; empty if it can.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned_at = clock()
        self._long = ""
        self.unready = "it has not registered yet"

    def turn(self) -> None:
        """Take notice that the loop has turned."""
        self._turned_at = self._clock()

    @contextmanager
    def long(self, what: str) -> Iterator[None]:
        """Do something in a turn that may take as long as it wants to: the process is alive, and not ready."""
        self._long = what
        try:
            yield
        finally:
            self.turn()
            self._long = ""

    @property
    def hung(self) -> str:
        """Why the process is not alive; empty if it is."""
        still_s = self._clock() - self._turned_at
        if self._long or still_s <= HUNG_S:
            return ""
        return f"its loop has not turned for {still_s:.0f} s"

    def routes(self) -> list[Route]:
        """Return what answers probes: 200, or 503 and the reason."""

        async def get_health(_: Request) -> PlainTextResponse:
            return _answer(self.hung)

        async def get_ready(_: Request) -> PlainTextResponse:
            return _answer(self.hung or self._long or self.unready)

        return [Route("/health", get_health), Route("/ready", get_ready)]


def _answer(trouble: str) -> PlainTextResponse:
    headers = {"Cache-Control": "no-store"}
    return PlainTextResponse(trouble or "ok", 503 if trouble else 200, headers)
