"""What the coordinator's state machine asks of the process round it, as `streammac.ring.actions` is for a member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from streammac.ring.epochs import EpochResult
from streammac.ring.events import Event
from streammac.wire.codec import Message


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the process with this socket identity."""

    identity: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Note:
    """Something happened that an operator wants to know."""

    event: Event


@dataclass(frozen=True, slots=True)
class Finished:
    """An epoch of the whole ring is done; its model can be published."""

    result: EpochResult


Order: TypeAlias = Tell | Note | Finished
