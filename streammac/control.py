"""One question to the coordinator and its answer: used by the supervisor and by commands."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import zmq

from streammac.wire.codec import MAX_FRAME_BYTES, Message, WireError, decode, encode
from streammac.wire.messages import StatusReply, StatusRequest

Reply = TypeVar("Reply", bound=Message)


def ask(address: str, question: Message, reply: type[Reply], timeout_s: float) -> Reply | None:
    """Return the coordinator's answer, or None where none of this type comes in time."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    with context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.maxmsgsize = MAX_FRAME_BYTES
        socket.connect(address)
        socket.send_multipart(encode(question))
        if not socket.poll(int(timeout_s * 1000)):
            return None
        try:
            answer = decode(socket.recv_multipart())
        except WireError:
            return None
    return answer if isinstance(answer, reply) else None


def ask_status(address: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """Return the cluster's status (docs/status.md), or None where it does not answer in time."""
    answer = ask(address, StatusRequest(), StatusReply, timeout_s)
    if answer is None:
        return None
    status: dict[str, Any] = json.loads(answer.status)
    return status
