"""Real processes of one cluster, started one by one, so that tests can do anything to them."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streammac.files import document
from streammac.link.request import ask_status
from streammac.run_directory import RunDirectory
from streammac.settings.schema import Settings
from streammac.supervisor import processes
from streammac.supervisor.processes import Child, Lifeline
from streammac.wire.status import ClusterStatus
from tests.patience import PATIENCE_S

RESTED_S = 2.0
"""A ring that has rested for so long, with what is known of it, had no reason to wake."""
PROGRAM = (sys.executable, "-m", "streammac")


class LiveCluster:
    """Coordinator, workers and an ingest node, without a supervisor."""

    def __init__(self, root: Path, settings: dict[str, Any], workers: int = 3) -> None:
        self.directory = RunDirectory.create(root)
        cluster = {"workers": workers} | settings.get("cluster", {})
        self.settings = Settings.model_validate(settings | {"cluster": cluster})
        document.save(self.directory.settings, self.settings.model_dump(mode="json"))
        self.lifeline = Lifeline()
        self.children: dict[str, Child] = {}
        self.start("coordinator")
        for number in range(1, workers + 1):
            self.start("worker", f"w{number}")
        self.start("ingest", "i1")

    def __enter__(self) -> LiveCluster:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            if child.exit_code is None:
                child.process.send_signal(signal.SIGCONT)
                child.process.kill()
                child.process.wait()
        self.lifeline.close()

    def start(
        self,
        role: str,
        name: str | None = None,
        *more: str,
        before: Sequence[str] = (),
        directory: Path | None = None,
    ) -> Child:
        """Start a process, with further options, perhaps through another program or elsewhere."""
        command = [*before, *PROGRAM, role, "--dir", str(directory or self.directory.root)]
        command += ["--lifeline", str(self.lifeline.reading), *more]
        if name is not None:
            command += ["--name", name]
        log = self.directory.logs / f"{name or role}.log"
        child = processes.start(name or role, command, log, (self.lifeline.reading,))
        self.children[name or role] = child
        return child

    def restart_coordinator(self) -> None:
        """Kill the coordinator and start it again where it was."""
        known = json.loads((self.directory.processes / "coordinator.json").read_text())
        self.kill("coordinator")
        settings = document.decode(self.directory.settings.read_bytes())
        settings["network"]["coordinator_port"] = int(known["control"].rsplit(":", 1)[1])
        document.save(self.directory.settings, settings)
        self.start("coordinator")

    def kill(self, name: str) -> None:
        self.children[name].process.kill()
        self.children[name].process.wait()

    def signal(self, name: str, number: int) -> None:
        self.children[name].process.send_signal(number)

    def status(self) -> ClusterStatus | None:
        known = self.directory.announced("coordinator")
        return ask_status(known["control"], keys=self.directory.keys) if known else None

    def wait(self, until: Callable[[ClusterStatus], bool], what: str) -> ClusterStatus:
        """Return the first status of which something is true."""
        status = None
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status = self.status()
            if status is not None and until(status):
                return status
            time.sleep(0.02)
        raise TimeoutError(f"{what}: not within {PATIENCE_S} s; {status}")

    def epochs(self, more: int) -> ClusterStatus:
        """Wait for so many further epochs, or until there is nothing left to train for a while."""
        now = self.wait(lambda s: True, "a status").epoch
        newest, since = now, time.monotonic()

        def are_over(status: ClusterStatus) -> bool:
            nonlocal newest, since
            if status.epoch != newest or status.resting is None:
                newest, since = status.epoch, time.monotonic()
            return status.epoch >= now + more or time.monotonic() - since > RESTED_S

        return self.wait(are_over, f"{more} more epochs after {now}")


def states(status: ClusterStatus) -> dict[str, str]:
    return {worker.name: worker.state for worker in status.workers}


def kinds(status: ClusterStatus, name: str | None = None) -> list[str]:
    return [e.kind for e in status.events if name is None or e.name == name]
