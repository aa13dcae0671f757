"""One question to the coordinator and its answer: used by the supervisor and by commands."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import zmq

from streammac.security import open_context
from streammac.wire.codec import Message
from streammac.wire.messages import StatusReply, StatusRequest
from streammac.wire.sockets import MessageSocket
from streammac.wire.status import ClusterStatus, from_json

Reply = TypeVar("Reply", bound=Message)


def ask(
    address: str,
    question: Message,
    reply: type[Reply],
    timeout_s: float,
    keys: Path | None = None,
) -> Reply | None:
    """Return the coordinator's answer, or None where none of this type comes in time.

    ``keys`` is the folder of keys of who asks.
    """
    with open_context(keys) as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(address)
        messages = MessageSocket(socket, "the coordinator", reply)
        messages.send(question)
        socket.poll(int(timeout_s * 1000))
        return next((answer for _, answer in messages.receive()), None)


def ask_status(
    address: str, timeout_s: float = 2.0, keys: Path | None = None
) -> ClusterStatus | None:
    """Return the cluster's status (docs/status.md), or None where it does not answer in time."""
    answer = ask(address, StatusRequest(), StatusReply, timeout_s, keys)
    return from_json(answer.status) if answer is not None else None
