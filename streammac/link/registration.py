"""The first phase of a process: it presents itself, and the coordinator answers with the cluster's settings.

Only then can a worker or an ingest node be made. What else the coordinator says meanwhile is kept for it.
"""

from __future__ import annotations

import logging
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


def register(link: CoordinatorLink, interrupt: Interrupt) -> Registration | ExitCode:
    """Present a process until the coordinator answers.

    Returns
    -------
    Registration or ExitCode
        How the process is to end before that: by a signal, because the coordinator says so or refuses it.
    """
    others: list[Message] = []
    while not interrupt.requested:
        link.keep_registered(time.monotonic(), answered=False)
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


def refused(message: RegistrationRefused) -> ExitCode:
    """Say why the process cannot take part; return the code with which it is to end."""
    log.error("not taken into the cluster: %s", message.reason)
    return ExitCode.REFUSED
