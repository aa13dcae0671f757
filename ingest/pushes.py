"""Pushes of clients: each answered once it is settled, and the same again if it comes again.

Called by the node's I/O loop. A client that hears nothing sends its push again under the same number; what
was settled is answered from memory and what is under way is only waited for, so nothing is stored twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ingest.intake import Delivery, Intake
from ingest.producer import Ticket
from ingest.records import Arrays, Refused
from streammac.wire.messages import Push, Pushed

REMEMBERED = 10_000
"""Answers that are kept for clients that ask again."""
MAX_EARLY = 16
"""Pushes that may wait for the schema to be agreed."""
Key = tuple[str, int, int]


@dataclass(slots=True)
class Pushes:
    """The pushes of all clients.

    Parameters
    ----------
    intake : Intake
        Validates and takes the points.
    answer : callable
        Sends a `Pushed` to a client's socket identity.
    """

    intake: Intake
    answer: Callable[[bytes, Pushed], None]
    _under_way: dict[Key, bytes] = field(default_factory=dict)
    _settled: OrderedDict[Key, Pushed] = field(default_factory=OrderedDict)
    _early: dict[Key, tuple[bytes, Push]] = field(default_factory=dict)

    def take(self, identity: bytes, push: Push, *, has_room: bool, request_bytes: int) -> None:
        """Take a push."""
        key = (push.client, push.incarnation, push.sequence)
        if key in self._settled:
            self.answer(identity, self._settled[key])
            return
        if key in self._under_way:
            self._under_way[key] = identity  # it may have reconnected
            return
        x = push.tensors.get("x")
        size = sum(array.nbytes for array in push.tensors.values())
        problem = ""
        if x is None or x.ndim == 0:
            problem = "x: missing"
        elif size > request_bytes:
            problem = f"larger than ingest.request_bytes = {request_bytes}"
        elif push.keys and len(push.keys) != len(x):
            problem = f"keys: expected {len(x)}, got {len(push.keys)}"
        elif any(len(a) != len(x) for a in push.tensors.values() if a.ndim) or (
            "time" in push.tensors and push.tensors["time"].shape != (len(x),)
        ):
            problem = "y, time: expected one for each x"
        if problem or x is None:
            self.answer(identity, Pushed(push.sequence, 0, 0, 0, reason=problem))
            return
        if not has_room:
            self.answer(identity, Pushed(push.sequence, 0, 0, 0, busy=True))
            return
        chunk = Arrays(x, push.tensors.get("y"), _time(push), push.keys)
        prepared = self.intake.prepare(chunk, wait=False)
        if prepared is None:
            if key in self._early or len(self._early) < MAX_EARLY:
                self._early[key] = (identity, push)
            else:
                self.answer(identity, Pushed(push.sequence, 0, 0, 0, busy=True))
            return
        points, refused = prepared
        self._under_way[key] = identity
        self.intake.request(
            Delivery(
                push.client, x.dtype.str, points, refused, lambda t: self._settle(key, t, refused)
            )
        )

    def agreed(self, request_bytes: int) -> None:
        """Take the pushes that came before the schema was agreed."""
        early, self._early = self._early, {}
        for identity, push in early.values():
            self.take(identity, push, has_room=True, request_bytes=request_bytes)

    def _settle(self, key: Key, ticket: Ticket, refused: list[Refused]) -> None:
        reason = ticket.reason or (refused[0].reason if refused else "")
        pushed = Pushed(
            sequence=key[2],
            accepted=ticket.stored + ticket.duplicate,
            duplicate=ticket.duplicate,
            dead_lettered=len(refused) + ticket.given_up,
            reason=reason,
        )
        self._settled[key] = pushed
        while len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)
        self.answer(self._under_way.pop(key), pushed)


def _time(push: Push) -> np.ndarray | None:
    time = push.tensors.get("time")
    return None if time is None else time.astype(np.float64)
