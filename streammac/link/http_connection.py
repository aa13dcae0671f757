"""A connection whose client keeps to times and numbers, so that nobody can use up a server by doing nothing.

uvicorn's own limits begin with a whole request: a connection with half a head would be kept for ever.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WAITS_S: dict[object, float] = {h11.IDLE: 10.0, h11.SEND_BODY: 60.0}
"""So long may the head of a request take, and its body."""
TAKES_S = 60.0
"""A client that takes nothing of its answer for so long is dropped."""
OF_ALL = 256
"""Open connections."""
OF_ONE = 128
"""Those of one address. Where there are more, the one that has been waited for longest makes room."""


class LimitedConnection(H11Protocol):
    """One connection; made by uvicorn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waited_for: object = None
        """What the client still owes: a head or a body."""
        self.since = 0.0
        self._owing: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, if there is room."""
        # asyncio does so only where the listener's protocol is spelled out. Else an answer's body waits for its head
        # to be acknowledged, which clients put off for 40 ms
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        if self._make_room():
            self._watch()
        else:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")

    def _make_room(self) -> bool:
        others = [
            one
            for one in self.connections
            if isinstance(one, LimitedConnection)
            and one is not self
            and not one.transport.is_closing()
        ]
        own = [
            one for one in others if one.client and self.client and one.client[0] == self.client[0]
        ]
        crowd = own if len(own) >= OF_ONE else others if len(others) >= OF_ALL else None
        if crowd is None:
            return True
        waiting = [one for one in crowd if one.waited_for]
        if not waiting:
            return False
        longest = min(waiting, key=lambda one: one.since)
        longest.refuse(HTTPStatus.REQUEST_TIMEOUT, "others want the connection")
        return True

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Look what is waited for, and begin to measure its time."""
        state = self.conn.their_state
        owed = state if state in WAITS_S else None
        if owed is self.waited_for:
            return
        _cancel(self._owing)
        self.waited_for, self.since = owed, self.loop.time()
        if owed is not None:
            self._owing = self.loop.call_later(WAITS_S[owed], self._too_slow)

    def _too_slow(self) -> None:
        assert self.waited_for is not None
        part = "head" if self.waited_for is h11.IDLE else "body"
        self.refuse(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the {part} of the request has taken more than {WAITS_S[self.waited_for]:.0f} s",
        )

    def refuse(self, status: HTTPStatus, why: str) -> None:
        """Close the connection, with an answer if nothing has been answered yet."""
        _cancel(self._owing)
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            head += f"Content-Type: text/plain\r\nContent-Length: {len(why) + 1}\r\n\r\n"
            self.transport.write(f"{head}{why}\n".encode())
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer, but not for ever."""
        super().pause_writing()
        self._taking = self.loop.call_later(TAKES_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        _cancel(self._taking)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        super().connection_lost(exc)
        _cancel(self._owing)
        _cancel(self._taking)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
