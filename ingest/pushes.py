"""Pushes of clients: each answered once it is settled, and the same again if it comes again.

Called by the node's I/O loop. A client that hears nothing sends its push again under the same number; what
was settled is answered from memory and what is under way is only waited for. After the node was killed its batches
have the same batch ids again, and the ledger knows where they went: so nothing is stored twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ingest.cutting import Origin
from ingest.ingest_queue import Delivery, IngestQueue
from ingest.parts import Parts, targets_of
from ingest.records import Refused
from streammac.delivery.batch import Ticket
from streammac.points.batch_id import MAX_PUSH, PUSH_POINTS, BatchId
from streammac.points.block import PointBlock
from streammac.settings.schema import Settings
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
    ingest_queue : IngestQueue
        Validates the points.
    deliver : callable
        Takes them.
    answer : callable
        Sends a `Pushed` to a client's socket identity.
    settings : Settings
        Sizes of requests and batches, share of held-out points.
    """

    ingest_queue: IngestQueue
    deliver: Callable[[Delivery], None]
    answer: Callable[[bytes, Pushed], None]
    settings: Settings
    _under_way: dict[Key, bytes] = field(default_factory=dict)
    _settled: OrderedDict[Key, Pushed] = field(default_factory=OrderedDict)
    _early: dict[Key, tuple[bytes, Push]] = field(default_factory=dict)

    def take(self, identity: bytes, push: Push, *, has_room: bool) -> None:
        """Take a push."""
        key = (push.client, push.incarnation, push.sequence)
        if key in self._settled:
            self.answer(identity, self._settled[key])
            return
        if key in self._under_way:
            self._under_way[key] = identity  # it may have reconnected
            return
        problem = self._problem(push)
        if problem:
            self.answer(identity, Pushed(push.sequence, 0, 0, 0, reason=problem))
            return
        if not has_room:
            self.answer(identity, Pushed(push.sequence, 0, 0, 0, busy=True))
            return
        prepared = self._prepared(push)
        if prepared is None:
            if key in self._early or len(self._early) < MAX_EARLY:
                self._early[key] = (identity, push)
            else:
                self.answer(identity, Pushed(push.sequence, 0, 0, 0, busy=True))
            return
        refused = prepared.refused
        self._under_way[key] = identity
        ingest, share = self.settings.ingest, self.settings.held_out.share
        # a client's pushes are of about the same size
        before = push.sequence * (len(refused) + len(prepared.points))
        first = BatchId.of_push(*key)
        origin = Origin(first, ingest.batch_points, share, before, durable=True)
        form = "json" if "x" not in push.tensors else push.tensors["x"].dtype.str
        self.deliver(
            Delivery(push.client, form, prepared, lambda t: self._settle(key, t, refused), origin)
        )

    def _prepared(self, push: Push) -> Parts | None:
        """Return what a push brings; None while it is not agreed what a point looks like."""
        y = push.tensors.get("y")
        if "x" in push.tensors:
            chunk = PointBlock(push.tensors["x"], y, _time(push), push.keys)
            return self.ingest_queue.try_prepare(chunk)
        schema = self.ingest_queue.schema
        return None if schema is None or y is None else targets_of(y, push.keys, schema)

    def _problem(self, push: Push) -> str:
        """Return why a push makes no sense; empty if it does."""
        x = push.tensors.get("x")
        if x is None and self.settings.stream.late_targets is not None:
            x = push.tensors.get("y")  # targets of points that came before
            if x is not None and not push.keys:
                return "keys: missing - a target without x finds its point by its key"
        if x is None or x.ndim == 0:
            return "x: missing"
        limit = self.settings.ingest.request_bytes
        if sum(array.nbytes for array in push.tensors.values()) > limit:
            return f"larger than ingest.request_bytes = {limit}"
        if len(x) and not x.size:
            return f"x: expected (n, D) numbers with D from 1, got shape {x.shape}"
        if len(x) > PUSH_POINTS:
            return f"x: expected at most {PUSH_POINTS} points - push them in parts"
        if push.keys and len(push.keys) != len(x):
            return f"keys: expected {len(x)}, got {len(push.keys)}"
        if any(len(a) != len(x) for a in push.tensors.values() if a.ndim) or (
            "time" in push.tensors and push.tensors["time"].shape != (len(x),)
        ):
            return "y, time: expected one for each x"
        if push.sequence >= MAX_PUSH or push.incarnation >= 1 << 63:
            return "incarnation, sequence: expected less than 2^63 and 2^39"
        return ""

    def agreed(self) -> None:
        """Take the pushes that came before the schema was agreed."""
        early, self._early = self._early, {}
        for identity, push in early.values():
            self.take(identity, push, has_room=True)

    def _settle(self, key: Key, ticket: Ticket, refused: list[Refused]) -> None:
        reason = ticket.reason or (refused[0].reason if refused else "")
        pushed = Pushed(
            sequence=key[2],
            accepted=ticket.stored + ticket.duplicate,
            duplicate=ticket.duplicate,
            dead_lettered=len(refused) + ticket.given_up,
            reason=reason,
            waiting=ticket.waiting,
        )
        self._settled[key] = pushed
        while len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)
        self.answer(self._under_way.pop(key), pushed)


def _time(push: Push) -> np.ndarray | None:
    time = push.tensors.get("time")
    return None if time is None else time.astype(np.float64)
