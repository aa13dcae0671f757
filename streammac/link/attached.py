"""A running cluster as a command finds it: by its run directory or by its coordinator's address.

``status``, ``top``, ``workers`` and ``chaos`` ask through it. What the supervisor tells joins the coordinator's
status under ``supervisor``, if there is a supervisor and it runs on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import ValidationError, convert

from streammac.errors import ExitCode, Failure
from streammac.link.request import Reply, ask, ask_status
from streammac.run_directory import RunDirectory
from streammac.wire.codec import Message
from streammac.wire.status import ClusterStatus, SupervisorStatus

STATUS_S = 2.0


@dataclass(frozen=True, slots=True)
class Attached:
    """A way to a cluster.

    Parameters
    ----------
    directory : RunDirectory
        Its run directory; also where nothing runs yet.
    join : str, optional
        Address of the coordinator's control socket, instead of what the directory announces.
    """

    directory: RunDirectory
    join: str | None = None

    @property
    def address(self) -> str | None:
        """Where the coordinator listens, None while none is running."""
        if self.join is not None:
            return self.join
        announced = self.directory.announced("coordinator")
        if announced is None and self.supervisor_status() is not None:
            # on a full disk one that was restarted cannot say that it is where it was
            announced = self.directory.last_announced("coordinator")
        return str(announced["control"]) if announced else None

    def supervisor_status(self) -> SupervisorStatus | None:
        """Return what the supervisor tells, None without one; one that is gone tells nothing."""
        announced = self.directory.announced("supervisor") if self.join is None else None
        try:
            return convert(announced, SupervisorStatus) if announced else None
        except ValidationError:  # of another version, or damaged
            return None

    def status(self, timeout_s: float = STATUS_S) -> ClusterStatus | None:
        """Return the cluster's status (docs/status.md), None where it does not answer in time."""
        address = self.address
        status = ask_status(address, timeout_s, self.directory.keys) if address else None
        return status.supervised(self.supervisor_status()) if status else None

    def demand_status(self) -> ClusterStatus:
        """Return the cluster's status.

        Raises
        ------
        Failure
            If there is none.
        """
        status = self.status()
        if status is None:
            raise self.absent()
        return status

    def ask(self, question: Message, reply: type[Reply], timeout_s: float = STATUS_S) -> Reply:
        """Return the coordinator's answer.

        Raises
        ------
        Failure
            If there is none.
        """
        address = self.address
        answer = ask(address, question, reply, timeout_s, self.directory.keys) if address else None
        if answer is None:
            raise self.absent()
        return answer

    def ask_supervisor(
        self, question: Message, reply: type[Reply], timeout_s: float = STATUS_S
    ) -> Reply | None:
        """Return the supervisor's answer, None without a supervisor."""
        supervisor = self.supervisor_status()
        return ask(supervisor.control, question, reply, timeout_s) if supervisor else None

    def absent(self) -> Failure:
        """Return the error that says that the cluster is not there, or not now, and what to do."""
        where = self.join or self.directory.root
        if self.join is not None or self.directory.announced("coordinator"):
            text = f"the cluster in {where} does not answer"
        elif self.supervisor_status():
            return Failure(
                ExitCode.NOT_RUNNING,
                f"the coordinator in {where} is down at the moment, its supervisor restarts it: try again",
            )
        else:
            text = f"the cluster in {where} is not running"
        return Failure(ExitCode.NOT_RUNNING, f"{text} - `streammac up` starts one")
