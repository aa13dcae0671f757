"""The name of a worker that nobody named: made from the host's, and kept beside its points.

``streammac worker --join ADDRESS`` asks for it. A name is how a worker gets its points back, so it has to be
the same whenever the process starts again in its directory.
"""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

from streammac.files.replace import replace
from streammac.names import plain
from streammac.run_directory import RunDirectory

FILE = "worker-name"
MOST_CHARACTERS = 40


def host_name(directory: Path) -> str:
    """Return the name of the worker of this directory: made at the first time, the same ever after."""
    path = directory / FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        host = plain(socket.gethostname().split(".")[0], "worker")
        # two directories on one host are two workers
        name = f"{host[:MOST_CHARACTERS]}-{uuid.uuid4().hex[:6]}"
        RunDirectory.create(directory)
        replace(path, f"{name}\n".encode())
        return name
