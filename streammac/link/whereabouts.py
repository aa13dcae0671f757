"""Where the coordinator is: at an address that somebody named, or where its run directory says."""

from __future__ import annotations

from dataclasses import dataclass

from streammac.errors import ExitCode, Failure
from streammac.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The address of a coordinator, and how it was learned.

    Attributes
    ----------
    address : str
        Of its control socket.
    directory : RunDirectory or None
        Which said so; None where somebody named the address.
    """

    address: str
    directory: RunDirectory | None = None

    @classmethod
    def announced_in(cls, directory: RunDirectory, patience_s: float) -> Whereabouts:
        """Return what the run directory says, as soon as it does.

        Raises
        ------
        Failure
            If it does not in time.
        """
        announced = directory.wait_for("coordinator", patience_s)
        if announced is None:
            raise Failure(
                ExitCode.NOT_RUNNING,
                f"no coordinator announced itself in {directory.root} within {patience_s:.0f} s - "
                "start one there, or name one with --join tcp://HOST:PORT",
            )
        return cls(str(announced["control"]), directory)

    @property
    def moved(self) -> str:
        """Where the coordinator is now, if that is elsewhere; asked when it does not answer."""
        facts = self.directory.last_announced("coordinator") if self.directory else None
        now = str(facts["control"]) if facts else self.address
        return "" if now == self.address else now
