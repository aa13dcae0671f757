"""The first phase of a process: it presents itself, and the coordinator answers with the cluster's settings.

Only then can a worker or an ingest node be made. What else the coordinator says meanwhile is kept for it.
"""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass

from streammac.errors import ExitCode
from streammac.link.coordinator import CoordinatorLink
from streammac.link.interrupt import Interrupt
from streammac.settings.schema import Settings
from streammac.wire.codec import Message
from streammac.wire.messages import Registered, RegistrationRefused, Stop

log = logging.getLogger(__name__)

TURN_S = 0.1
"""So long a signal may go unnoticed."""
TELL_S = 5.0
"""Time between two complaints that nobody answers."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a process knows once it is registered."""

    settings: Settings
    late: bool = False
    """The ring turned before this process came."""
    others: tuple[Message, ...] = ()
    """What else the coordinator has said until now, in its order."""
    cluster: str = ""
    """Identity of the cluster."""


def register(
    link: CoordinatorLink, interrupt: Interrupt, timeout_s: float | None = None
) -> Registration | ExitCode:
    """Present a process until the coordinator answers; as long as none does, the log says so.

    Parameters
    ----------
    link : CoordinatorLink
        The way to it.
    interrupt : Interrupt
        Ends the wait.
    timeout_s : float, optional
        Give up after so long; else never.

    Returns
    -------
    Registration or ExitCode
        How the process is to end before that: by a signal, because the coordinator says so or refuses it.
    """
    others: list[Message] = []
    begin = told = time.monotonic()
    while not interrupt.requested:
        now = time.monotonic()
        link.keep_registered(now, answered=False)
        if timeout_s is not None and now - begin >= timeout_s:
            log.error("given up: %s", _silence(link.coordinator.address, now - begin))
            return ExitCode.NOT_RUNNING
        if link.moved:
            return ExitCode.NOT_RUNNING
        if now - told >= TELL_S:
            told = now
            log.warning(_silence(link.coordinator.address, now - begin))
        link.socket.poll(int(TURN_S * 1000))
        answer: Registered | None = None
        for message in link.receive():
            match message:
                case Registered():
                    answer = message
                case Stop():
                    log.info("told to stop: %s", message.reason)
                    return ExitCode.OK
                case RegistrationRefused():
                    return refused(message)
                case _:
                    others.append(message)
        if answer is not None:
            settings = Settings.model_validate_json(answer.settings)
            return Registration(settings, answer.turning, tuple(others), answer.cluster)
    return ExitCode.OK


def _silence(address: str, seconds: float) -> str:
    """Say that nobody answers at an address, and what may be the reason."""
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        return f"no coordinator at {address} for {seconds:.0f} s: {host}: {error}"
    return (
        f"no coordinator has answered at {address} for {seconds:.0f} s: does it run there, is it "
        "to be reached from here, and does it allow the key of this host?"
    )


def refused(message: RegistrationRefused) -> ExitCode:
    """Say why the process cannot take part; return the code with which it is to end."""
    log.error("not taken into the cluster: %s", message.reason)
    return ExitCode.REFUSED
