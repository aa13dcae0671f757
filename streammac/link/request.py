"""One question to the coordinator and its answer: used by the supervisor and by commands."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import zmq

from streammac.security import KeyFolder, Keys, SecureContext, context_with, open_context
from streammac.security.keys import BadKey
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
    with open_context(keys) as context:
        return _ask(context, address, question, reply, timeout_s)


def _ask(
    context: SecureContext, address: str, question: Message, reply: type[Reply], timeout_s: float
) -> Reply | None:
    with context.socket(zmq.DEALER) as socket:
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


class Asker:
    """Asks again and again, with the keys of a folder that may be replaced meanwhile.

    Parameters
    ----------
    folder : Path
        Folder of keys; where it is not, nothing is encrypted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: Keys | None = None
        self._trouble = self._told = ""

    def ask(
        self, address: str, question: Message, reply: type[Reply], timeout_s: float
    ) -> Reply | None:
        """Return the coordinator's answer, or None; see `ask`."""
        with context_with(self._newest()) as context:
            return _ask(context, address, question, reply, timeout_s)

    def status(self, address: str, timeout_s: float) -> ClusterStatus | None:
        """Return the cluster's status, or None; see `ask_status`."""
        answer = self.ask(address, StatusRequest(), StatusReply, timeout_s)
        return from_json(answer.status) if answer is not None else None

    def news(self) -> str:
        """Return, once, why the folder cannot be read; the keys that were read before are used meanwhile."""
        before, self._told = self._told, self._trouble
        return "" if before == self._told else self._told

    def _newest(self) -> Keys | None:
        try:
            keys = KeyFolder(self._folder).load()
            gone = keys is None and self._keys is not None
            self._trouble = f"{self._folder}: is not there any more" if gone else ""
        except BadKey as error:
            keys, self._trouble = None, str(error)
        self._keys = keys or self._keys
        return self._keys
