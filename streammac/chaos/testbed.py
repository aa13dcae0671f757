"""A cluster of chaos' own: a real ``streammac up`` under a steady feed, in a directory of its own.

``streammac chaos`` uses it where it is not pointed at a running cluster. Its feed is a file, which can be read again
from any position, so that the books have to be exact whoever dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streammac.chaos.disk import own_file_system
from streammac.chaos.feed import count, stored_numbers, write_feed
from streammac.chaos.verdict import PointAudit
from streammac.errors import ExitCode, Failure
from streammac.link.attached import Attached
from streammac.run_directory import RunDirectory

START_S = 60.0
END_S = 60.0
EPOCHS_FIRST = 3
"""Epochs that are done before the first injection."""
BITS = 8
SETTINGS = {
    "STREAMMAC_CLUSTER__RESTART_BUDGET": "1000000",
    "STREAMMAC_HELD_OUT__SHARE": "0.005",  # what the held-out sample lets go of could not be counted
    "STREAMMAC_STORE__ACK": "file",
    "STREAMMAC_STORE__SEGMENT_BYTES": str(1 << 20),  # some are sealed before the end
}
ROOM = 256 << 20
ROOM_FOR_POINTS = 3
"""Of a file system of its own: bytes, and times the feed's."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What kind of cluster chaos is to start.

    Attributes
    ----------
    workers : int
        How many.
    rate : float
        Points per second that it is fed.
    transport : str
        What tokens travel by.
    """

    workers: int
    rate: float
    transport: str = "zeromq"


class Testbed:
    """A cluster under load; starts when it is entered, and ends in good order.

    Parameters
    ----------
    folder : Path
        An empty or missing directory.
    wanted : Wanted
        What kind of cluster.
    points : int
        Length of the feed; more than will be read.
    seed : int
        Of the feed and of training.
    limited : bool
        Its run directory is to be a file system of its own, which can be filled up; it is not where that cannot be
        done, mostly for want of permission.
    """

    def __init__(
        self, folder: Path, wanted: Wanted, points: int, seed: int, *, limited: bool
    ) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise Failure(
                ExitCode.BAD_INPUT,
                f"{folder} is not empty, and no cluster runs there: name one that is, or none",
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder = folder.absolute()
        self.directory = RunDirectory(folder / "run")
        self.cluster = Attached(self.directory)
        self._wanted, self._seed, self._points = wanted, seed, points
        self._limited = limited
        self._stack = ExitStack()
        self._up: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Testbed:
        """Write the feed, start the cluster, wait until it trains.

        Raises
        ------
        Failure
            If it does not.
        """
        feed = self.folder / "feed.npy"
        write_feed(feed, self._points, self._seed)
        if self._limited:
            with suppress(OSError):
                size = ROOM + ROOM_FOR_POINTS * feed.stat().st_size
                self._stack.enter_context(own_file_system(self.directory.root, size))
        command = [sys.executable, "-m", "streammac", "up", "--no-ui"]
        command += ["--dir", str(self.directory.root), "--workers", str(self._wanted.workers)]
        command += ["--bits", str(BITS), "--source", f"{feed}?rate={self._wanted.rate:g}"]
        command += ["--transport", self._wanted.transport]
        command += ["--summary", str(self.folder / "summary.json")]
        settings = SETTINGS | {"STREAMMAC_CLUSTER__SEED": str(self._seed)}
        with (self.folder / "up.log").open("wb") as log:
            self._up = subprocess.Popen(
                command,
                env=os.environ | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,  # no settings file of the user's is meant
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while (status := self.cluster.status()) is None or status.epoch < EPOCHS_FIRST:
            if self._up.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Failure(
                    ExitCode.NOT_RUNNING, f"the cluster did not begin to train, see {log.name}"
                )
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        """End the cluster, if that has not happened yet."""
        with self._stack:
            self._end()

    def _end(self) -> int:
        assert self._up is not None
        if self._up.poll() is None:
            self._up.send_signal(signal.SIGINT)
        try:
            return self._up.wait(END_S)
        except subprocess.TimeoutExpired:
            self._up.kill()
            return self._up.wait()

    def audit(self) -> PointAudit | str:
        """End the cluster, and count the points on its disks; in words why not, if it did not end well."""
        code = self._end()
        try:
            summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        except (OSError, ValueError):
            summary = {"error": f"see {self.folder / 'up.log'}"}
        if code != ExitCode.OK:
            return f"the cluster ended with {code}: {summary['error']}"
        books = summary["points"]
        numbers = stored_numbers(self.directory)
        return count(numbers, books["sent"], books["expired"], books["damaged"])
