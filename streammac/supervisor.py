"""A cluster on this machine: coordinator, workers and an ingest node as child processes.

``streammac up`` and ``streammac demo`` run a `LocalCluster` through `supervise`; benchmarks and
tests may use it alone. All processes start at once and find each other through the run directory;
they end from the front: ingest first, so that what was sent is acknowledged, then the workers, the
coordinator last.
"""

from __future__ import annotations

import fcntl
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import IO, Any

from streammac import processes
from streammac.config import Settings
from streammac.control import ask, ask_status
from streammac.exit_codes import ExitCode, Failure
from streammac.processes import Child, Lifeline
from streammac.run_directory import RunDirectory, write_json
from streammac.security import KeyFolder, refuse_open_host
from streammac.wire.messages import Shutdown

Status = dict[str, Any]

START_S = 30.0
"""Longest time from start to a coordinator that answers."""
STATUS_S = 0.5
"""Time between two looks at the cluster."""
SETTLE_S = 2.0
"""Longest wait for the last words of processes that have ended."""
INGEST_PATIENCE_S = 20.0
WORKER_PATIENCE_S = 15.0
COORDINATOR_PATIENCE_S = 20.0
STDIN = "stdin:"
"""Sources that begin so read standard input."""


@dataclass(slots=True)
class Interrupt:
    """What the user asked by Ctrl-C or SIGTERM: once to stop in good order, twice at once."""

    count: int = 0

    def __call__(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Count one more."""
        self.count += 1

    @property
    def requested(self) -> bool:
        """The cluster is to stop."""
        return self.count > 0

    def insisted(self) -> bool:
        """It is to stop at once."""
        return self.count > 1


@dataclass(slots=True)
class LocalCluster:
    """The processes of one cluster in one run directory.

    Parameters
    ----------
    directory : RunDirectory
        Where everything is; a cluster that ran there before goes on.
    settings : Settings
        Its settings.
    program : sequence of str
        What runs the single processes' commands.
    """

    directory: RunDirectory
    settings: Settings
    program: Sequence[str] = (sys.executable, "-m", "streammac")
    interrupt: Interrupt = field(default_factory=Interrupt)
    coordinator: list[Child] = field(default_factory=list)
    workers: list[Child] = field(default_factory=list)
    ingest: list[Child] = field(default_factory=list)
    address: str | None = None
    last: Status | None = None
    """The newest status while the cluster was running."""
    _lock: IO[str] | None = None
    _lifeline: Lifeline | None = None

    @property
    def children(self) -> list[Child]:
        """All processes, in the order in which they are ended."""
        return self.ingest + self.workers + self.coordinator

    def __enter__(self) -> LocalCluster:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, if that has not happened yet."""
        self.stop()

    # -- start ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start all processes; return without waiting for them.

        Raises
        ------
        Failure
            If a cluster runs in this directory already, or listening there takes keys.
        """
        directory = self.directory
        directory.root.mkdir(parents=True, exist_ok=True)
        network, keys = self.settings.network, KeyFolder(directory.keys).load()
        refuse_open_host(
            network.host, directory.keys, keyed=keys is not None, insecure=network.insecure
        )
        self._lock = self._take_lock()
        for stale in directory.processes.glob("*.json"):
            stale.unlink()
        write_json(directory.settings, self.settings.model_dump(mode="json"))
        self._lifeline = Lifeline()
        self.coordinator.append(self._spawn("coordinator"))
        for number in range(1, self.settings.cluster.workers + 1):
            self.workers.append(self._spawn("worker", f"w{number}"))
        reads = any(uri.startswith(STDIN) for uri in self.settings.ingest.sources)
        self.ingest.append(self._spawn("ingest", "i1", stdin=reads))

    def _take_lock(self) -> IO[str]:
        lock = self.directory.lock.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Failure(
                ExitCode.NOT_RUNNING,
                f"{self.directory.root}: a cluster runs there already - see `streammac status "
                f"--dir {self.directory.root}`, end it with Ctrl-C, or use another --dir",
            ) from None
        return lock

    def _spawn(self, role: str, name: str | None = None, *, stdin: bool = False) -> Child:
        assert self._lock is not None
        assert self._lifeline is not None
        # children inherit the lock: it is held until the last of them is gone
        inherited = (self._lifeline.reading, self._lock.fileno())
        command = [*self.program, role, "--dir", str(self.directory.root)]
        command += ["--lifeline", str(inherited[0])]
        if name is not None:
            network = self.settings.network
            command += ["--name", name, "--host", network.host, "--http-host", network.http_host]
            command += ["--insecure"] if network.insecure else []
        log = self.directory.logs / f"{name or role}.log"
        return processes.start(name or role, command, log, inherited, stdin=stdin)

    # -- while it runs --------------------------------------------------------------------

    def check(self) -> None:
        """Look whether all processes are alive.

        Raises
        ------
        Failure
            If one ended by itself.
        """
        for child in self.children:
            if child.exit_code is not None:
                self._died(child)

    def _died(self, child: Child) -> None:
        """React to the death of a process: the one place where that is decided."""
        raise Failure(ExitCode.PROCESS_DIED, child.obituary())

    def status(self) -> Status | None:
        """Return the cluster's status, or None while the coordinator does not answer."""
        if self.address is None:
            announced = self.directory.announced("coordinator")
            self.address = announced["control"] if announced else None
        if self.address is None:
            return None
        status = ask_status(self.address, keys=self.directory.keys)
        self.last = status or self.last
        return status

    # -- stop -----------------------------------------------------------------------------

    def stop(self) -> Status | None:
        """End all processes in good order; return the final status, with everybody's last words.

        Processes that do not end in time are killed; what was acknowledged is safe all the same.
        """
        hurry = self.interrupt.insisted
        final = None
        processes.end(self.ingest, INGEST_PATIENCE_S, hurry)
        announced = self.directory.announced("coordinator")
        if announced is not None:  # workers need not leave one by one
            ask(announced["control"], Shutdown(), Shutdown, SETTLE_S, self.directory.keys)
        processes.end(self.workers, WORKER_PATIENCE_S, hurry)
        if self.coordinator and self.coordinator[0].exit_code is None:
            final = self._last_words()
        processes.end(self.coordinator, COORDINATOR_PATIENCE_S, hurry)
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        return final or self.last

    def _last_words(self) -> Status | None:
        """Return the status once the coordinator has read the farewells of all others."""
        if self.address is None:
            return None
        deadline = time.monotonic() + SETTLE_S
        while True:
            status = ask_status(self.address, keys=self.directory.keys)
            members = status["workers"] + status["ingest"] if status else []
            talking = any(member["state"] == "alive" for member in members)
            if not talking or time.monotonic() > deadline or self.interrupt.insisted():
                return status
            time.sleep(processes.POLL_S)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of a cluster came to."""

    status: Status | None
    """Final status, counts as they are after everybody's last words."""
    running: Status | None
    """The last status while all were at work: busy shares mean something in it."""
    started: float
    """Unix time of the start."""
    seconds: float
    failure: Failure | None = None


def supervise(
    cluster: LocalCluster,
    show: Callable[[Status | None, float], None],
    duration_s: float | None = None,
    began: float | None = None,
) -> Run:
    """Run a cluster until the time is over, the user interrupts it, or a process dies.

    Parameters
    ----------
    cluster : LocalCluster
        Not started yet.
    show : callable
        Is given the status (None before the first) and the seconds since the start, twice a second.
    duration_s : float, optional
        How long; without it, until Ctrl-C or SIGTERM.
    began : float, optional
        Unix time at which the user asked for the cluster, if that was before this call.

    Raises
    ------
    Failure
        If a cluster runs in that directory already. Later failures are in the result, so that
        there is one to be summed up.
    """
    started = began or time.time()
    first = time.monotonic() - (time.time() - started)
    failure: Failure | None = None
    running: Status | None = None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, cluster.interrupt)
    try:
        cluster.start()
        while not cluster.interrupt.requested:
            elapsed = time.monotonic() - first
            if duration_s is not None and elapsed >= duration_s:
                break
            cluster.check()
            status = cluster.status()
            if status is None and cluster.last is None and elapsed > START_S:
                raise Failure(
                    ExitCode.NOT_RUNNING,
                    f"the coordinator does not answer after {START_S:.0f} s; see "
                    f"{cluster.directory.logs}",
                )
            running = status or running
            show(status, elapsed)
            left = STATUS_S if duration_s is None else min(STATUS_S, duration_s - elapsed)
            _doze(max(0.0, left) if status else processes.POLL_S, cluster.interrupt)
    except Failure as error:
        if not cluster.children:
            raise
        failure = error
    finally:
        final = cluster.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return Run(final, running, started, time.time() - started, failure)


def _doze(seconds: float, interrupt: Interrupt) -> None:
    """Sleep, but not through an interrupt (Python goes on sleeping after a signal handler)."""
    end = time.monotonic() + seconds
    while not interrupt.requested and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
