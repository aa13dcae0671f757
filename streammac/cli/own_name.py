"""The name of a process that nobody named: made from the host's, and kept beside what the process has.

``streammac worker --join ADDRESS`` and ``streammac ingest --join ADDRESS`` ask for it. A name is how a process gets its
points back, so it has to be the same whenever it starts again in its directory, and nobody else's.
"""

from __future__ import annotations

import socket
import uuid
from pathlib import Path
from typing import Literal

from streammac.errors import ExitCode, Failure
from streammac.files.replace import replace
from streammac.names import BadName, check_name, plain
from streammac.run_directory import RunDirectory

MOST_CHARACTERS = 40
SUFFIX = {"worker": "", "ingest": "-ingest"}
"""A worker and an ingest node of one directory are two processes."""


def own_name(role: Literal["worker", "ingest"], directory: Path) -> str:
    """Return the name of the process of this directory: made at the first time, the same ever after.

    Raises
    ------
    Failure
        If the file that keeps it has none.
    """
    path = directory / f"{role}-name"
    try:
        return check_name(path.read_text().strip())
    except BadName as error:
        raise Failure(ExitCode.BAD_INPUT, f"{path}: {error}") from None
    except FileNotFoundError:
        host = plain(socket.gethostname().split(".")[0], role)
        # two directories on one host are two processes
        name = f"{host[:MOST_CHARACTERS]}-{uuid.uuid4().hex[:6]}{SUFFIX[role]}"
        RunDirectory.create(directory)
        replace(path, f"{name}\n".encode())
        return name
