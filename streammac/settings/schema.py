"""All settings, their defaults, limits and meaning: the one place where they are defined.

`streammac.settings.sources` reads them from a TOML file, the environment and flags; the coordinator
hands the shared ones to every member. Durations end in ``_s`` (seconds), sizes in ``_bytes``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticKnownError

MOST_WORKERS = 10_000
"""Workers of one cluster."""
MOST = 10**9
"""Of anything that is counted: a larger number is a slip of the pen."""
Positive = Annotated[int, Field(ge=1, le=MOST)]
MOST_ROWS = 1 << 20
"""Rows of one matrix product, for which `streammac.points.range` vouches (this module loads no numpy)."""
Rows = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Bytes = Annotated[int, Field(ge=4096, le=1 << 40)]
Seconds = Annotated[float, Field(gt=0, le=1e9)]
Pause = Annotated[float, Field(ge=0.01, le=60)]
"""Time between two things that a process does again and again: neither a busy loop nor a standstill."""
Host = Annotated[str, Field(min_length=1, max_length=255)]
LEAST_REFRESH_S = 1.0
"""A shorter time is not even enough to measure a model."""
_BUDGET = 'expected a number of points or seconds, e.g. 20000 or "2s"'
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")


def visit_budget(value: int | str | None) -> tuple[int | None, float | None]:
    """Return what a visit budget allows: (points, seconds), None where there is no bound.

    >>> visit_budget(20000), visit_budget("500ms"), visit_budget(None)
    ((20000, None), (None, 0.5), (None, None))

    Raises
    ------
    ValueError
        If it is neither a number of points nor of seconds, or not more than nothing.
    """
    if value is None:
        return None, None
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
        if seconds > 0:
            return None, seconds
    elif (isinstance(value, int) or value.strip().isdecimal()) and int(value) > 0:
        return int(value), None
    raise ValueError(_BUDGET)


def duration_s(value: str | None) -> float | None:
    """Return the seconds of a duration; None of None.

    >>> duration_s("5s"), duration_s("500ms"), duration_s(None)
    (5.0, 0.5, None)

    Raises
    ------
    ValueError
        If it is none, or not more than nothing.
    """
    if value is None:
        return None
    seconds = None if value.strip().isdecimal() else visit_budget(value)[1]
    if seconds is None:
        raise ValueError('expected seconds, e.g. "5s"')
    return seconds


def _checked_duration(value: str | None) -> str | None:
    duration_s(value)
    return value


def _checked_refresh(value: str | None) -> str | None:
    if (duration_s(value) or 1e9) < LEAST_REFRESH_S:
        raise ValueError(f'expected at least "{LEAST_REFRESH_S:g}s"')
    return value


def _checked_budget(value: object) -> object:
    if isinstance(value, int | str) and not isinstance(value, bool):
        visit_budget(value)
    elif value is not None:
        raise ValueError(_BUDGET)
    return value


def _checked_options(options: dict[str, Any]) -> dict[str, Any]:
    for name in ("family", "bits"):
        if name in options:
            raise ValueError(f"expected no {name}: it is a key of its own, model.{name}")
    return options


def _types(annotation: Any) -> Iterator[Any]:
    """Yield the types that a setting may have, one by one."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _types(part)


class Section(BaseModel):
    """A table of the configuration file; an unknown key is an error, and so is `true`, or infinity, for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name is not None:
            types = set(_types(cls.model_fields[info.field_name].annotation))
            if not types & {bool, str} and types & {int, float}:
                raise PydanticKnownError("float_type" if float in types else "int_type")
        return value


class Cluster(Section):
    """Who takes part, and how they tell that others are alive."""

    workers: int = Field(
        3, ge=1, le=MOST_WORKERS, description="workers to start, and to wait for before training"
    )
    join_s: Seconds = Field(
        15.0,
        description="training begins with fewer when none has come for so long; not if deterministic",
    )
    seed: int = Field(0, ge=0, lt=1 << 63, description="seed of all shuffling")
    heartbeat_s: Pause = Field(0.5, description="seconds between two heartbeats")
    restart: Literal["always", "never"] = Field(
        "always",
        description="`streammac up` starts a process that died again, or stops the cluster in good order",
    )
    restart_budget: Positive = Field(
        10, description="restarts of one process within the window; after that it stays down"
    )
    restart_window_s: Seconds = Field(600.0, description="time for which a restart counts")


class Network(Section):
    """Where processes listen."""

    host: Host = Field(
        "127.0.0.1", description="interface to listen on; beyond loopback only with keys"
    )
    http_host: Host = Field(
        "127.0.0.1",
        description="interface of metrics and status: plain HTTP that anybody may ask",
    )
    http_names: tuple[Host, ...] = Field(
        (),
        description="names by which HTTP is asked, besides addresses, `localhost` and the machine's name",
    )
    insecure: bool = Field(
        False, description="listen beyond loopback without keys: whoever comes may do everything"
    )
    transport: Literal["zeromq", "mpi"] = Field(
        "zeromq",
        description="how tokens travel between workers; `mpi`: between those that MPI starts, the others by ZeroMQ",
    )
    coordinator_port: int = Field(0, ge=0, le=65535, description="control port, 0: any free one")
    http_port: int = Field(
        0, ge=0, le=65535, description="coordinator's HTTP port, 0: any free one"
    )


class Stream(Section):
    """What a point looks like; left out, the first points decide."""

    dim: Annotated[int, Field(ge=1, le=1 << 20)] | None = Field(None, description="length of x")
    dtype: Literal["float32", "uint8"] | None = Field(None, description="type of x as stored")
    targets: Annotated[int, Field(ge=0, le=1 << 20)] | None = Field(
        None, description="length of y; 0: y is left out, also where `dim` and `dtype` are given"
    )
    classes: Annotated[int, Field(ge=2, le=1 << 20)] | None = Field(
        None, description="y is one of so many classes, 0, 1, ...; left out, y is numbers"
    )

    late_targets: Annotated[str | None, AfterValidator(_checked_duration)] = Field(
        None,
        examples=["600s"],
        description="y may come so long after its point, under the same key; left out, with the point alone",
    )

    @field_validator("late_targets")
    @classmethod
    def _has_targets(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not (info.data.get("targets") or info.data.get("classes")):
            raise ValueError(
                "expected targets or classes beside it: what y is must be known before"
            )
        return value

    @field_validator("classes")
    @classmethod
    def _is_one_target(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("targets") not in (None, 1):
            raise ValueError("expected none beside targets, unless that is 1")
        return value


class Model(Section):
    """Which nested model is trained."""

    family: str = Field("binary_autoencoder", description="model family")
    bits: Positive | None = Field(
        None,
        examples=[32],
        description="length of the codes of a family that makes some; left out, its own default",
    )
    options: Annotated[dict[str, Any], AfterValidator(_checked_options)] = Field(
        default_factory=dict, description="further hyper-parameters of the family"
    )


class Training(Section):
    """How epochs run."""

    strategy: Literal["ring", "radon", "consensus"] = Field(
        "ring",
        description="how workers train one model: pieces travel and learn everywhere; or whole models learn apart and "
        "their Radon point is the model (few parameters only); or each worker steps along the gradient from a copy of "
        "its own and averages it with those of others",
    )
    height: int = Field(
        1, ge=1, le=4, description="rounds of Radon points, of the strategy `radon`"
    )
    backups: Literal["dynamic"] | Annotated[int, Field(ge=0, le=MOST_WORKERS)] = Field(
        "dynamic",
        description="how many others need not be waited for in an iteration, of the strategy `consensus`: so many (0: "
        "all are waited for), or as many as are late as long as all are connected within a few iterations",
    )
    minibatch: Rows = Field(
        512, description="points per SGD step, at most: small shards take fewer"
    )
    start_points: Positive = Field(
        1000, description="training begins when so many points are stored"
    )
    epochs: int = Field(
        0, ge=0, le=MOST, description="stop training after so many epochs, 0: never"
    )
    visit_budget: Annotated[int | str | None, BeforeValidator(_checked_budget)] = Field(
        None,
        description='bound of a visit: points (20000) or seconds ("2s"); none: the whole shard',
    )
    refresh: Annotated[str | None, AfterValidator(_checked_refresh)] = Field(
        None,
        description='points are in a published version after so long, e.g. "5s": visits take as long as that allows',
    )
    recency: float = Field(
        0.0, ge=0, le=1e3, description="preference for recent points under a budget"
    )
    growth: float = Field(
        2.0,
        gt=1,
        le=1e6,
        description="begin from new statistics when the data has grown by this factor, or was replaced so far",
    )
    renewal: Annotated[float, Field(gt=0, le=1e6)] = Field(
        0.25,
        description="train the model there is further when so large a share of new points has come",
    )
    rebalance: bool = Field(
        False, description="slow workers that have too many points hand some to fast ones"
    )
    deterministic: bool = Field(
        False, description="same data, same parameters: no time budgets, no restarts"
    )

    @field_validator("visit_budget", "refresh")
    @classmethod
    def _bounds_time_of_visits_alone(cls, value: Any, info: ValidationInfo) -> Any:
        bounds_time = info.field_name == "refresh" or visit_budget(value)[1] is not None
        if value is not None and bounds_time and info.data.get("strategy") == "consensus":
            raise ValueError(
                'expected none in seconds with training.strategy = "consensus", whose epochs are a number of steps - '
                "use a visit_budget in points"
            )
        return value

    @field_validator("deterministic")
    @classmethod
    def _waits_for_all(cls, value: bool, info: ValidationInfo) -> bool:
        averages = info.data.get("strategy") == "consensus"
        if value and averages and info.data.get("backups") != 0:
            raise ValueError(
                'expected false with training.strategy = "consensus", whose results depend on who is late - or use '
                "training.backups = 0"
            )
        return value

    @field_validator("refresh")
    @classmethod
    def _is_the_only_bound_of_time(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and visit_budget(info.data.get("visit_budget"))[1] is not None:
            raise ValueError("expected none beside a visit_budget in seconds")
        return value


class Store(Section):
    """The shards."""

    ack: Literal["memory", "file", "fsync"] = Field(
        "file", description="when a point counts as safe"
    )
    segment_bytes: Bytes = Field(64 << 20, description="size of a segment")
    retain_points: Positive | None = Field(None, description="points kept per worker")
    retain_bytes: Annotated[int, Field(ge=1, le=1 << 60)] | None = Field(
        None, description="bytes kept per worker"
    )
    retain_s: Seconds | None = Field(
        None, description="age up to which points are kept; it counts while their worker runs"
    )


class Ingest(Section):
    """Sources and flow control."""

    sources: tuple[str, ...] = Field((), description="URIs of the feeds")
    batch_points: Positive = Field(1024, description="points per batch")
    linger_s: Annotated[float, Field(gt=0, le=60)] = Field(
        0.02, description="longest wait for a batch to fill"
    )
    window_bytes: Bytes = Field(16 << 20, description="unacknowledged bytes per worker")
    resend_s: Annotated[float, Field(ge=0.05, le=3600)] = Field(
        5.0, description="an unacknowledged batch is sent again after so long"
    )
    record_bytes: int = Field(
        1 << 20, ge=16, le=1 << 30, description="largest record; larger ones are dead letters"
    )
    request_bytes: int = Field(
        64 << 20, ge=1024, le=1 << 30, description="largest push or HTTP request"
    )
    late_bytes: Bytes = Field(
        256 << 20, description="points per ingest node that wait for their targets, in bytes"
    )
    dead_letter_bytes: Bytes = Field(256 << 20, description="dead letters kept per ingest node")


class HeldOut(Section):
    """Points held out to measure every version."""

    share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.04,
        description="share of the feed that is held out; 2.5 times as much of each feed's or client's first 20,000",
    )
    points: Rows = Field(4096, description="held-out points kept for measuring")
    queries: Positive = Field(2000, description="of these, so many are used as queries")
    stored: Rows = Field(
        20_000, description="stored points per worker, on average, that queries look among"
    )
    measure: str | None = Field(
        None,
        description="leading measure, by which versions are compared; left out, the family's own",
    )


class Publish(Section):
    """Model versions."""

    keep: Positive = Field(10, description="newest versions kept on disk, besides the current one")
    interval_s: float = Field(
        0.5,
        ge=0,
        le=86400,
        description="shortest time between two versions, until the hash functions rest",
    )


class DriftDetection(Section):
    """Reaction to a feed that changes."""

    enabled: bool = Field(True, description="watch the error of new points for drift")
    delta: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.002, description="ADWIN's false alarm rate"
    )


class Logs(Section):
    """What processes write to their logs."""

    format: Literal["text", "json"] = Field(
        "text", description="lines for people, or one JSON object per line"
    )
    quiet: bool = Field(False, description="warnings and errors only")


class Settings(Section):
    """Everything, as in the configuration file: one field per table."""

    cluster: Cluster = Cluster()
    network: Network = Network()
    stream: Stream = Stream()
    model: Model = Model()
    training: Training = Training()
    store: Store = Store()
    ingest: Ingest = Ingest()
    held_out: HeldOut = HeldOut()
    publish: Publish = Publish()
    drift: DriftDetection = DriftDetection()
    logs: Logs = Logs()
