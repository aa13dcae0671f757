"""``streammac chaos``: break a cluster on purpose, and see whether it keeps its promises.

`streammac.cli.app` hangs it into the command line; `streammac.chaos` does the work.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from streammac.cli.options import JsonOption, TransportName, TransportOption, number, seconds
from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from streammac.chaos.faults import Fault
    from streammac.chaos.testbed import Wanted
    from streammac.chaos.verdict import Evidence, Outcome, PointAudit
    from streammac.link.attached import Attached
    from streammac.run_directory import RunDirectory

    Count: TypeAlias = Callable[[], PointAudit | str]

FOR_S = 60.0
WORKERS = 4
RATE = 2000.0
LONGEST_INJECTION_S = 20.0
"""For the length of the feed: more than an injection takes by far."""
MARGIN_S = 120.0
SCRUB_S, SCRUB_BYTES = 2.0, 8 << 20
"""When workers that have just started have begun to read all of their points again, and how much a second."""
SETTLE_S = 15.0
"""The books of a cluster that goes on have so long to balance."""


def chaos(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A running cluster; else chaos starts its own."),
    ] = None,
    duration: Annotated[float | None, seconds("--for", "How long; 60 if not.")] = None,
    kills: Annotated[
        int | None, typer.Option("--kills", metavar="N", min=1, help="Until so many kill -9.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="FAULT", help="These faults alone.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=2, max=256, help="Workers of its own cluster.")
    ] = WORKERS,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", min=1, max=1e9, callback=number, help="Points per second, in its own cluster."
        ),
    ] = RATE,
    transport: TransportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Kill, stop, add and remove processes at random, let disks fill up and rot; then count every point."""
    from rich.console import Console

    from streammac.chaos.report import line, report
    from streammac.chaos.testbed import Wanted
    from streammac.chaos.verdict import complaints, to_json
    from streammac.terminal.render import glyphs_for

    weights = _weights(only)
    if duration is None and kills is None:
        duration = FOR_S
    console = Console()
    length = duration if duration is not None else (kills or 0) * LONGEST_INJECTION_S
    scratch = None if directory else Path(tempfile.mkdtemp(prefix="streammac-chaos-"))
    folder = directory or scratch
    assert folder is not None
    with (
        _terminable(),
        _field(
            folder, Wanted(workers, rate, transport or TransportName.ZEROMQ), length, seed, weights
        ) as (cluster, count),
    ):
        own = cluster.directory.root != folder
        weights = _possible(weights, cluster.directory, all_of_them=own or bool(only))
        began = time.monotonic()

        def show(outcome: Outcome) -> None:
            if not as_json:
                since = time.monotonic() - began
                console.print(f"{since:5.0f} s  {line(outcome)}", highlight=False, soft_wrap=True)

        evidence = _attack(cluster, weights, seed, duration, kills, show, count)
    if as_json:
        typer.echo(json.dumps(to_json(evidence), indent=1))
    else:
        console.print(report(evidence, glyphs_for(console)))
    if complaints(evidence):
        typer.echo(f"logs and points are left in {folder}", err=True)
        raise typer.Exit(ExitCode.NOT_KEPT)
    if scratch is not None:
        shutil.rmtree(scratch)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: nothing is left running, and nobody hanging."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _weights(only: list[str] | None) -> dict[Fault, int]:
    from streammac.chaos.faults import FAULT_WEIGHTS, Fault

    unknown = set(only or ()) - set(Fault)
    if unknown:
        raise typer.BadParameter(
            f"no fault {', '.join(sorted(unknown))}: there are {', '.join(Fault)}"
        )
    return {fault: times for fault, times in FAULT_WEIGHTS.items() if not only or fault in only}


def _possible(
    weights: dict[Fault, int], directory: RunDirectory, *, all_of_them: bool
) -> dict[Fault, int]:
    """Return the faults that can be injected there; somebody's cluster keeps its disk unless that is named."""
    from streammac.chaos.disk import has_own_file_system
    from streammac.chaos.faults import OF_THE_DISK, Fault

    kept = {f: times for f, times in weights.items() if all_of_them or f not in OF_THE_DISK}
    if Fault.FULL_DISK in kept and not has_own_file_system(directory):
        del kept[Fault.FULL_DISK]
        why = (
            f"full-disk is left out: {directory.root} has no file system of its own that could be "
            "filled up - mount one there; a cluster that chaos starts gets one if you are root"
        )
        if not kept:
            raise Failure(ExitCode.REFUSED, why)
        typer.echo(why, err=True)
    return kept


@contextmanager
def _field(
    folder: Path,
    wanted: Wanted,
    length_s: float,
    seed: int,
    weights: Mapping[Fault, int],
) -> Iterator[tuple[Attached, Count]]:
    """Return the cluster to attack, and what reads its books in the end."""
    from streammac.link.attached import Attached
    from streammac.run_directory import RunDirectory

    cluster = Attached(RunDirectory.open(folder))
    if cluster.address is not None:
        if cluster.supervisor_status() is None:
            raise Failure(
                ExitCode.REFUSED,
                f"no supervisor runs the cluster in {folder}: nothing that is killed would come "
                "back - start it with `streammac up`",
            )
        yield cluster, lambda: audit_of_a_running_one(cluster)
        return
    from streammac.chaos.faults import Fault
    from streammac.chaos.feed import NUMBERS
    from streammac.chaos.testbed import Testbed

    points = min(NUMBERS, int(wanted.rate * (length_s + MARGIN_S)))
    limited = Fault.FULL_DISK in weights
    with Testbed(folder, wanted, points, seed, limited=limited) as testbed:
        yield testbed.cluster, testbed.audit


def _attack(
    cluster: Attached,
    weights: dict[Fault, int],
    seed: int,
    duration: float | None,
    kills: int | None,
    show: Callable[[Outcome], None],
    count: Count,
) -> Evidence:
    from streammac.chaos.attack import Attack, restarts
    from streammac.chaos.faults import Fault, Plan
    from streammac.chaos.verdict import Evidence

    before = cluster.demand_status()
    attack = Attack(cluster, Plan(seed, len(before.workers), weights), show)
    began = time.monotonic()

    def ended() -> bool:
        late = duration is not None and time.monotonic() - began >= duration
        return late or (kills is not None and attack.kills >= kills)

    with contextlib.suppress(KeyboardInterrupt):  # enough: what has happened until now is told
        attack.run(ended)
    seconds = time.monotonic() - began
    if any(outcome.injection.fault is Fault.ROT for outcome in attack.outcomes):
        time.sleep(_scrub_s(cluster.directory))  # the books know by then
    after = attack.wait_whole(lambda _: True) or cluster.demand_status()
    restarted = {
        name: restarts(after, name) - restarts(before, name) - attack.injected[name]
        for name in (child.name for child in after.children)
    }
    return Evidence(
        seed=seed,
        seconds=seconds,
        outcomes=attack.outcomes,
        audit=count(),
        restarted={name: times for name, times in restarted.items() if times},
        epochs=(before.epoch, after.epoch),
        fenced=max(0, after.failures.fenced - before.failures.fenced - attack.hangs),
    )


def _scrub_s(directory: RunDirectory) -> float:
    """Return in how long a worker that has just started has read all of its points again."""
    shards = [shard.glob("*") for shard in directory.shards.glob("*")]
    most = max((sum(file.stat().st_size for file in files) for files in shards), default=0)
    return SCRUB_S + most / SCRUB_BYTES


def audit_of_a_running_one(cluster: Attached) -> PointAudit | str:
    """Return what a cluster tells that goes on, once nothing is missing but what is under way."""
    from streammac.chaos.verdict import PointAudit

    end = time.monotonic() + SETTLE_S
    while True:
        status = cluster.status()
        if status is not None:
            points = status.points
            expected = points.sent - points.dead_lettered
            stored = points.accepted - points.damaged
            difference = stored - expected
            # what comes in between two heartbeats is in some counts and not in others
            under_way = sum(int(node.unacknowledged + node.rate) for node in status.ingest)
            missing, twice = max(0, -difference), max(0, difference)
            audit = PointAudit(
                "status", expected, stored, missing, twice, under_way, points.damaged
            )
            differ = max(abs(missing - points.damaged), twice)
            if differ <= under_way or time.monotonic() > end:
                return audit
        elif time.monotonic() > end:
            return "the cluster does not answer"
        time.sleep(0.5)
