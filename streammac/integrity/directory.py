"""A whole run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from streammac.errors import ExitCode, Failure
from streammac.files.lock import Locked, lock
from streammac.files.replace import SCRATCH
from streammac.integrity.documents import check_documents, check_format
from streammac.integrity.finding import Finding
from streammac.integrity.ledgers import check_ledgers
from streammac.integrity.models import check_models
from streammac.integrity.shards import check_shards
from streammac.run_directory import RunDirectory

CHECKS = (check_documents, check_ledgers, check_shards, check_models)


def check(directory: RunDirectory, *, repair: bool = False) -> Iterator[Finding]:
    """Yield what is not as it should be, file by file.

    Raises
    ------
    Failure
        If there is no run directory, or processes use it.
    """
    if not directory.root.is_dir():
        raise Failure(ExitCode.BAD_INPUT, f"{directory.root}: no such directory")
    with _alone(directory):
        yield from check_format(directory, repair=repair)
        for part in CHECKS:
            yield from part(directory, repair=repair)
        for path in sorted(directory.root.rglob("*" + SCRATCH)):
            if repair:
                path.unlink()
            yield Finding(
                str(path.relative_to(directory.root)),
                "was not in place yet when its process ended",
                "repair: is removed",
                harmless=True,
                repaired=repair,
            )


@contextmanager
def _alone(directory: RunDirectory) -> Iterator[None]:
    """Keep the processes of the directory away as long as it is looked at."""
    locks = [directory.lock, *sorted(directory.processes.glob("*.lock"))]
    with ExitStack() as stack:
        for path in locks:
            try:
                if path.exists():
                    stack.enter_context(lock(path))
            except Locked:
                raise Failure(
                    ExitCode.NOT_RUNNING,
                    f"{directory.root}: processes of a cluster use it - stop them first",
                ) from None
        yield
