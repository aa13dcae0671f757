"""A cluster on this machine: coordinator, workers and an ingest node as child processes.

``streammac up`` and ``streammac demo`` run a `LocalCluster` through `run.supervise`; benchmarks
and tests may use it alone. All processes start at once, as `command_lines` says, and find each other through the run
directory. One that dies is started again on its own directory, as `restart_policy` allows. `ending` ends them.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from msgspec.structs import replace

from streammac.errors import ExitCode, Failure
from streammac.files import document
from streammac.files.lock import Locked, lock
from streammac.link.interrupt import Interrupt
from streammac.link.request import Asker
from streammac.run_directory import RunDirectory
from streammac.security import KeyFolder, refuse_open_host
from streammac.settings.schema import Settings
from streammac.supervisor import ending
from streammac.supervisor.announcement import Announcement
from streammac.supervisor.command_lines import reads_stdin
from streammac.supervisor.launcher import Launcher
from streammac.supervisor.requests import SupervisorSocket
from streammac.supervisor.restart_policy import RestartPolicy
from streammac.supervisor.roster import Roster
from streammac.supervisor.supervised_process import SupervisedProcess
from streammac.wire.codec import Message
from streammac.wire.messages import AddWorkers, ForgetWorker, WorkerForgotten, WorkersAdded
from streammac.wire.status import ClusterStatus, Role, SupervisorStatus

ANSWER_S = 1.0
"""So long the coordinator's status is waited for; nothing is restarted meanwhile."""
MOST_WORKERS = 256
"""Workers of one supervisor."""


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
    coordinator: list[SupervisedProcess] = field(default_factory=list)
    workers: list[SupervisedProcess] = field(default_factory=list)
    ingest: list[SupervisedProcess] = field(default_factory=list)
    address: str | None = None
    last: ClusterStatus | None = None
    """The newest status while the cluster was running."""
    _asker: Asker = field(init=False)
    _roster: Roster | None = None
    _announcement: Announcement | None = None
    _socket: SupervisorSocket | None = None
    _lock: IO[bytes] | None = None
    _launcher: Launcher | None = None

    def __post_init__(self) -> None:
        """Ask with the directory's keys."""
        self._asker = Asker(self.directory.keys)

    @property
    def children(self) -> list[SupervisedProcess]:
        """All processes, in the order in which they are ended."""
        return self.ingest + self.workers + self.coordinator

    def __enter__(self) -> LocalCluster:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, if that has not happened yet."""
        self.stop()

    # -- start ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start all processes; return without waiting for them.

        Raises
        ------
        Failure
            If a cluster runs in this directory already, it has another format, or listening there takes keys.
        """
        directory = RunDirectory.create(self.directory.root)
        network, keys = self.settings.network, KeyFolder(directory.keys).load()
        refuse_open_host(
            network.host, directory.keys, keyed=keys is not None, insecure=network.insecure
        )
        self._lock = self._take_lock()
        for stale in directory.processes.glob("*.json"):
            stale.unlink()
        document.save(directory.settings, self.settings.model_dump(mode="json"), keep_former=True)
        self._roster = Roster.load(directory.roster, self.settings.cluster.workers)
        self._roster.save()
        self._launcher = Launcher(directory, self.settings, self.program, self._lock.fileno())
        self.coordinator.append(self._keep("coordinator", "coordinator"))
        for name in self._roster.names:
            self.workers.append(self._keep("worker", name))
        self.ingest.append(self._keep("ingest", "i1"))
        self._socket = SupervisorSocket()
        restart = self.settings.cluster.restart
        self._announcement = Announcement(directory, restart, self._socket.address)
        if self._roster.damage:
            self._note("damaged", "", self._roster.damage)
        self._announce()

    def _take_lock(self) -> IO[bytes]:
        try:
            return lock(self.directory.lock)
        except Locked:
            raise Failure(
                ExitCode.NOT_RUNNING,
                f"{self.directory.root}: a cluster runs there already - see `streammac status "
                f"--dir {self.directory.root}`, end it with Ctrl-C, or use another --dir",
            ) from None

    def _keep(self, role: Role, name: str) -> SupervisedProcess:
        cluster = self.settings.cluster
        policy = RestartPolicy(cluster.restart_budget, cluster.restart_window_s)
        assert self._launcher is not None
        spawn = functools.partial(self._launcher.start, role, name)
        return SupervisedProcess.start(name, role, spawn, policy, time.monotonic())

    # -- while it runs --------------------------------------------------------------------

    def step(self, wait_s: float = 0.0) -> None:
        """Start again who has died, tell what is new, wait so long for requests; call it often.

        Raises
        ------
        Failure
            If a process ended that is not to be started again, and without which there is no cluster.
        """
        now = time.monotonic()
        for kept in self.children:
            if kept.just_ended:
                kept.ended(now)
                self._ended(kept)
            elif kept.due(now):
                kept.restart(now)
                self._restarted(kept)
        self._announce()
        if self._socket is not None:
            self._socket.serve(wait_s, self._answer)

    def _ended(self, kept: SupervisedProcess) -> None:
        """React to the end of a process: the one place where that is decided."""
        never = self.settings.cluster.restart == "never"
        if kept.role == "coordinator" and kept.state in ("left", "down"):
            # who ended in good order has told all others to end, too
            raise Failure(ExitCode.PROCESS_DIED, self._exit_message(kept))
        if kept.state == "left":
            self._note("process_left", kept.name, "ended as it was asked to, and stays away")
        elif never or kept.is_non_retryable:
            raise Failure(ExitCode.PROCESS_DIED, kept.child.exit_message())
        elif kept.state == "down":
            self._note("process_down", kept.name, self._exit_message(kept))
        else:
            self._note("process_died", kept.name, f"ended with {kept.reason}; it is restarted")

    def _exit_message(self, kept: SupervisedProcess) -> str:
        window_s = self.settings.cluster.restart_window_s
        spent = f"{kept.policy.budget} restarts within {window_s:.0f} s did not help: "
        tried = kept.state == "down" and not kept.is_non_retryable
        return (spent if tried else "") + kept.child.exit_message()

    def _restarted(self, kept: SupervisedProcess) -> None:
        if kept.state != "running":
            self._ended(kept)
            return
        lost = "; what it had read of standard input and not stored yet is lost"
        text = f"restart {kept.policy.restarts}, {kept.policy.left(time.monotonic())} are left"
        reads = reads_stdin(kept.role, self.settings)
        self._note("process_restarted", kept.name, text + (lost if reads else ""))

    def _note(self, kind: str, name: str, text: str) -> None:
        assert self._announcement is not None
        self._announcement.note(kind, name, text)

    def _announce(self) -> SupervisorStatus | None:
        if self._announcement is None:
            return None
        now = time.monotonic()
        kept = self.coordinator + self.workers + self.ingest
        return self._announcement.update(one.status(now) for one in kept)

    def status(self) -> ClusterStatus | None:
        """Return the cluster's status, or None while the coordinator does not answer."""
        # who is not there yet, or not any more, is not asked: nobody would be restarted meanwhile
        if self.coordinator[0].exit_code is not None:
            return None
        address = self._find()
        if address is None:
            return None
        status = self._asker.status(address, ANSWER_S)
        if trouble := self._asker.news():
            self._note("keys_unreadable", "", f"{trouble}; those that were read before are used")
        if status is not None:
            self.last = status = status.supervised(self._announce())
        return status

    def _find(self) -> str | None:
        """Return where the coordinator listens, None if it never said so."""
        announced = self.directory.announced("coordinator")
        # one that came back on a full disk is where it was, and could not say so
        self.address = announced["control"] if announced else self.address
        return self.address

    def last_known(self) -> ClusterStatus:
        """Return the newest status, one of nothing before there is any, and what the supervisor knows now."""
        return replace(self.last or ClusterStatus(), supervisor=self._announce(), stale=True)

    # -- requests -------------------------------------------------------------------------

    def _answer(self, request: Message) -> Message | None:
        match request:
            case AddWorkers():
                return self._add(request.count)
            case ForgetWorker():
                return self._forget(request.name)
        return None

    def _add(self, count: int) -> WorkersAdded:
        assert self._roster is not None
        room = MOST_WORKERS - len(self.workers)
        if not 1 <= count <= room:
            return WorkersAdded((), f"expected 1 to {room} more workers, got {count}")
        known = {worker.name for worker in self.last.workers} if self.last else set()
        known |= {path.name for path in self.directory.shards.glob("*")}
        names = self._roster.add(count, known | {kept.name for kept in self.workers})
        try:
            self._roster.save()  # first of all: the next `up` has to know whom it starts
            started = [self._keep("worker", name) for name in names]
        except OSError as error:
            for name in names:
                self._roster.forget(name)
            self._save_roster()
            return WorkersAdded((), f"no worker can be started here now: {error}")
        self.workers += started
        for name in names:
            self._note("process_added", name, "was asked for")
        self._announce()
        return WorkersAdded(tuple(names))

    def _save_roster(self) -> None:
        assert self._roster is not None
        assert self._announcement is not None
        self._announcement.writes.do("workers.json", self._roster.save)

    def _forget(self, name: str) -> WorkerForgotten:
        assert self._roster is not None
        known = self._roster.forget(name)
        self._save_roster()
        return WorkerForgotten(known)

    # -- stop -----------------------------------------------------------------------------

    def stop(self) -> ClusterStatus | None:
        """End all processes in good order; return the final status, with everybody's last words.

        Processes that do not end in time are killed; what was acknowledged is safe all the same.
        """
        if self._lock is None:
            return self.last  # never started, or stopped already: another cluster may run here
        self._look()
        parts = (self.ingest, self.workers, self.coordinator)
        final = ending.end(*parts, self._asker, self._find(), hurry=lambda: self.interrupt.insisted)
        if final is not None:
            final = final.supervised(self._announce())
        self._release()
        return final or self.last

    def _look(self) -> None:
        """Take notice of who has ended since the last turn: not because they are asked to now."""
        now = time.monotonic()
        for kept in self.children:
            if kept.just_ended:
                kept.ended(now)
            elif kept.exit_code is None:
                kept.policy.look(now)

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._announcement is not None:
            self._announcement.close()
            self._announcement = None
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
