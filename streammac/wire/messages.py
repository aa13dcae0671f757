"""Every message of the protocol, in the order in which a cluster uses them.

Plain frozen values: the state machines in `streammac.ring` and the shells of workers, coordinator and
ingest nodes exchange nothing else. Arrays travel in the field ``tensors``; all else is header.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import field

from streammac.wire.codec import Message
from streammac.wire.fields import (
    MANY,
    Address,
    Addresses,
    Amount,
    Count,
    Deadline,
    Dimension,
    Home,
    Host,
    Incarnation,
    Int64,
    Json,
    Key,
    Keys,
    Line,
    Name,
    Names,
    Pid,
    Real,
    Reals,
    Reason,
    Share,
    Slices,
    Slots,
    Targets,
    Tensors,
    Value,
)
from streammac.wire.reports import IngestReport, WorkerReport

# -- membership: workers and ingest nodes <-> coordinator ---------------------------------------


class Register(Message):
    """A process presents itself; repeated until answered, and after the coordinator came back."""

    role: Literal["worker", "ingest"]
    name: Name
    incarnation: Incarnation
    pid: Pid
    host: Host
    addresses: Addresses
    home: Home = ""
    line: Line = ""
    """Identity of the sockets from which it sends tokens; only the members of its views are told."""


class Registered(Message):
    """The coordinator's answer: the settings that all members share."""

    cluster: Name
    settings: Json
    """The shared settings as JSON (`streammac.settings.schema.Settings`)."""
    turning: bool = False
    """The ring turns already: who enters it should have loaded everything, or the others wait for it."""


class RegistrationRefused(Message):
    """The coordinator's answer to who cannot take part, and is to end: another one has its name, above all."""

    reason: Reason


class StreamSchema(Message):
    """What a point of the stream looks like.

    An ingest node proposes it with the first valid points; the coordinator answers everybody with
    the one that holds.
    """

    dim: Dimension
    dtype: Literal["float32", "uint8"]
    targets: Targets = 0
    """Length of y; 0 where the stream has no targets."""
    classes: Targets = 0
    """If not 0, y is a class: 0, 1, ... up to one less than this."""


class MemberAddress(Value):
    """A member of a view and where its ring socket listens."""

    name: Name
    address: Address
    line: Line = ""


class EpochPlan(Value):
    """What the next epoch is to be; decided during the former one, the same for all members.

    Attributes
    ----------
    age : int
        Passes over all points since the last (re)start of the continuation in mu.
    fresh : bool
        The epoch gathers statistics and makes a new model from nothing (epoch 0 does).
    restart : int
        Number of the newest restart order that has been carried out.
    groups : int
        In how many groups the submodels of each kind travel.
    slice, slices : int
        Which slice of each shard it works on, and of how many.
    iterations : int
        Steps that each member makes, where each trains a copy of its own.
    rest : bool
        As it was planned, nothing was left to train: nobody begins the epoch before somebody has something to do.
    """

    age: Count = 0
    fresh: bool = False
    restart: Count = 0
    groups: Count = 1
    rest: bool = False
    slice: Count = 0
    slices: Slices = 1
    iterations: Count = 0


class View(Message):
    """Who is in the ring from now on. Only the coordinator makes views, and their number only grows.

    Who gets one passes no token on any more, answers with `Holdings` and waits for `Resume`.
    """

    number: Count
    members: Annotated[tuple[MemberAddress, ...], MANY]
    leaving: Annotated[tuple[MemberAddress, ...], MANY] = ()
    """Members that leave in good order: what they hold goes on, nothing new goes to them."""


class Copy(Value):
    """How far the copy of a block is that a member keeps: what it is at, or what it passed on last."""

    block: Key
    lap: Count
    final: bool
    itinerary: Names
    held: bool = False
    """The block is here, to be trained or in training."""
    view: Count = 0
    """In which it was sent or gone on with last."""


class Holdings(Message):
    """A member's answer to a view: where it is, and which copies it has.

    Attributes
    ----------
    state : {"joining", "training", "z_step", "resting"}
        ``joining``: it has no part in an epoch yet; the rest of the message means nothing then.
    epoch, plan, trainers
        The epoch it is at, and who trains in it.
    copies : tuple of Copy
        Its copies of that epoch's blocks.
    resumed : int
        The last view that resumed for it: what it holds is of that one's ring.
    former : bool
        It has the last copies of the epoch before, too, for those who are still there.
    """

    view: Count
    name: Name
    state: Literal["joining", "training", "z_step", "resting"]
    epoch: Count
    plan: EpochPlan
    trainers: Names
    copies: Annotated[tuple[Copy, ...], MANY] = ()
    resumed: Count = 0
    former: bool = False


class Resume(Message):
    """The ring goes on, in the view that was announced before.

    Attributes
    ----------
    epoch, plan
        The epoch that the most advanced members are at.
    trainers : tuple of str
        The members that train in it. The others get copies only, and train from the next epoch on.
    joining : tuple of str
        Members that begin anew: what they hold, if they hold anything, has been replaced.
    absent : tuple of str
        Members that are not at this epoch yet: those that join, and those that are an epoch behind.
    holders : dict of str to str
        Block to the member whose copy is the most advanced: it goes on from there. A block that is not
        named starts anew.
    donors : dict of str to str
        Who needs the model with which the epoch begins, and who sends it to them.
    cold : bool
        Nobody holds anything: everybody begins the epoch from ``tensors``.
    """

    view: Count
    epoch: Count
    plan: EpochPlan
    trainers: Names
    joining: Names = ()
    absent: Names = ()
    holders: Annotated[dict[Key, Name], MANY] = field(default_factory=dict)
    donors: Annotated[dict[Name, Name], MANY] = field(default_factory=dict)
    cold: bool = False
    tensors: Tensors = field(default_factory=dict)


class Route(Value):
    """The way to one worker's shards.

    Attributes
    ----------
    address : str
        Its data socket.
    incarnation : int
        Which process of that name it is.
    weight : float
        Share of the points it is to get, relative to the others. 0: it drains; whoever has batches under
        way there takes them back.
    """

    name: Name
    address: Address
    incarnation: Incarnation = 0
    weight: Amount = 1.0


class RingMoving(Message):
    """A worker has finished its first visit of a view: the ring turns again."""

    name: Name
    view: Count


class Routes(Message):
    """Coordinator to all who send points: the workers that there are.

    Attributes
    ----------
    senders : tuple of str
        For a worker that is to hand over its points: the others who may send points to it once more, because they
        have not ended in good order.
    """

    workers: Annotated[tuple[Route, ...], MANY]
    senders: Names = ()


class Move(Message):
    """Coordinator to a worker that stays: hand so many points, your oldest, to these workers; `Routes` came before."""

    points: Count
    to: Names


class Heartbeat(Message):
    """A process is alive, and how it fares: one of the reports, by its role."""

    name: Name
    incarnation: Incarnation
    worker: WorkerReport | None = None
    ingest: IngestReport | None = None


class RestartContinuation(Message):
    """Coordinator to workers: begin the continuation anew with the next epoch that is not planned yet."""

    number: Count
    fresh: bool


class Stop(Message):
    """Finish what is acknowledged, and end."""

    reason: Reason = ""


class PleaseRegister(Message):
    """Coordinator to a process it does not know: register (again)."""


class Drain(Message):
    """Coordinator to a worker: leave the ring in good order, and end.

    Attributes
    ----------
    deadline_s : float
        End after so long in any case.
    points : {"keep", "move", "drop"}
        What becomes of its points: they wait in its directory, go to the other workers (`Routes` came before), or
        are given up.
    """

    deadline_s: Deadline
    points: Literal["keep", "move", "drop"] = "keep"


class Leaving(Message):
    """A worker was asked to end, by a signal or by `Drain`, and leaves the ring in good order."""

    name: Name
    incarnation: Incarnation


class Goodbye(Message):
    """A process ends in good order, with its last report."""

    name: Name
    incarnation: Incarnation
    worker: WorkerReport | None = None
    ingest: IngestReport | None = None


# -- the ring: worker <-> worker -----------------------------------------------------------------


class Token(Message):
    """One block of submodels on its way round the ring.

    Attributes
    ----------
    view, epoch, lap : int
        Where in time it is. A token of an older view is dropped.
    itinerary : tuple of str
        The members that still have to train it in this lap or, once ``final``, to copy it.
    final : bool
        All laps are trained; the block makes its last round so that everybody holds a copy.
    plan : EpochPlan or None
        On the final round of the epoch's first block: what the next epoch is to be.
    """

    view: Count
    epoch: Count
    block: Key
    lap: Count
    itinerary: Names
    final: bool
    plan: EpochPlan | None
    tensors: Tensors


class ModelState(Message):
    """The model with which an epoch begins, for a member that has to catch up."""

    view: Count
    epoch: Count
    tensors: Tensors


class Wake(Message):
    """Who rests is to begin this epoch: the sender has something to train for."""

    view: Count
    epoch: Count


class Offer(Message):
    """Of training by consensus: the sender's copy after its own step; it has left all former iterations.

    Attributes
    ----------
    name : str
        Whose it is.
    iteration : int
        In which it is to be averaged, of those of the epoch.
    period : int
        In which the sender is, of those in which each edge of the path through all members is used once.
    used : tuple of int
        The edges that it knows to have been used in it.
    """

    view: Count
    epoch: Count
    name: Name
    iteration: Count
    period: Count
    used: Slots
    tensors: Tensors
    """``w``: the copy."""


class Heard(Message):
    """Of training by consensus: so many iterations have ended at the sender; at the end of the last it had heard these.

    ``period`` and ``used`` are those of an `Offer`.
    """

    view: Count
    epoch: Count
    name: Name
    ended: Count
    names: Names
    period: Count
    used: Slots


# -- learning: worker -> coordinator -------------------------------------------------------------


class EpochReport(Message):
    """A worker has finished an epoch.

    ``sums`` add up over workers (the fields of `streammac.models.base.Objective`); ``seconds`` says where
    this worker's time went (``train``, ``z_step``, ``wait``). The first member of the epoch's ring
    order sends the model along; ``following`` is the plan of the next epoch; ``trainers`` are the members
    that report on this one. ``waited_s`` is the age of the oldest point that is new in it, 0: none is.
    """

    view: Count
    epoch: Count
    trainers: Names
    plan: EpochPlan
    following: EpochPlan
    name: Name
    mu: Amount
    sums: Reals
    seconds: Reals
    waited_s: Amount = 0.0
    tensors: Tensors = field(default_factory=dict)


class HeldOutPoints(Message):
    """Points of the held-out sample, ``tensors["x"]`` (n, D): stored by the worker, never trained on."""

    name: Name
    tensors: Tensors


class OpenProbe(Message):
    """Coordinator to workers: look at a sample of your points beside the queries ``tensors["x"]`` (q, D).

    Answered by a `ProbeAnswer` with the survey. What was asked of a former probe needs no answer any more.

    Attributes
    ----------
    number : int
        No other probe of the cluster has it, not even one of a former coordinator.
    share : float
        So many of the points are the sample.
    """

    number: Count
    share: Share
    tensors: Tensors


class ProbeQuestion(Message):
    """Coordinator to workers: measure a model on the sample of a probe; answered by a `ProbeAnswer`.

    ``tensors`` are the parameters, ``model/...``, and what the surveys of all workers have come to, ``key/...``. If it
    ``fits``, the parameters are the state of what models are compared with, in a round of fitting.
    """

    probe: Count
    number: Count
    model: Json
    """Its family and hyper-parameters."""
    tensors: Tensors
    fits: bool = False


class ProbeAnswer(Message):
    """A worker's answer to a question; the survey, if that has the number 0.

    What is in ``tensors`` is the family's business (`streammac.models.measures`). Without any, ``reason`` says why
    there is no answer.
    """

    name: Name
    probe: Count
    number: Count
    points: Count
    """Of the sample."""
    tensors: Tensors
    reason: Reason = ""


class Drift(Message):
    """A worker's detector saw the error of new points grow; ``watched`` is what the model's family calls it."""

    name: Name
    epoch: Count
    error: Real
    watched: Key = "error"


# -- points: ingest node -> worker, and worker -> worker when data moves ---------------------------


class BatchIdRanges(Value):
    """Names of batches: sequences of one source and incarnation, as inclusive ranges."""

    source: Name
    incarnation: Int64
    ranges: Annotated[tuple[tuple[Int64, Int64], ...], MANY]


class OpenSession(Message):
    """A sender of points begins a session with a worker; repeated until a `Credit` of this session answers.

    Sessions of a sender only grow. With a new one the worker forgets the former, so that nothing of it can
    be stored any more, and then the batches in ``revoked``: they live elsewhere, or will.

    Attributes
    ----------
    incarnation : int
        The process of the worker's name that is meant. Another one does not answer: it knows nothing of former
        sessions, so none of those may begin again there.
    closing : bool
        The sender has nothing under way there besides, and sends no more.
    """

    sender: Name
    session: Incarnation
    incarnation: Incarnation
    revoked: Annotated[tuple[BatchIdRanges, ...], MANY] = ()
    closing: bool = False


class Credit(Message):
    """Worker to sender: at most so many bytes may be under way in this session without an acknowledgement.

    Of a session that is newer than the sender's own: it is to begin one that is newer still.
    """

    session: Incarnation
    window_bytes: Count


class Points(Message):
    """A batch of points: ``x`` (n, D), optional ``y`` (n, K), ``time`` (n,) seconds since 1970.

    ``(source, incarnation, sequence)`` names it for ever: a second one of that name is a duplicate.
    ``(sender, session)`` say who sends it this time, and whether that still counts. ``moved``: another worker
    hands it over; it lives nowhere else then, so a copy that somebody else brought before was left behind. ``again``:
    a worker had it before, which may have stored and predicted it.
    """

    any_numbers: ClassVar[bool] = True

    source: Name
    incarnation: Int64
    sequence: Int64
    held_out: bool
    tensors: Tensors
    keys: Keys = ()
    sender: Name = ""
    session: Incarnation = 0
    moved: bool = False
    again: bool = False


class Ack(Message):
    """Worker to sender: the batch is as safe as the ack mode says, or why it was refused."""

    source: Name
    incarnation: Int64
    sequence: Int64
    session: Incarnation
    outcome: Literal["stored", "duplicate", "refused"]
    window_bytes: Count
    reason: Reason = ""


# -- clients: Client <-> ingest node and coordinator ---------------------------------------------


class Push(Message):
    """A client hands points over; answered by `Pushed` once every one of them is settled."""

    any_numbers: ClassVar[bool] = True

    client: Name
    incarnation: Incarnation
    sequence: Count
    tensors: Tensors
    keys: Keys = ()


class Pushed(Message):
    """What became of the points of one push; ``busy``: nothing of it was taken, try again later."""

    sequence: Count
    accepted: Count
    duplicate: Count
    dead_lettered: Count
    busy: bool = False
    reason: Reason = ""
    """Why the first dead-lettered point was refused."""
    waiting: Count = 0
    """Points whose targets are to come."""


class StatusRequest(Message):
    """Anybody asks the coordinator how the cluster is."""


class StatusReply(Message):
    """The cluster's status as JSON, documented in docs/status.md."""

    status: Json


class DrainRequest(Message):
    """Somebody asks the coordinator to take a worker out of the cluster, see `Drain`."""

    name: Name
    deadline_s: Deadline
    points: Literal["keep", "move", "drop"]


class DrainReply(Message):
    """Whether the worker has been told to leave, and if not, why not."""

    accepted: bool
    reason: Reason = ""


class Shutdown(Message):
    """The cluster ends: workers that want to leave need not drain. Comes back once that is understood."""


class AddWorkers(Message):
    """Somebody asks the local supervisor (not the coordinator) to start more workers."""

    count: Count


class WorkersAdded(Message):
    """The workers that were started; none, and the reason, if that is not possible."""

    names: Names
    reason: Reason = ""


class ForgetWorker(Message):
    """Tells the local supervisor that a worker has left for good: it is not to be started again."""

    name: Name


class WorkerForgotten(Message):
    """Whether the supervisor had started a worker of that name."""

    known: bool


class PinVersion(Message):
    """Somebody asks the coordinator to make a version the current one and to keep it so; 0: to keep none any more."""

    version: Count


class PinReply(Message):
    """Which version is the current one now, and why that is not what was asked for."""

    version: Count
    reason: Reason = ""


class ModelRequest(Message):
    """A client asks for a model version (0: the current one)."""

    version: Count


class ModelReply(Message):
    """A published version with its metadata (JSON); ``version`` 0 and no tensors where there is none."""

    version: Count
    metadata: Json
    tensors: Tensors
