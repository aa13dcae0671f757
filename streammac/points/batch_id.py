"""The name of a batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchId:
    """The name of a batch, for ever: what comes again under it is a duplicate.

    Sequences of one ``(source, incarnation)`` may arrive in any order and with gaps: a source spreads its
    batches over several shards.
    """

    source: str
    incarnation: int
    sequence: int
