"""Workers that MPI starts: one job, whose host starts them as they are asked for.

`LocalCluster` uses it with ``network.transport = "mpi"``. MPI's starter runs a *host* alone (`workers.mpi_host`), which
starts workers inside the job; here each of them looks like a child process. How it fares is in its record, a file that
the shell writes in which it runs: its process, and how it ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streammac.errors import ExitCode, Failure
from streammac.run_directory import RunDirectory
from streammac.supervisor.mpi_starter import MISSING, ROOT, starter
from streammac.supervisor.processes import POLL_S, Child

LOG = "mpi.log"
"""What MPI itself has to say, beside the logs of the processes."""
LIFELINE = 9
"""The descriptor by which workers see that the supervisor is gone."""
END_S = 5.0
RECORD_S = 0.5
"""So long after its end it may take until that is in the record."""
BY_SIGNAL = 128
"""A shell adds it to the number of the signal that ended a process."""


class Order(msgspec.Struct, frozen=True):
    """A worker to be started.

    Attributes
    ----------
    name : str
        Its name.
    command : tuple of str
        Program and arguments.
    log : str
        Its output goes to the end of this file.
    record : str
        The file that says how it fares.
    lifeline : str
        What it opens as descriptor `LIFELINE`.
    """

    name: str
    command: tuple[str, ...]
    log: str
    record: str
    lifeline: str


class RankProcess:
    """A process that MPI started; to others it is what `subprocess.Popen` is.

    Parameters
    ----------
    record : Path
        Where its shell writes how it fares.
    job : subprocess.Popen
        What it does not outlive, as far as we know.
    log : Path
        Its own; if it was never started, that is said there.
    """

    def __init__(self, record: Path, job: subprocess.Popen[bytes], log: Path) -> None:
        self._record = record
        self._job = job
        self._log = log
        self._signals: list[int] = []
        """Sent before it was there."""
        self.returncode: int | None = None
        self.pid: int | None = None
        self._seen_at = time.monotonic()

    def poll(self) -> int | None:
        """Return how it ended, negative for a signal; None while it runs."""
        if self.returncode is None:
            over = self._job.poll() is not None
            self._look()
            if self.returncode is None and not self._runs(over=over):
                self._look()  # it may have been written meanwhile
                if self.returncode is None:
                    self._lost()
        return self.returncode

    def _lost(self) -> None:
        self.returncode = -signal.SIGKILL
        if self.pid is None:
            with contextlib.suppress(OSError), self._log.open("a") as log:
                log.write(
                    f"MPI ended before it started this worker, see {self._log.parent / LOG}\n"
                )

    def _look(self) -> None:
        try:
            numbers = [int(line) for line in self._record.read_text().splitlines()]
        except (OSError, ValueError):  # not yet
            return
        if numbers and numbers[0]:
            self.pid = numbers[0]
        if len(numbers) > 1:
            code = numbers[1]
            self.returncode = BY_SIGNAL - code if code > BY_SIGNAL else code
        elif self.pid is not None and self._signals:
            early, self._signals = self._signals, []
            for number in early:
                self.send_signal(number)

    def _runs(self, *, over: bool) -> bool:
        """Return whether it may still run: killed with its shell, it leaves no record of its end."""
        if self.pid is None:
            return not over
        if _exists(self.pid):
            self._seen_at = time.monotonic()
        return time.monotonic() - self._seen_at < RECORD_S

    def send_signal(self, number: int) -> None:
        """Send a signal; who is still being started gets it then."""
        if self.poll() is not None:
            return
        if self.pid is None:
            self._signals.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises
        ------
        subprocess.TimeoutExpired
            If it has not in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self._record), timeout or 0.0)
            time.sleep(POLL_S)
        return code


def _exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


class MpiJob:
    """One job of workers, started again when it is gone.

    Parameters
    ----------
    program : sequence of str
        What runs the single processes' commands.
    directory : RunDirectory
        The cluster's.
    lifeline, lock : int
        Descriptors: closes when we are gone; is held until the last process has ended.
    """

    def __init__(
        self, program: Sequence[str], directory: RunDirectory, lifeline: int, lock: int
    ) -> None:
        self._program = program
        self._directory = directory
        self._lifeline = f"/proc/{os.getpid()}/fd/{lifeline}"
        self._inherited = (lifeline, lock)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = starter()
        if command is None:
            raise Failure(ExitCode.CONFIGURATION, MISSING)
        log = self._directory.logs / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                [*command, "-n", "1", *self._program, "mpi-host", self._lifeline],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=self._inherited,
                start_new_session=True,
                env=os.environ | (ROOT if os.geteuid() == 0 else {}),
            )

    def start(self, name: str, command: Sequence[str], log: Path) -> Child:
        """Have a worker started.

        Raises
        ------
        OSError
            If nobody takes the order.
        """
        if self._process.poll() is not None:
            self._process = self._start()
        record = self._directory.processes / f"{name}.rank"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        order = Order(name, tuple(command), str(log), str(record), self._lifeline)
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return Child(name, RankProcess(record, self._process, log), log)

    def close(self) -> None:
        """End the job, when its workers have ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"\n")
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
