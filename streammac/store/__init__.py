"""The shard: an append-only, crash-safe, memory-mapped store of points and their coordinates."""

from streammac.store.arrival_clock import ArrivalClock
from streammac.store.errors import ShardUnusable, StoreError
from streammac.store.points import Arrival, Schema
from streammac.store.retention import Retention
from streammac.store.shard import Outcome, Shard
from streammac.store.view import ShardView

__all__ = [
    "Arrival",
    "ArrivalClock",
    "Outcome",
    "Retention",
    "Schema",
    "Shard",
    "ShardUnusable",
    "ShardView",
    "StoreError",
]
