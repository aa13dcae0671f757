"""The cluster's status: one typed value, made by the coordinator and read by everybody who shows or measures a cluster.

docs/status.md says what each part means. Between processes and in files a status is JSON; only `to_json` and
`from_json` know that. What a status of an older coordinator lacks has a default here. Parts are structs and no
dataclasses, since one of them has another name in JSON.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

Tone = Literal["good", "warn", "bad", "none"]
Role = Literal["coordinator", "worker", "ingest"]
ChildState = Literal["running", "waiting", "down", "left"]
"""``waiting``: for its next start; ``down``: its budget is spent; ``left``: it ended as it was asked to."""

METHODS = ("model", "initial", "itq", "pca", "random")
"""What `Quality` compares of codes: the model first, the model from which training began, then the baselines."""
PROPERTIES = ("entropy", "least_entropy", "correlation", "largest_correlation")
"""What else `Quality` tells of the model, as far as its family knows it."""
HERE = ("joining", "alive", "draining")
LOST = ("lost", "silent")


class Event(msgspec.Struct, frozen=True):
    """Something that happened.

    Attributes
    ----------
    number : int
        Running number, from 1.
    time : float
        Seconds since 1970.
    kind : str
        One word (docs/status.md has the list).
    name : str
        The process it is about; empty where it is about the cluster.
    text : str
        For people; for ``lost`` the reason.
    seconds : float
        How long it took, where it took time.
    """

    number: int
    time: float
    kind: str
    name: str
    text: str
    seconds: float = 0.0


class Answer(msgspec.Struct, frozen=True):
    """The answer to one of the questions that people have: in a few words, in some more, and how good it is."""

    id: str
    question: str
    tone: Tone
    text: str
    more: str = ""


class ProcessStatus(msgspec.Struct, frozen=True):
    """What is told of workers and ingest nodes alike."""

    name: str
    pid: int = 0
    host: str = ""
    state: str = "alive"
    metrics_url: str | None = None

    @property
    def is_here(self) -> bool:
        """Return whether it takes part."""
        return self.state in HERE

    @property
    def is_lost(self) -> bool:
        """Return whether it died or hangs."""
        return self.state in LOST


class WorkerStatus(ProcessStatus, frozen=True):
    """A worker."""

    weight: float = 1.0
    points: int = 0
    busy_share: float = 0.0
    epoch: int = 0
    view: int = 0
    rate: float = 0.0
    hops: int = 0
    iterations: int = 0
    neighbours: float = 0.0
    train_s: float = 0.0
    z_step_s: float = 0.0
    failed_steps: int = 0
    holding: tuple[str, ...] = ()
    data: str | None = None

    @property
    def effort_s(self) -> float:
        """Return the seconds that it has computed in its epoch."""
        return self.train_s + self.z_step_s


class IngestStatus(ProcessStatus, frozen=True):
    """An ingest node."""

    http_url: str | None = None
    client: str | None = None
    finished: bool = False
    rate: float = 0.0
    first_ack_s: float = 0.0
    blocked_s: float = 0.0
    unacknowledged: int = 0
    revoked: int = msgspec.field(name="disowned", default=0)
    late: dict[str, int] = {}
    failed: tuple[str, ...] = ()


class PointCounts(msgspec.Struct, frozen=True):
    """What has become of every point."""

    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    stored: int = 0
    away: int = 0
    expired: int = 0
    dropped: int = 0
    damaged: int = 0
    waiting: int = 0


class FailureCounts(msgspec.Struct, frozen=True):
    """Processes lost, by reason."""

    crash: int = 0
    hang: int = 0
    drained: int = 0
    fenced: int = 0
    unreachable: int = 0

    @property
    def deaths(self) -> int:
        """Return how many died, or might as well have."""
        return self.crash + self.hang


class Recovery(msgspec.Struct, frozen=True):
    """How often the ring turned again after a loss, after how many seconds the last time, and all together."""

    count: int = 0
    last_s: float = 0.0
    seconds: float = 0.0


class Estimate(msgspec.Struct, frozen=True):
    """A mean over queries, and half the width of its 95 % confidence interval."""

    value: float
    margin: float


class Quality(msgspec.Struct, frozen=True):
    """The promoted version beside what it is compared with: held-out queries among the stored points.

    Attributes
    ----------
    metric : str
        The leading measure, in words.
    model : float
        Its value.
    others : dict
        Its value for all that the model is compared with, by name: baselines, and ``initial``, the model from which
        training began.
    titles : dict
        The names of these in words.
    itq, pca, random, initial : float
        Those of the others that models of codes have.
    points, queries : int
        How many points were looked through, and for how many queries.
    entropy, least_entropy : float
        Of the bits of codes: mean, and that of the least balanced one. None of what has no codes.
    version : int
        Which version it is of.
    correlation, largest_correlation : float
        Of two bits, without its sign.
    measure : str
        Name of the leading measure.
    measures : dict
        All measures: name to method to its estimate.
    """

    metric: str
    model: float
    itq: float | None = None
    pca: float | None = None
    random: float | None = None
    points: int = 0
    queries: int = 0
    entropy: float | None = None
    least_entropy: float | None = None
    version: int = 0
    initial: float | None = None
    correlation: float | None = None
    largest_correlation: float | None = None
    measure: str = ""
    measures: dict[str, dict[str, Estimate]] = {}
    others: dict[str, float] = {}
    titles: dict[str, str] = {}

    @property
    def methods(self) -> dict[str, float]:
        """The leading measure of the model and of all that it is compared with."""
        told = {name: getattr(self, name) for name in METHODS[1:]}
        known = {name: value for name, value in told.items() if value is not None}
        return {"model": self.model, **(self.others or known)}

    def estimates(self, measure: str = "") -> dict[str, Estimate]:
        """Return a measure of all methods; of the leading one, unless another is named."""
        return self.measures.get(measure or self.measure, {})


class Prequential(msgspec.Struct, frozen=True):
    """How the models did on new points before anything was trained on them: each point is predicted once.

    Attributes
    ----------
    points : int
        Points that were predicted.
    overall : dict
        Means over all of them, by the name that the model's family gives them.
    window_points, window
        The same over the newest ones.
    """

    points: int
    overall: dict[str, float]
    window_points: int
    window: dict[str, float]


class CoordinatorStatus(msgspec.Struct, frozen=True):
    """The coordinator's own process, and where it is reached.

    ``unsaved`` says what of its files cannot be written at present and why; empty: nothing.
    """

    pid: int = 0
    address: str = ""
    metrics_url: str = ""
    http_url: str = ""
    unsaved: str = ""


class ChildStatus(msgspec.Struct, frozen=True):
    """A process that the supervisor runs."""

    name: str
    role: Role
    pid: int | None = None
    state: ChildState = "running"
    restarts: int = 0
    budget_left: int = 0
    next_attempt_s: float | None = None
    reason: str = ""


class SupervisorStatus(msgspec.Struct, frozen=True):
    """What a supervisor tells of itself; it joins the status on the machine where it runs.

    ``unsaved`` is as of `CoordinatorStatus`.
    """

    name: str = "supervisor"
    pid: int = 0
    control: str = ""
    restart: str = ""
    started_s: float = 0.0
    restarts: int = 0
    processes: tuple[ChildStatus, ...] = ()
    events: tuple[Event, ...] = ()
    unsaved: str = ""


class ClusterStatus(msgspec.Struct, frozen=True):
    """How a cluster is.

    Attributes
    ----------
    answers : tuple of Answer
        What people ask first, as the coordinator sees it (`streammac.coordinator.health`).
    refresh_s : float or None
        What is promised for the two below (`training.refresh`); None: nothing is.
    freshness_s : float or None
        How long the oldest of the points had waited that are new in the newest version; None before the first one.
    unpublished_s : float
        Age of the oldest point that no version was trained with; 0: there is none.
    resting : str or None
        Why there are no epochs at present, although nothing is waited for: nothing is left to train.
    stale : bool
        The coordinator is away, and this is the last that it told; who shows it says so.
    """

    cluster: str = ""
    started_s: float = 0.0
    view: int = 0
    epoch: int = 0
    waiting: str | None = None
    resting: str | None = None
    points: PointCounts = PointCounts()
    workers: tuple[WorkerStatus, ...] = ()
    ingest: tuple[IngestStatus, ...] = ()
    refresh_s: float | None = None
    freshness_s: float | None = None
    unpublished_s: float = 0.0
    drift_events: int = 0
    failures: FailureCounts = FailureCounts()
    recovery: Recovery = Recovery()
    objective: float | None = None
    penalised: float | None = None
    violated: float | None = None
    left_out: int = 0
    named: dict[str, float | None] = {}
    mu: float | None = None
    age: int | None = None
    epoch_seconds: dict[str, float] = {}
    imbalance: float | None = None
    model_version: int = 0
    promoted: int = 0
    promotion: str = ""
    pinned: bool = False
    examined_s: float = 0.0
    first_model_s: float = 0.0
    quality: Quality | None = None
    prequential: Prequential | None = None
    coordinator: CoordinatorStatus = CoordinatorStatus()
    answers: tuple[Answer, ...] = ()
    events: tuple[Event, ...] = ()
    supervisor: SupervisorStatus | None = None
    stale: bool = False

    @property
    def begun(self) -> bool:
        """Return whether a coordinator has told of itself; before that, all there is comes from its supervisor."""
        return not self.stale or self.coordinator.pid > 0

    @property
    def members(self) -> list[WorkerStatus]:
        """Return the workers that take part."""
        return [worker for worker in self.workers if worker.is_here]

    @property
    def feeding(self) -> list[IngestStatus]:
        """Return the ingest nodes that are there."""
        return [node for node in self.ingest if node.state == "alive"]

    @property
    def point_rate(self) -> float:
        """Return the points that come in per second, as the ingest nodes tell it."""
        return sum(node.rate for node in self.feeding)

    @property
    def children(self) -> tuple[ChildStatus, ...]:
        """Return the processes that a supervisor on this machine runs."""
        return self.supervisor.processes if self.supervisor else ()

    @property
    def restarts(self) -> int:
        """Return how often a supervisor on this machine has started a process again."""
        return self.supervisor.restarts if self.supervisor else 0

    @property
    def running_since(self) -> float:
        """Return the Unix time of the start; a coordinator that was restarted knows its own only."""
        return self.supervisor.started_s if self.supervisor else self.started_s

    def newest_events(self, count: int) -> list[Event]:
        """Return the newest events of coordinator and supervisor, oldest first."""
        own = self.supervisor.events if self.supervisor else ()
        return sorted((*self.events, *own), key=lambda event: event.time)[-count:]

    def supervised(self, supervisor: SupervisorStatus | None) -> ClusterStatus:
        """Return the status with what the supervisor tells, if there is one."""
        return self if supervisor is None else replace(self, supervisor=supervisor)


def to_json(value: object, indent: int = -1) -> str:
    """Return a status or a part of one as JSON, compact without an indent.

    A number that JSON does not have (NaN, infinity) becomes null, one of numpy's a plain one.

    >>> to_json({"a": float("nan"), "b": [1, float("inf")]})
    '{"a":null,"b":[1,null]}'
    """
    encoded = msgspec.json.encode(value, enc_hook=_plain)
    return msgspec.json.format(encoded, indent=indent).decode()


def _plain(number: Any) -> object:
    return number.item()


def from_json(text: str | bytes) -> ClusterStatus:
    """Return the status that was `to_json`'s, perhaps an older one.

    Raises
    ------
    msgspec.DecodeError
        If it is none.
    """
    return msgspec.json.decode(text, type=ClusterStatus)
