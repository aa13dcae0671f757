"""How a process fares, as it says with every heartbeat and in its goodbye: the coordinator decides by it."""

from __future__ import annotations

from dataclasses import dataclass

from streammac.wire.fields import Count, Name


@dataclass(frozen=True, slots=True)
class RingProgress:
    """How far a worker is in the ring.

    Attributes
    ----------
    ready : bool
        It can train; the rest means nothing before.
    epoch, view : int
        Where it is.
    frozen : bool
        A view was announced to it, or none yet, and it waits for `Resume`.
    working : bool
        It has something to train, or trains.
    resting : bool
        All epochs are done.
    hops : int
        Visits, copies and Z steps that it has done: it grows as long as the ring turns.
    holding : tuple of str
        Blocks that wait for or are in training here: where the submodels are.
    """

    ready: bool = False
    epoch: Count = 0
    view: Count = 0
    frozen: bool = False
    working: bool = False
    resting: bool = False
    hops: Count = 0
    holding: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """What a worker's shards have and had, the held-out one included.

    Attributes
    ----------
    points, bytes : int
        What they have now; of the points, ``held_out`` are never trained on.
    appended, expired, withdrawn, dropped : int
        Points that were ever stored, and what became of those that are not there any more.
    duplicates : int
        Points that came again, since the process began.
    quarantined : int
        Damaged segments that are set aside.
    refused : int
        Batches that could not be stored, since the process began.
    refusing : bool
        No points are taken: the disk is full or fails.
    """

    points: Count = 0
    bytes: Count = 0
    held_out: Count = 0
    appended: Count = 0
    expired: Count = 0
    withdrawn: Count = 0
    dropped: Count = 0
    duplicates: Count = 0
    quarantined: Count = 0
    refused: Count = 0
    refusing: bool = False


@dataclass(frozen=True, slots=True)
class MoveState:
    """How far a worker is with handing over points to others.

    Attributes
    ----------
    orders : int
        Orders that it has taken since the process began; with this it acknowledges them.
    giving : bool
        It carries one out.
    handing : int
        Batches under way, or in doubt.
    moved : int
        Points that are with others, since the process began.
    in_doubt : int
        Batches that may be with workers that are gone, too.
    """

    orders: Count = 0
    giving: bool = False
    handing: Count = 0
    moved: Count = 0
    in_doubt: Count = 0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How a worker fares.

    Attributes
    ----------
    ring : RingProgress
        Its part in the ring.
    shard : ShardCounts or None
        Its points; None until the shards are open: nothing is known of them then.
    moves : MoveState or None
        The handing over of points; None until the ledger of that is open.
    leaving : bool
        It was asked to end, and leaves in good order.
    given_up : int
        Points that it drops as it ends.
    malformed : int
        Messages that did not decode or make no sense.
    rate, busy_share : float
        Points stored per second, and the share of time spent computing, since the last heartbeat.
    train_s, z_step_s : float
        Seconds of work in its epoch.
    """

    ring: RingProgress = RingProgress()
    shard: ShardCounts | None = None
    moves: MoveState | None = None
    leaving: bool = False
    given_up: Count = 0
    malformed: Count = 0
    rate: float = 0.0
    busy_share: float = 0.0
    train_s: float = 0.0
    z_step_s: float = 0.0

    @property
    def points(self) -> int:
        """Points that it is known to have."""
        return self.shard.points if self.shard is not None else 0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """How an ingest node fares. Counts are of points where nothing else is said.

    Attributes
    ----------
    sent, dead_lettered : int
        Taken, and refused of these. What is ``lasting`` of them the node's next life counts again.
    acknowledged, duplicate : int
        Stored, and had been stored before.
    unacknowledged : int
        Under way.
    revoked : int
        Workers that have still to take out again batches that went elsewhere.
    resent : int
        Batches that were sent again.
    malformed : int
        Messages that did not decode or make no sense.
    finished : bool
        All sources came to an end, and everything is acknowledged.
    blocked_s : float
        Seconds in which no worker had credit left.
    first_ack_s : float
        Unix time of the first acknowledgement; 0 before it.
    rate : float
        Points acknowledged per second, since the last heartbeat.
    """

    sent: Count = 0
    lasting_sent: Count = 0
    dead_lettered: Count = 0
    lasting_dead_lettered: Count = 0
    acknowledged: Count = 0
    duplicate: Count = 0
    unacknowledged: Count = 0
    revoked: Count = 0
    resent: Count = 0
    malformed: Count = 0
    finished: bool = False
    blocked_s: float = 0.0
    first_ack_s: float = 0.0
    rate: float = 0.0
