"""Which requests are meant for a server that has no passwords: it has to be called by a name of its own.

A browser on a machine lends its reach to every page that is open in it. A page can send requests to other servers, with
its own as their ``Origin``. And it can let a name of its own become an address of this machine (DNS rebinding): then it
may read the answers, too, but its name stands in their ``Host``. Nobody can do so with an address.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SHOWN = 100
"""Characters of a header that an answer repeats."""


class OnlyMeant:
    """An application that answers what is meant for it; the rest gets 403, with the reason (ASGI).

    Parameters
    ----------
    app : ASGI application
        What answers.
    host : str
        Where it listens: like any address, ``localhost`` and the machine's name, a name of its own.
    names : collection of str
        Further names; their pages may ask, too.
    """

    def __init__(self, app: ASGIApp, host: str, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._own = self._names | {"localhost", socket.gethostname().lower(), host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        headers = Headers(scope=scope)
        why = refusal(headers.get("host"), headers.get("origin"), self._own, self._names)
        answer = JSONResponse({"error": why}, 403) if why else self._app
        await answer(scope, receive, send)


def refusal(
    host: str | None, origin: str | None, own: Collection[str], trusted: Collection[str]
) -> str:
    """Return why a request with these headers is not meant for a server; empty if it is.

    >>> own = ["localhost"]
    >>> refusal("10.0.0.1:80", None, own, []), refusal("localhost:80", "http://localhost:80", own, [])
    ('', '')
    >>> refusal("evil.example:80", None, own, [])
    "Host: 'evil.example:80' is no name of this server - if it should be, list it in network.http_names"
    >>> refusal("localhost:80", "http://localhost:81", own, [])
    "Origin: 'http://localhost:81' may not ask - if it should, list its host in network.http_names"

    Parameters
    ----------
    host, origin : str, optional
        The headers.
    own : collection of str
        Names that the server is called by, besides addresses.
    trusted : collection of str
        Hosts whose pages may ask, besides the server's own.
    """
    if host is not None:  # no browser leaves it out
        name = _host(f"//{host}")
        if not (name in own or _is_address(name)):
            return (
                f"Host: {host[:SHOWN]!r} is no name of this server - if it should be, list it in "
                "network.http_names"
            )
    if origin is None or _host(origin) in trusted or origin.partition("//")[2] == host:
        return ""
    return (
        f"Origin: {origin[:SHOWN]!r} may not ask - if it should, list its host in "
        "network.http_names"
    )


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
