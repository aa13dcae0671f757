"""What the coordinator's state machine asks of the process round it, see `streammac.ring.member_actions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from streammac.coordinator.epoch_reports import EpochResult
from streammac.wire.codec import Message
from streammac.wire.status import Event


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


Action: TypeAlias = Tell | Note | Finished
