"""Where a cluster keeps its things: the one place that knows the names of files in a run directory.

A second ``streammac up`` on the same directory resumes from what it finds there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streammac.errors import ExitCode, Failure
from streammac.files import document
from streammac.files.replace import replace

log = logging.getLogger(__name__)

FORMAT = 1
"""Of everything in a run directory; it grows when a version of this project cannot read what one before wrote."""
WITHOUT_FORMAT = (
    "settings.json",
    "coordinator.json",
    "models/versions.json",
    "shards/*/schema.json",
    "ingest/*/ledger",
)
"""Files that only a run directory has: without a format it was made before there was one."""
ANNOUNCEMENT_POLL_S = 0.02
MOST_INCARNATION = 1 << 62
MOST_PID = 1 << 31


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The layout of ``--dir``. Commands get theirs from `open`, processes that write to it from `create`.

    ========================  =====================================================
    ``format.json``           the format version of all of this, the cluster's identity
    ``settings.json``         the settings the cluster was started with
    ``coordinator.json``      the coordinator's durable state
    ``processes/NAME.json``   how to reach each running process
    ``processes/NAME.lock``   locked as long as the process runs; tells the directory from all others
    ``shards/WORKER/``        a worker's points, and which of its batches it has handed to others
    ``held-out/WORKER/``      a worker's held-out points
    ``models/``               model versions
    ``dead-letters/``         records that could not be used, one file per ingest node
    ``ingest/NAME/ledger``    what an ingest node goes on from after a crash
    ``ingest/NAME/waiting``   its points that wait for their targets
    ``logs/NAME.log``         what each process said
    ``keys/``                 keys and the allow-list (`streammac.security.keys`)
    ``history.ndjson``        what happened, for the page and for reports
    ``last-status.json``      the newest status, for reports
    ``workers.json``          the workers that the supervisor starts here
    ``targets.json``          what Prometheus is to scrape: its file service discovery
    ``lock``                  locked as long as a process of a supervised cluster runs
    ========================  =====================================================
    """

    root: Path

    @classmethod
    def open(cls, root: Path) -> RunDirectory:
        """Return a run directory that may be there or not.

        Raises
        ------
        Failure
            If what is there has another format.
        """
        directory = cls(root)
        # in this order: who begins one writes the format before any of these
        begun = any(any(root.glob(pattern)) for pattern in WITHOUT_FORMAT)
        found = directory._format()
        if found == FORMAT or (found is None and not begun):
            return directory
        made = "has no format version" if found is None else f"has format version {found}"
        raise Failure(
            ExitCode.BAD_INPUT,
            f"{root}: {made}, this version of streammac reads {FORMAT} - use the version that "
            "wrote it, or another --dir",
        )

    @classmethod
    def create(cls, root: Path) -> RunDirectory:
        """Return a run directory to write to, and write its format where it is new; see `open`."""
        directory = cls.open(root)
        if directory._format() is None:
            root.mkdir(parents=True, exist_ok=True)
            document.save(directory.format, {"format": FORMAT, "cluster": uuid.uuid4().hex})
        return directory

    def _format(self) -> object:
        return self._identity().get("format")

    @property
    def cluster(self) -> str | None:
        """Identity of the cluster that was begun here; None where that is not known."""
        return self._identity().get("cluster")

    def _identity(self) -> dict[str, Any]:
        try:
            return document.decode(self.format.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError as error:
            raise Failure(
                ExitCode.BAD_INPUT,
                f"{self.format}: is damaged ({error}) - {document.REMEDY}",
            ) from None

    @property
    def format(self) -> Path:
        """Format version of the directory."""
        return self.root / "format.json"

    @property
    def settings(self) -> Path:
        """Settings of the cluster."""
        return self.root / "settings.json"

    @property
    def coordinator_state(self) -> Path:
        """Durable state of the coordinator."""
        return self.root / "coordinator.json"

    @property
    def processes(self) -> Path:
        """One file per running process."""
        return self.root / "processes"

    @property
    def models(self) -> Path:
        """Model versions."""
        return self.root / "models"

    @property
    def dead_letters(self) -> Path:
        """Dead-letter files."""
        return self.root / "dead-letters"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """Keys of this host and the allow-list; where it is not, nothing is encrypted."""
        return self.root / "keys"

    @property
    def roster(self) -> Path:
        """Names of the workers that the supervisor starts here."""
        return self.root / "workers.json"

    @property
    def history(self) -> Path:
        """What happened, a line each."""
        return self.root / "history.ndjson"

    @property
    def last_status(self) -> Path:
        """The newest status of the cluster."""
        return self.root / "last-status.json"

    @property
    def targets(self) -> Path:
        """What Prometheus is to scrape."""
        return self.root / "targets.json"

    @property
    def lock(self) -> Path:
        """Lock file of the supervisor."""
        return self.root / "lock"

    @property
    def shards(self) -> Path:
        """One directory of points per worker."""
        return self.root / "shards"

    def shard(self, worker: str) -> Path:
        """Directory of a worker's points."""
        return self.shards / worker

    @property
    def held_out_shards(self) -> Path:
        """One directory of held-out points per worker."""
        return self.root / "held-out"

    def held_out(self, worker: str) -> Path:
        """Directory of a worker's held-out points."""
        return self.held_out_shards / worker

    def handover(self, worker: str) -> Path:
        """What a worker has under way to other workers."""
        return self.shard(worker) / "handover"

    def ledger(self, node: str) -> Path:
        """What an ingest node has under way, and how far its feeds are settled."""
        return self.root / "ingest" / node / "ledger"

    def waiting_room(self, node: str) -> Path:
        """Return what an ingest node keeps of points that wait for their targets."""
        return self.root / "ingest" / node / "waiting"

    def next_incarnation(self, name: str) -> int:
        """Return the incarnation of a process that starts: the time in ns, but above all former ones of its name.

        The machine's clock may have been set back since. Where the disk takes nothing, the time has to do.
        """
        path = self.processes / f"{name}.incarnation"
        try:
            former = int(path.read_text())
        except (OSError, ValueError):
            former = 0
        if former > MOST_INCARNATION:  # no clock has said that: it is damaged
            former = 0
        incarnation = max(time.time_ns(), former + 1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, str(incarnation).encode())
        except OSError as error:
            log.warning("%s: %s", path, error)
        return incarnation

    def announce(self, name: str, facts: dict[str, Any]) -> None:
        """Write how to reach a process; readers see the old file or the new one, never a part."""
        who = {"name": name, "pid": os.getpid(), "host": socket.gethostname()}
        write_json(self.processes / f"{name}.json", {**who, **facts})

    def try_to_announce(self, name: str, facts: dict[str, Any]) -> None:
        """Write how to reach a process; one that is found by other ways, too, goes on without."""
        try:
            self.announce(name, facts)
        except OSError as error:
            log.warning("not announced: %s", error)

    def announced(self, name: str) -> dict[str, Any] | None:
        """Return what a process announced; None if it did not, or if it is not running any more.

        Of one on another host, which shares the disk, that is not known.
        """
        facts = self.last_announced(name)
        if facts is None:
            return None
        if facts.get("host", socket.gethostname()) != socket.gethostname():
            return facts
        try:
            os.kill(int(facts["pid"]), 0)
        except ProcessLookupError:
            return None
        except PermissionError:  # it runs, as another user
            pass
        return facts

    def last_announced(self, name: str) -> dict[str, Any] | None:
        """Return what a process announced, even if it has died since; what is damaged announces nothing."""
        try:
            facts = json.loads((self.processes / f"{name}.json").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
            return None
        whole = isinstance(facts, dict) and isinstance(facts.get("pid"), int)
        return facts if whole and 0 < facts["pid"] < MOST_PID else None

    def wait_for(self, name: str, timeout_s: float) -> dict[str, Any] | None:
        """Return what a process announced, as soon as it did; None if it does not in time."""
        end = time.monotonic() + timeout_s
        while (facts := self.announced(name)) is None and time.monotonic() < end:
            time.sleep(ANNOUNCEMENT_POLL_S)
        return facts

    def retract(self, name: str) -> None:
        """Remove what `announce` wrote; should it stay, nobody believes a process that is gone."""
        with contextlib.suppress(OSError):
            (self.processes / f"{name}.json").unlink()


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file atomically (it survives a killed process, not a power cut)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(value, indent=1).encode())
