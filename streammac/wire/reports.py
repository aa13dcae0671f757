"""How a process fares, as it says with every heartbeat and in its goodbye: the coordinator decides by it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from streammac.wire.fields import MANY, Amount, Count, Key, Reals, Reason, Seconds, Value


class RingProgress(Value):
    """How far a worker is in the ring."""

    ready: bool = False
    """It can train; nothing else here means anything before."""
    epoch: Count = 0
    view: Count = 0
    frozen: bool = False
    """It waits for `Resume`."""
    working: bool = False
    """It has something to compute."""
    resting: bool = False
    """All epochs are done."""
    hops: Count = 0
    """Visits, gradient steps, copies and Z steps that it has done: as long as the ring turns, they grow."""
    holding: Annotated[tuple[Key, ...], MANY] = ()
    """Blocks that wait for or are in training here: where the submodels are."""
    iterations: Count = 0
    """Gradient steps of its copies since it began, with the strategy `consensus`."""
    neighbours: Count = 0
    """With how many other copies they were averaged, summed over all iterations."""


class ShardCounts(Value):
    """What a worker's shards have and had, the held-out one included; of points where nothing else is said."""

    points: Count = 0
    bytes: Count = 0
    held_out: Count = 0
    """Points that are never trained on."""
    appended: Count = 0
    """Points that were ever stored: those that are there, have expired, or were withdrawn, dropped or damaged."""
    expired: Count = 0
    withdrawn: Count = 0
    dropped: Count = 0
    damaged: Count = 0
    """Points that are not as they were written."""
    duplicates: Count = 0
    refused: Count = 0
    """Batches that could not be stored."""
    refusing: bool = False
    """No points are taken: the disk is full or fails."""
    quarantined: Count = 0
    """Copies of damaged files that are set aside."""

    @property
    def balances(self) -> bool:
        """Return whether every point that was ever stored is somewhere."""
        gone = self.expired + self.withdrawn + self.dropped + self.damaged
        return self.appended == self.points + gone


class MoveState(Value):
    """How far a process is with handing over its points to other workers."""

    orders: Count = 0
    """Orders that it has taken since it began: with this it acknowledges them."""
    giving: bool = False
    """It carries one out."""
    handing: Count = 0
    """Batches under way."""
    moved: Count = 0
    """Points that are with others since it began."""
    in_doubt: Count = 0
    """Batches that may be with workers that are gone, too."""


class Predicted(Value):
    """What a worker's models did on new points before anything was trained on them, since it began."""

    points: Count = 0
    sums: Reals = field(default_factory=dict)
    """By name of the outcome, see `streammac.models.base.NestedModel.outcomes`."""


class WorkerReport(Value):
    """How a worker fares. Shards and moves are None until the shards are open: nothing is known of them then."""

    ring: RingProgress = RingProgress()
    shard: ShardCounts | None = None
    moves: MoveState | None = None
    leaving: bool = False
    """It was asked to end, and leaves in good order."""
    given_up: Count = 0
    """Points that it drops as it ends."""
    malformed: Count = 0
    rate: Amount = 0.0
    """Points stored per second, since the last heartbeat."""
    busy_share: Amount = 0.0
    """Share of time spent computing, since the last heartbeat."""
    train_s: Seconds = 0.0
    """Of its epoch, as `z_step_s`."""
    z_step_s: Seconds = 0.0
    untrained_s: Seconds = 0.0
    """Age of the oldest point that no epoch had which is finished here; 0: there is none."""
    failed_steps: Count = 0
    """Steps of training that failed on their numbers since it began."""
    failed_step: Reason = ""
    """The newest of them, and why."""
    predicted: Predicted = Predicted()

    @property
    def points(self) -> int:
        """Points that it is known to have."""
        return self.shard.points if self.shard is not None else 0


class Trouble(Value):
    """Something that is wrong at an ingest node, and stays so; the text is the same as long as it does."""

    kind: Literal["feed_failed", "feed_refused", "letters_lost"]
    text: Reason


class Lasting(Value):
    """What of an ingest node's counts its next life counts again."""

    sent: Count = 0
    dead_lettered: Count = 0
    settled: Count = 0
    """Records that its ledger knows to be settled: never fewer than before, nor in its next life."""


class LateCounts(Value):
    """What an ingest node knows of points whose targets come later: those that wait now, and since it began."""

    waiting: Count = 0
    joined: Count = 0
    """Points that got their targets."""
    expired: Count = 0
    """Points whose targets did not come in time."""
    refused: Count = 0
    """Points whose key was another one's that waited."""
    late: Count = 0
    """Targets of points that had expired."""
    unknown: Count = 0
    """Targets of points that nobody knows of."""


class IngestReport(Value):
    """How an ingest node fares; counts of points where nothing else is said."""

    sent: Count = 0
    dead_lettered: Count = 0
    lasting: Lasting = Lasting()
    acknowledged: Count = 0
    duplicate: Count = 0
    unacknowledged: Count = 0
    revoked: Count = 0
    """Workers that have still to take out again batches that went elsewhere."""
    resent: Count = 0
    """Batches."""
    malformed: Count = 0
    """Messages."""
    finished: bool = False
    """All sources came to an end, and everything is acknowledged."""
    blocked_s: Seconds = 0.0
    """Time in which no worker had credit left."""
    first_ack_s: Seconds = 0.0
    """Unix time; 0 before it."""
    rate: Amount = 0.0
    """Points acknowledged per second, since the last heartbeat."""
    troubles: Annotated[tuple[Trouble, ...], MANY] = ()
    late: LateCounts = LateCounts()

    @property
    def failed(self) -> tuple[str, ...]:
        """Return which feeds have failed, and why."""
        return tuple(one.text for one in self.troubles if one.kind == "feed_failed")
