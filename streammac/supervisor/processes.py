"""Child processes: started in the background, watched, ended in good order or by force.

The supervisor's hands; they know nothing of clusters. A child writes to its log file, does not get
the terminal's Ctrl-C, and notices the end of its parent by a pipe that closes (its *lifeline*).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streammac.threads import VitalThread

POLL_S = 0.02
KILL_PATIENCE_S = 5.0
"""A killed process is gone at once, unless the machine is in trouble."""
TAIL_LINES = 15
TAIL_BYTES = 16 << 10
_FRAMES = ("Traceback (most", " ", "During handling of", "The above exception was")


class Process(Protocol):
    """What a `subprocess.Popen` does, as far as it is needed here."""

    @property
    def pid(self) -> int | None:
        """Its number; None while it is being started."""
        ...

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Send a signal."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was started here."""

    name: str
    process: Process
    log: Path

    @property
    def exit_code(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def tail(self) -> str:
        """Return the end of its log, without the frames of tracebacks: those who want them read the log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"(its log cannot be read: {error.strerror})"
        told = [line for line in lines if not line.startswith(_FRAMES)]
        return "\n".join(told[-TAIL_LINES:])

    def how_it_ended(self) -> str:
        """Return its exit status, or the signal that ended it, in words."""
        code = self.exit_code
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return f"exit status {code}"

    def exit_message(self) -> str:
        """Return how it ended, in words, with the end of its log."""
        return (
            f"{self.name} (process {self.process.pid}) ended with {self.how_it_ended()}; "
            f"{self.log}:\n{self.tail()}"
        )


class Lifeline:
    """A pipe of which children hold the reading end: it closes when this process is gone."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def close(self) -> None:
        """Close both ends here: children that still run will end."""
        os.close(self.reading)
        os.close(self._writing)


def end_with(lifeline: int) -> None:
    """Send this process a SIGTERM once the parent that holds the other end is gone (in a child)."""

    def watch() -> None:
        os.read(lifeline, 1)  # returns, with nothing, when the last writing end is closed
        os.kill(os.getpid(), signal.SIGTERM)

    VitalThread("lifeline", watch).start()


def start(
    name: str,
    command: Sequence[str],
    log: Path,
    inherited: Sequence[int] = (),
    *,
    stdin: bool = False,
) -> Child:
    """Start a child in a session of its own.

    Parameters
    ----------
    name : str
        For messages.
    command : sequence of str
        Program and arguments.
    log : Path
        Its output goes to the end of this file.
    inherited : sequence of int
        File descriptors that it keeps.
    stdin : bool
        It reads our standard input; otherwise it has none.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=None if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            start_new_session=True,
        )
    return Child(name, process, log)


def end(
    children: Iterable[Child],
    patience_s: float,
    hurry: Callable[[], bool] = lambda: False,
    insist_s: float | None = None,
) -> list[Child]:
    """Ask children to end, and kill those that do not in time; return these.

    Parameters
    ----------
    children : iterable of Child
        Those that have ended already are passed over.
    patience_s : float
        Time that they have.
    hurry : callable
        Is asked while waiting: True ends the patience.
    insist_s : float, optional
        Ask once more after so long: a worker that takes its leave of the ring then ends at once.
    """
    running = [child for child in children if child.exit_code is None]
    for child in running:
        child.process.terminate()
    begin = time.monotonic()
    while any(child.exit_code is None for child in running):
        waited = time.monotonic() - begin
        if waited > patience_s or hurry():
            break
        if insist_s is not None and waited > insist_s:
            insist_s = None
            for child in running:
                child.process.terminate()
        time.sleep(POLL_S)
    late = [child for child in running if child.exit_code is None]
    for child in late:
        child.process.kill()
    for child in late:
        child.process.wait(KILL_PATIENCE_S)
    return late
