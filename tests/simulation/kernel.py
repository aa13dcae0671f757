"""Virtual time: a queue of events, one source of chance, processes that die and hang, and what they did.

The cluster puts events in; `run` takes them out in order of their times, and has the rules looked at after each.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

MAX_EVENTS = 400_000
"""A simulation with more events than that has run away."""
KEPT = 2_000
"""Lines of the trace that are remembered."""


class Violation(Exception):
    """A rule does not hold."""


class Process:
    """Something that runs on a host of its own: it can die, and it can hang.

    ``address`` is where this very process listens; another process of the same name listens elsewhere.
    """

    def __init__(self, kernel: Kernel, name: str, incarnation: int) -> None:
        self.kernel = kernel
        self.name = name
        self.incarnation = incarnation
        self.address = f"{name}#{incarnation}"
        self.alive = True
        self.hangs = False
        self._stalled: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def after(self, delay: float, action: Callable[..., None], *args: Any) -> None:
        """Have something happen to this process; nothing happens to the dead, and later to those that hang."""
        self.kernel.after(delay, self._happen, action, *args)

    def _happen(self, action: Callable[..., None], *args: Any) -> None:
        if self.hangs:
            self._stalled.append((action, args))
        elif self.alive:
            action(*args)

    def receive(self, sender: str, message: Any) -> None:
        """Take a message."""
        raise NotImplementedError

    def stop(self) -> None:
        """SIGSTOP."""
        self.hangs = True

    def go_on(self) -> None:
        """SIGCONT: everything that has come meanwhile happens now, in order."""
        self.hangs = False
        stalled, self._stalled = self._stalled, []
        for action, args in stalled:
            self.after(0.0, action, *args)

    def die(self) -> None:
        """SIGKILL."""
        self.alive = self.hangs = False
        self._stalled.clear()

    def say(self, what: str, *details: Any) -> None:
        """Put a line into the trace."""
        self.kernel.trace.add(self.kernel.now, self.address, what, details)


class Trace:
    """What happened, newest last; with ``whole`` a digest of all of it."""

    def __init__(self, *, whole: bool = False) -> None:
        self.lines: deque[tuple[float, str, str, tuple[Any, ...]]] = deque(maxlen=KEPT)
        self._digest = hashlib.sha256() if whole else None

    def add(self, now: float, who: str, what: str, details: tuple[Any, ...]) -> None:
        """Add a line; it is put into words only if somebody asks."""
        self.lines.append((now, who, what, details))
        if self._digest is not None:
            self._digest.update(self._words(self.lines[-1]).encode())

    def tail(self, count: int) -> str:
        """Return the last lines, one after the other."""
        return "\n".join(self._words(line) for line in list(self.lines)[-count:])

    @property
    def digest(self) -> str:
        """A short name of the whole trace."""
        assert self._digest is not None, "the trace is not kept as a whole"
        return self._digest.hexdigest()

    @staticmethod
    def _words(line: tuple[float, str, str, tuple[Any, ...]]) -> str:
        now, who, what, details = line
        told = " ".join(filter(None, (tell(detail) for detail in details)))
        return f"{now:10.4f}  {who:<14} {what:<10} {told}".rstrip()


def tell(value: Any) -> str:
    """Put a value of the trace into words: messages without their arrays and their empty fields.

    >>> tell(("w1", "w2"))
    'w1,w2'
    """
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return ",".join(tell(part) for part in value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{tell(part)}" for key, part in sorted(value.items()))
    names = getattr(value, "__slots__", ())
    fields = {name: getattr(value, name) for name in names if name not in QUIET_FIELDS}
    told = " ".join(f"{n}={tell(v)}" for n, v in fields.items() if v not in ((), {}, False, None))
    return f"{type(value).__name__}({told})"


QUIET_FIELDS = (
    "tensors",
    "plan",
    "following",
    "worker",
    "ingest",
    "address",
    "addresses",
    "params",
    "base",
)


class Kernel:
    """The queue of events.

    Parameters
    ----------
    seed : int
        Decides everything that is left to chance.
    whole : bool
        Keep a digest of the whole trace.
    """

    def __init__(self, seed: int, *, whole: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.trace = Trace(whole=whole)
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay: float, action: Callable[..., None], *args: Any) -> None:
        """Put an event into the queue; of two at the same time the one that was put in first comes first."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action, args))

    def run(self, until: float, over: Callable[[], bool]) -> None:
        """Let time pass until then, or until ``over`` returns True (it is asked after each event)."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action, args = heapq.heappop(self._queue)
            action(*args)
            self.events += 1
            if self.events > MAX_EVENTS:
                raise Violation(f"{MAX_EVENTS} events: the simulation has run away")
            if over():
                return
        self.now = until
