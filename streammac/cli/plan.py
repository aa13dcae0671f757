"""The command ``streammac plan``: how fast a ring would be. `streammac.cli.app` hangs it into the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streammac.cli.options import JsonOption, number, seconds
from streammac.errors import ExitCode, Failure

if TYPE_CHECKING:
    from rich.table import Table

    from streammac.models.base import Array
    from streammac.planning.constants import Constants, HopCost
    from streammac.planning.outlook import Outlook
    from streammac.planning.workload import Workload
    from streammac.points.block import PointBlock

MOST_COUNTS = 64
DEFAULT_WORKERS = "1,2,4,8,16,32,64,128"


def _counts(text: str) -> str:
    try:
        counts = [int(part) for part in text.split(",")] if len(text) < 1000 else []
    except ValueError:
        counts = []
    if not 1 <= len(counts) <= MOST_COUNTS:
        raise typer.BadParameter(f"expected numbers of workers, got {text[:80]!r} - e.g. 1,2,8")
    return text


def _units(text: str | None) -> str | None:
    if text is not None and not all(part.strip().isdecimal() for part in text.split(",")):
        raise typer.BadParameter(f"expected numbers of units, got {text[:80]!r} - e.g. 256,128")
    return text


def plan(
    vectors: Annotated[
        Path | None,
        typer.Argument(
            metavar="[VECTORS]",
            help="Measure on these (.npy, .npz, .fvecs, .bvecs, idx); else on points that are made up.",
        ),
    ] = None,
    points: Annotated[
        int | None, typer.Option("--points", min=1, help="Points of all workers together.")
    ] = None,
    dim: Annotated[int | None, typer.Option("--dim", min=1, help="Length of a vector.")] = None,
    bits: Annotated[
        int | None,
        typer.Option("--bits", min=1, show_default="32", help="Length of the codes."),
    ] = None,
    laps: Annotated[
        int | None,
        typer.Option("--laps", min=1, show_default="2", help="SGD passes per epoch."),
    ] = None,
    block_bits: Annotated[
        int | None,
        typer.Option("--block-bits", min=1, help="Bits per block; else as a ring chooses."),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers", metavar="UNITS", callback=_units, help="A deep net instead, e.g. 256,128."
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option("--classes", min=2, help="What the net tells; else its input."),
    ] = None,
    workers: Annotated[
        str, typer.Option("--workers", callback=_counts, help="Numbers of workers.")
    ] = DEFAULT_WORKERS,
    constants: Annotated[
        Path | None,
        typer.Option("--constants", metavar="FILE", help="Take what was measured before."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep what is measured now.")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            "--speed", min=1e-3, max=1e3, callback=number, help="So many times faster machines."
        ),
    ] = 1.0,
    hop: Annotated[float | None, seconds("--hop", "Latency of a hop; else this machine's.")] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            "--bandwidth",
            metavar="BYTES/S",
            min=1,
            max=1e15,
            callback=number,
            help="Of each worker's network; else this machine's.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say how fast a ring of so many workers would train: epoch, speed-up, refresh time, traffic."""
    from streammac.planning import constants as kept
    from streammac.planning.outlook import outlook
    from streammac.planning.workload import BadPlan, CodeWorkload, NetWorkload

    _check_kind(layers, codes=(bits, laps, block_bits), classes=classes)
    try:
        known = kept.read(constants) if constants is not None else None
        brought = _vectors(vectors) if vectors is not None else None
        x = brought.x if brought is not None else None
        count = points or (len(x) if x is not None else None)
        length = x.shape[1] if x is not None else dim or (known.dim if known else None)
        if count is None or length is None:
            raise typer.BadParameter("give --points and --dim, or a file of vectors")
        if dim not in (None, length):
            raise typer.BadParameter(f"--dim {dim}: the vectors have {length} numbers")
        workload: Workload
        if layers is None:
            workload = CodeWorkload(count, length, bits or 32, laps or 2, block_bits)
        else:
            units = tuple(int(part) for part in layers.split(","))
            workload = NetWorkload(count, length, units, classes or 0)
        asked = [int(part) for part in workers.split(",")]
        for one in asked:
            workload.check_workers(one)
        if known is None:
            known = _measured(workload, brought, asked)
        known.check(workload)
        if save is not None:
            kept.write(save, known)
        byte_s = None if bandwidth is None else 1 / bandwidth
        there = known.elsewhere(speed, hop, byte_s)
        found = list(outlook(workload, there, asked))
    except BadPlan as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None
    if as_json:
        _print_json(workload, there, found)
        return
    from rich.console import Console

    console = Console()
    console.print(_table(found))
    slices = workload.slices(max(asked))
    passes = f", an epoch works on one of {slices:,} slices" if slices > 1 else ""
    console.print(
        f"[dim]{count:,} points of {length:,}, {workload.what}{passes}; measured: {there.machine}, {there.vectors}[/]"
    )


def _check_kind(layers: str | None, codes: tuple[int | None, ...], classes: int | None) -> None:
    """Refuse options of another model."""
    if layers is not None and any(option is not None for option in codes):
        raise typer.BadParameter("--bits, --laps and --block-bits are of codes, --layers of a net")
    if layers is None and classes is not None:
        raise typer.BadParameter("--classes is of a net: give its --layers, too")


def _vectors(path: Path) -> PointBlock:
    from ingest.sources.array_files import read_arrays
    from ingest.sources.base import SourceError

    try:
        return read_arrays(path)
    except SourceError as error:
        raise Failure(ExitCode.BAD_INPUT, str(error)) from None


def _measured(workload: Workload, brought: PointBlock | None, workers: list[int]) -> Constants:
    """Measure the constants here, which takes some seconds."""
    import platform

    from rich.console import Console

    from streammac.planning.calibration import calibrate, narrowest, synthetic
    from streammac.points.block import PointBlock

    with Console(stderr=True).status("measuring on this machine"):
        points = PointBlock(synthetic(workload)) if brought is None else brought
        narrow = narrowest(workload, workers)
        return calibrate(workload, points.x, narrow, _hop(), platform.node(), _classes(points))


def _classes(points: PointBlock) -> Array | None:
    y = points.y
    return y if y is not None and y.size == len(points) and y.dtype.kind in "iuf" else None


def _hop() -> HopCost:
    """Measure a hop between two sockets of this machine."""
    from streammac.planning.hops import measure
    from streammac.security import open_context
    from workers.transports.zeromq import ZeroMQTransport

    with open_context(None, insecure=True) as context:
        here, there = ZeroMQTransport(context), ZeroMQTransport(context)
        try:
            return measure(here, there)
        finally:
            here.close()
            there.close()


COLUMNS = (
    "workers",
    "blocks",
    "epoch:\nformula",
    "\nsimulated",
    "speed-up:\nformula",
    "\nsimulated",
    "refresh",
    "sent, each",
)


def _table(found: list[Outlook]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for one in found:
        table.add_row(
            f"{one.workers:,}",
            f"{one.blocks:,}",
            _time(one.formula_s),
            _time(one.simulated_s),
            f"{one.formula_speedup:.2f}",
            f"{one.simulated_speedup:.2f}",
            _time(one.refresh_s),
            _size(one.sent_bytes),
        )
    return table


def _time(seconds: float) -> str:
    """Return a time with three digits.

    >>> _time(0.0123), _time(12.3), _time(12345.0)
    ('12.3 ms', '12.3 s', '3.43 h')
    """
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * size or (unit == "s" and seconds >= 1):
            return f"{seconds / size:.3g} {unit}"
    return f"{1000 * seconds:.3g} ms"


def _size(count: float) -> str:
    """Return a number of bytes with three digits.

    >>> _size(123.0), _size(1.5e6)
    ('123 B', '1.5 MB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.3g} B"


def _print_json(workload: Workload, there: Constants, found: list[Outlook]) -> None:
    from streammac.wire.status import to_json

    told: dict[str, Any] = {"workload": workload, "constants": there, "outlook": found}
    typer.echo(to_json(told, indent=1))
