"""One batch on its way, and what has become of the points that were put in together."""

from __future__ import annotations

from dataclasses import dataclass

from streammac.points.batch_id import BatchId
from streammac.points.block import PointBlock
from streammac.wire.messages import Points

BATCH_OVERHEAD_BYTES = 1024
"""What a batch costs besides its points, counted with them: tiny batches are bounded, too."""
LONG_AGO = float("-inf")


@dataclass(slots=True)
class Ticket:
    """What became of the points of one offer; `settled` once nothing of it is under way.

    ``waiting`` points have still to get their targets, and are an offer of their own then.
    """

    points: int = 0
    open_batches: int = 0
    stored: int = 0
    duplicate: int = 0
    given_up: int = 0
    waiting: int = 0
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Return whether every batch of it has its answer."""
        return self.open_batches == 0


@dataclass(slots=True, eq=False)
class Batch:
    """One batch on its way; ``durable``: who sends it has it again after being killed, so the ledger follows it."""

    message: Points
    size: int
    ticket: Ticket
    durable: bool = False
    sent_at: float = LONG_AGO
    first_sent_at: float = LONG_AGO
    refusals: int = 0
    reason: str = ""

    @classmethod
    def of(
        cls,
        batch_id: BatchId,
        points: PointBlock,
        ticket: Ticket,
        *,
        held_out: bool,
        durable: bool,
        moved: bool = False,
    ) -> Batch:
        """Return a batch of these points."""
        message = Points(*batch_id, held_out, points.tensors(), tuple(points.keys), moved=moved)
        return cls(message, points.nbytes + BATCH_OVERHEAD_BYTES, ticket, durable)

    def __len__(self) -> int:
        return len(self.message.tensors["x"])

    @property
    def batch_id(self) -> BatchId:
        """Its name."""
        return BatchId(self.message.source, self.message.incarnation, self.message.sequence)
