"""The coordinator's durable state on disk, and the orders that must not go out before it is there.

A disk may take nothing for a while. The coordinator then goes on: it answers, registers who comes and publishes routes.
But a view, what a point looks like, an order to leave or one to hand over points goes out only once a coordinator that
is started again would know of it (`Coordinator.fences`): until then it is held back, the newest of each kind for each
member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streammac.coordinator.coordinator_actions import Action, Tell
from streammac.files import document
from streammac.files.writes import Writes
from streammac.wire.messages import Drain, Move, Resume, StreamSchema, View

GUARDED = (View, Resume, Drain, Move, StreamSchema)
"""The orders that fences guard."""


class DurableState:
    """What the coordinator remembers over restarts.

    Parameters
    ----------
    path : Path
        Its file.
    writes : Writes
        The process's.
    fences : object
        What the file holds of `Coordinator.fences`, None where there is none; compared by value.
    """

    def __init__(self, path: Path, writes: Writes, fences: object) -> None:
        self._path = path
        self._writes = writes
        self._fences = fences
        self._held: list[Tell] = []

    def save(self, state: Mapping[str, Any], fences: object) -> None:
        """Write the state, if not now then when there is room."""

        def write() -> None:
            document.save(self._path, state, keep_former=True)
            self._fences = fences

        self._writes.do(self._path.name, write)

    def covers(self, fences: object) -> bool:
        """Return whether these fences are on disk."""
        return fences == self._fences

    def release(self, orders: Sequence[Action], fences: object) -> list[Action]:
        """Return the orders that may go out now, those that were held back before the others."""
        if self.covers(fences):
            held, self._held = self._held, []
            return [*held, *orders]
        free = []
        for order in orders:
            if isinstance(order, Tell) and isinstance(order.message, GUARDED):
                self._hold(order)
            else:
                free.append(order)
        return free

    def _hold(self, order: Tell) -> None:
        kind = (order.identity, type(order.message))
        self._held = [one for one in self._held if (one.identity, type(one.message)) != kind]
        self._held.append(order)
