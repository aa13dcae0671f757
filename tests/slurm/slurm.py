"""A real Slurm of three nodes on this machine: its daemons, one of them per node, and its commands.

Each node has a network and a name of its own (`tests.hosts.network`), else MPI takes all for one host; the process that
makes a `Slurm` is where its controller is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

import pytest

from streammac.supervisor.mpi_starter import starter
from tests.hosts.network import LAPTOP, Network
from tests.patience import PATIENCE_S

NODES = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"}
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue")
END_S = 5.0
CONFIGURATION = """
ClusterName=streammac
SlurmctldHost=laptop(10.0.0.9)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MessageTimeout=60
SlurmdTimeout=10
KillWait=20
NodeName=n1 NodeAddr=10.0.0.1 CPUs=8
NodeName=n2 NodeAddr=10.0.0.2 CPUs=8
NodeName=n3 NodeAddr=10.0.0.3 CPUs=8
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def unavailable(what: str) -> NoReturn:
    if "slurm" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
        pytest.fail(f"{what}, but STREAMMAC_REQUIRE names slurm")
    pytest.skip(what)


class Slurm:
    """The daemons, as long as they run; a context manager."""

    def __init__(self) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            unavailable(f"there is no {', '.join(missing)} (Debian: slurm-wlm, munge)")
        if os.geteuid() != 0:
            unavailable("its daemons are started as root")
        self.root = Path(tempfile.mkdtemp(prefix="slurm"))  # the path of a socket has to be short
        (self.root / "hosts").mkdir()
        self.network = Network(self.root / "hosts", NODES | {LAPTOP: "10.0.0.9"})
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")}

    def __enter__(self) -> Slurm:
        with ExitStack() as stack:
            stack.push(self.__exit__)
            self.network.__enter__()
            self._begin()
            stack.pop_all()
        return self

    def _begin(self) -> None:
        self._munge()
        (self.root / "slurm.conf").write_text(CONFIGURATION.format(root=self.root))
        (self.root / "state").mkdir()
        self._start("unshare", *named(LAPTOP, "slurmctld -D -c"))
        for node in NODES:
            (self.root / f"spool-{node}").mkdir()
            self.start_node(node)
        end = time.monotonic() + PATIENCE_S
        while self.run("sinfo", "--noheader", "--format=%t %D").split() != ["idle", "3"]:
            if time.monotonic() > end:
                unavailable(f"Slurm does not come up: {self.run('sinfo')}{self._log()}")
            time.sleep(0.2)

    def start_node(self, node: str) -> None:
        """Start a node's daemon, in its network."""
        namespace = f"--net=/run/netns/{self.network[node].namespace}"
        self._start("nsenter", namespace, "unshare", *named(node, f"slurmd -D -N {node}"))

    def lose_node(self, node: str) -> None:
        """Kill all that runs on a node at once: its daemon, and the steps of its jobs."""
        processes = ["ip", "netns", "pids", self.network[node].namespace]
        for pid in self.run(*processes).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        end = time.monotonic() + END_S
        while (jobs := self.jobs()) and time.monotonic() < end:
            self.run("scancel", "--signal=KILL", "--full", *jobs)
            time.sleep(0.2)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(END_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.network.__exit__()
        shutil.rmtree(self.root, ignore_errors=True)

    def _munge(self) -> None:
        """Start a daemon that vouches for who asks, with a key of its own."""
        folder = self.root / "munge"
        folder.mkdir(mode=0o755)
        self.root.chmod(0o755)
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"key-file": key, "socket": folder / "socket", "pid-file": folder / "pid"}
        files |= {"log-file": folder / "log", "seed-file": folder / "seed"}
        options = [f"--{name}={path}" for name, path in files.items()]
        self._start("munged", "--foreground", "--force", *options)

    def _start(self, *command: str) -> None:
        log = (self.root / "daemons.log").open("ab")
        with log:
            self._daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            )

    def _log(self) -> str:
        return (self.root / "daemons.log").read_text()[-2000:]

    def run(self, *command: str, **more: str) -> str:
        """Run a command of Slurm; return what it printed."""
        done = subprocess.run(
            command, env={**self.environment, **more}, capture_output=True, text=True
        )
        return done.stdout

    def submit(self, script: Path, options: list[str], words: list[str], **variables: str) -> str:
        """Submit a job; return its number."""
        output = f"--output={self.root}/job-%j.out"
        program = self.root / "bin"
        program.mkdir(exist_ok=True)
        starts = {"streammac": [sys.executable, "-m", "streammac"]}
        if mpi := starter():
            starts["mpiexec"] = mpi[:1]
        for name, command in starts.items():
            (program / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            (program / name).chmod(0o755)
        path = f"{program}:{os.environ['PATH']}"
        command = ["sbatch", "--parsable", output, *options, str(script), *words]
        number = self.run(*command, PATH=path, **variables).strip()
        assert number.isdecimal(), self._log()
        return number

    def requeue(self, job: str) -> None:
        """Requeue a job, and have it start at once.

        Slurm has a requeued job wait two minutes, counted anew when its last process has ended: so it is told again.
        """
        restarts = self._known(job, "Restarts")
        self.run("scontrol", "requeue", job)
        end = time.monotonic() + PATIENCE_S
        while self.state(job) != "RUNNING" or self._known(job, "Restarts") == restarts:
            assert time.monotonic() < end, self.told()
            self.run("scontrol", "update", f"jobid={job}", "starttime=now")
            time.sleep(0.5)

    def jobs(self) -> Mapping[str, str]:
        """Return the state of each job that is not over, by its number."""
        lines = self.run("squeue", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)  # type: ignore[misc]

    def state(self, job: str) -> str:
        """Return the state of a job, over or not."""
        return self._known(job, "JobState")

    def nodes(self, job: str) -> str:
        """Return where a job runs."""
        return self._known(job, "NodeList")

    def _known(self, job: str, key: str) -> str:
        for word in self.run("scontrol", "show", "job", job).split():
            if word.startswith(f"{key}="):
                return word.removeprefix(f"{key}=")
        return ""

    def output(self, job: str) -> str:
        return (self.root / f"job-{job}.out").read_text()

    def told(self) -> str:
        """Return what Slurm tells of its jobs and nodes, and the end of its controller's log."""
        log = (self.root / "slurmctld.log").read_text()
        return f"{self.run('scontrol', 'show', 'job')}{self.run('sinfo', '--long', '--Node')}{log[-3000:]}"


def named(name: str, command: str) -> list[str]:
    """Return the words with which ``unshare`` runs a command on a host of this name."""
    return ["--uts", "sh", "-c", f"hostname {name}; exec {command}"]
