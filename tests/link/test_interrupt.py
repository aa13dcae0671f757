"""Which signals ask a process to end."""

import os
import signal
from collections.abc import Iterator

import pytest

from streammac.link.interrupt import SIGNALS, Interrupt


@pytest.fixture(autouse=True)
def former() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_counted():
    interrupt = Interrupt()
    interrupt.catch()
    os.kill(os.getpid(), signal.SIGTERM)
    assert (interrupt.requested, interrupt.insisted) == (True, False)
    os.kill(os.getpid(), signal.SIGINT)
    assert interrupt.insisted


def test_who_starts_a_process_may_have_it_ignore_some():
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    interrupt = Interrupt()
    interrupt.catch()
    for number in (signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    assert not interrupt.requested
    os.kill(os.getpid(), signal.SIGINT)
    assert interrupt.requested, "shells have what runs in the background ignore it"
