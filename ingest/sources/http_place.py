"""Where a feed over HTTP is to listen: what its URI says, and whether that is allowed."""

from __future__ import annotations

from urllib.parse import urlsplit

from ingest.sources.base import SourceError
from streammac.security import is_loopback


def place_to_listen(uri: str, public_host: str) -> tuple[str, int]:
    """Return host and port of ``http://HOST:PORT``; port 0: any free one.

    Parameters
    ----------
    uri : str
        Of the feed.
    public_host : str
        The only interface beyond loopback on which points may be taken.

    Raises
    ------
    SourceError
        If that is no place to listen.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or 0
    except ValueError as error:
        raise SourceError(f"{uri}: expected http://HOST:PORT, got: {error}") from None
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise SourceError(f"{uri}: expected http://HOST:PORT and nothing else")
    if not is_loopback(host) and host != public_host:
        raise SourceError(
            f"{uri}: HTTP takes points of anybody who can reach it - if that is wanted, say so "
            f"with network.http_host or --http-host {host}"
        )
    return host, port
