"""How the processes of a cluster are started: as our children, or workers by MPI; they all end with us.

`LocalCluster` has one while it runs, and decides who is started and when; `command_lines` says with what arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor import processes
from streammac.supervisor.command_lines import arguments, reads_stdin
from streammac.supervisor.mpi_job import LIFELINE, MpiJob
from streammac.supervisor.processes import Child, Lifeline
from streammac.wire.status import Role


class Launcher:
    """Starts processes.

    Parameters
    ----------
    directory : RunDirectory
        The cluster's.
    settings : Settings
        The cluster's.
    program : sequence of str
        What runs the single processes' commands.
    lock : int
        Descriptor of the directory's lock; children inherit it: it is held until the last of them is gone.
    """

    def __init__(
        self, directory: RunDirectory, settings: Settings, program: Sequence[str], lock: int
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._program = program
        self._lock = lock
        self._lifeline = Lifeline()
        self._job: MpiJob | None = None

    def start(self, role: Role, name: str) -> Child:
        """Start a process.

        Raises
        ------
        OSError
            If that is not possible now.
        """
        log = self._directory.logs / f"{name}.log"
        if role == "worker" and self._settings.network.transport == "mpi":
            job = self._job = self._job or self._new_job()
            return job.start(name, self._command(role, name, LIFELINE), log)
        inherited = (self._lifeline.reading, self._lock)
        stdin = reads_stdin(role, self._settings)
        command = self._command(role, name, self._lifeline.reading)
        return processes.start(name, command, log, inherited, stdin=stdin)

    def _new_job(self) -> MpiJob:
        return MpiJob(self._program, self._directory, self._lifeline.reading, self._lock)

    def _command(self, role: Role, name: str, lifeline: int) -> list[str]:
        line = arguments(role, name, self._directory, self._settings, lifeline)
        return [*self._program, *line]

    def close(self) -> None:
        """Let go of all that were started: those that still run will end."""
        if self._job is not None:
            self._job.close()
        self._lifeline.close()
