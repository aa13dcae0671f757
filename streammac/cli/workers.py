"""``streammac workers add | remove | list``: a running cluster grows and shrinks.

`streammac.cli.app` hangs them into the command line. ``add`` asks the supervisor of the run directory, ``remove`` the
coordinator; both say what happened, or why it cannot happen and what to do instead.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streammac.cli.options import (
    DEFAULT_DIRECTORY,
    DirectoryOption,
    JoinOption,
    JsonOption,
    seconds,
)
from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from streammac.link.attached import Attached
    from streammac.wire.status import ClusterStatus, WorkerStatus

workers = typer.Typer(help="The workers of a running cluster.", no_args_is_help=True)

MOST = 1000
"""More than this are not even asked for."""
MOST_DEADLINE_S = 1e6
DEADLINE_S = 60.0
"""Time that a worker has for leaving, unless somebody says otherwise."""
FAREWELL_S = 15.0
"""After its deadline, so long is waited for its goodbye."""
POLL_S = 0.1


@workers.command("add")
def add(
    count: Annotated[int, typer.Argument(metavar="[N]", min=1, max=MOST, help="How many.")] = 1,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
) -> None:
    """Start more workers; they take points at once, and train from the next epoch on."""
    from streammac.wire.messages import AddWorkers, WorkersAdded

    cluster = _attached(directory, None)
    answer = cluster.ask_supervisor(AddWorkers(count), WorkersAdded)
    if answer is None:
        address = cluster.address
        if address is None:
            raise cluster.absent()
        raise Failure(
            ExitCode.REFUSED,
            f"no supervisor runs the cluster in {directory}: start workers yourself, with "
            f"`streammac worker --join {address} --dir DIR`, each in a directory of its own",
        )
    if not answer.names:
        raise Failure(ExitCode.REFUSED, answer.reason)
    typer.echo(f"started {', '.join(answer.names)}")


@workers.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which worker.")],
    deadline: Annotated[
        float, seconds("--deadline", "It ends after so long.", MOST_DEADLINE_S)
    ] = DEADLINE_S,
    move_data: Annotated[
        bool, typer.Option("--move-data", help="Its points go to the other workers.")
    ] = False,
    drop_data: Annotated[
        bool, typer.Option("--drop-data", help="Its points are given up.")
    ] = False,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    join: JoinOption = None,
) -> None:
    """Let a worker leave in good order; without an option its points wait in its directory."""
    from streammac.wire.fields import MAX_DEADLINE_S
    from streammac.wire.messages import DrainReply, DrainRequest, ForgetWorker, WorkerForgotten

    if not deadline <= MAX_DEADLINE_S:  # nor is NaN
        raise typer.BadParameter(f"--deadline: expected 0 to {MAX_DEADLINE_S:.0f} s")
    if move_data and drop_data:
        raise typer.BadParameter("--move-data and --drop-data exclude each other")
    points: Literal["keep", "move", "drop"] = (
        "move" if move_data else "drop" if drop_data else "keep"
    )
    cluster = _attached(directory, join)
    answer = cluster.ask(DrainRequest(name, deadline, points), DrainReply)
    if not answer.accepted:
        raise Failure(ExitCode.REFUSED, answer.reason)
    after = _wait_until_left(cluster, name, deadline)
    if points != "keep" and not _points_of(after, name):
        cluster.ask_supervisor(ForgetWorker(name), WorkerForgotten)
    typer.echo(exit_message(after, name, directory))


def exit_message(status: ClusterStatus, name: str, directory: Path) -> str:
    """Return what became of a worker that has left, and of its points; the coordinator tells it."""
    texts = [e.text for e in status.events if (e.kind, e.name) == ("left", name)]
    text = ": ".join([f"{name} has left", *texts[-1:]])
    if not _points_of(status, name):
        return text
    back = f"`streammac worker --name {name} --dir {directory}`, or the next `streammac up`"
    return f"{text} - {back}, brings them back"


def _wait_until_left(cluster: Attached, name: str, deadline_s: float) -> ClusterStatus:
    """Return the status once a worker has left; meanwhile show how many points it holds."""
    from rich.console import Console

    end = time.monotonic() + deadline_s + FAREWELL_S
    with Console(stderr=True).status(f"{name} leaves") as shown:
        while time.monotonic() < end:
            status = cluster.status()
            worker = _find(status, name) if status else None
            if status is None or worker is None:  # the coordinator is away, or has forgotten it
                pass
            elif worker.state == "left":
                return status
            elif not worker.is_here:
                raise Failure(
                    ExitCode.PROCESS_DIED,
                    f"{name} died while it was leaving; its points wait in its directory",
                )
            else:
                shown.update(f"{name} leaves: {worker.points:,} points are still there")
            time.sleep(POLL_S)
    raise Failure(
        ExitCode.REFUSED, f"{name} has not left within {deadline_s:.0f} s - see its log, or kill it"
    )


def _points_of(status: ClusterStatus, name: str) -> int:
    worker = _find(status, name)
    return worker.points if worker else 0


def _find(status: ClusterStatus, name: str) -> WorkerStatus | None:
    return next((worker for worker in status.workers if worker.name == name), None)


@workers.command("list")
def list_workers(
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    join: JoinOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the workers, also those that left or died, and what their supervisor does about it."""
    rows = listing(_attached(directory, join).demand_status())
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("worker", "state", "points", "pid", "host", "restarts", "supervised"):
        table.add_column(
            title, justify="right" if title in ("points", "pid", "restarts") else "left"
        )
    for row in rows:
        points = "-" if row["points"] is None else f"{row['points']:,}"
        cells = (row["pid"], row["host"], row["restarts"], row["supervised"])
        table.add_row(
            row["name"],
            row["state"],
            points,
            *("-" if cell is None else str(cell) for cell in cells),
        )
    Console().print(table)


def listing(status: ClusterStatus) -> list[dict[str, Any]]:
    """Return a row per worker that the coordinator or the supervisor knows."""
    kept = {child.name: child for child in status.children if child.role == "worker"}
    known = {worker.name: worker for worker in status.workers}
    rows = []
    for name in sorted(known.keys() | kept.keys(), key=lambda name: (len(name), name)):
        worker, child = known.get(name), kept.get(name)
        process = worker or child
        rows.append(
            {
                "name": name,
                "state": worker.state if worker else "unknown",
                "points": worker.points if worker else None,
                "pid": process.pid if process else None,
                "host": worker.host if worker else None,
                "restarts": child.restarts if child else None,
                "supervised": child.state if child else None,
            }
        )
    return rows


def _attached(directory: Path, join: str | None) -> Attached:
    from streammac.link.attached import Attached
    from streammac.run_directory import RunDirectory

    return Attached(RunDirectory.open(directory), join)
