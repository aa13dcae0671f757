"""How a process is asked to end from outside: by Ctrl-C, SIGTERM or a terminal that closes, once or again."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class Interrupt:
    """What was asked by signals: once to end in good order, twice at once."""

    count: int = 0

    def __call__(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Count one more."""
        self.count += 1

    def catch(self) -> None:
        """Have the process's signals counted here from now on.

        Who started it may have it ignore some: ``nohup`` SIGHUP, a batch system's script SIGTERM. Shells have what
        runs in the background ignore SIGINT; that is not meant for us.
        """
        for number in SIGNALS:
            if number is signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self)

    @property
    def requested(self) -> bool:
        """Return whether the end is asked for."""
        return self.count > 0

    @property
    def insisted(self) -> bool:
        """Return whether it is asked for at once."""
        return self.count > 1
