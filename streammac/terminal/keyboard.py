"""Single key presses from a terminal, while a picture is shown: ``streammac top`` ends with q.

Where standard input is no terminal nothing is ever pressed, and the terminal is left as it was found.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator


class Keyboard:
    """Keys as they are pressed."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def wait(self, seconds: float) -> str:
        """Return what is pressed within so many seconds, "" if nothing is."""
        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return ""
        pressed = os.read(self._descriptor, 64).decode(errors="replace")
        if not pressed:  # the terminal is gone
            self._descriptor = None
        return pressed


@contextlib.contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Take single key presses, without their echo, as long as the context lasts."""
    if not sys.stdin or not sys.stdin.isatty():
        yield Keyboard(None)
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
