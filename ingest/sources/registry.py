"""Feeds by URI: which class reads what, and which options each has."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ingest.sources.array_files import ArraySource, is_array_file, read_arrays
from ingest.sources.base import Address, Source, SourceError, parse
from ingest.sources.http_place import place_to_listen
from ingest.sources.pacing import Paced
from ingest.sources.text import StdinSource, TextFileSource

COMMON = {"rate", "loop", "limit"}
"""Options that every feed has, see `Paced`."""
MOST_DIGITS = 18
LEAST_RATE = 1e-6
"""Records per second; a feed that waits for years is a slip of the pen."""


def _integer(address: Address, name: str, least: int = 0) -> int | None:
    text = address.options.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < least:
        raise SourceError(
            f"{address.uri}: {name}: expected a whole number from {least}, got {text[:80]!r}"
        )
    return int(text)


def _rate(address: Address) -> float | None:
    text = address.options.get("rate")
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not LEAST_RATE <= rate < float("inf"):
        raise SourceError(f"{address.uri}: rate: expected records per second, got {text!r}")
    return rate


def _flag(address: Address, name: str) -> bool:
    text = address.options.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise SourceError(f"{address.uri}: {name}: expected true or false, got {text!r}")
    return text in ("true", "1", "")


def _pace(address: Address) -> tuple[float | None, int | None, bool]:
    """Return what `Paced` is asked for: rate, limit, and whether to loop."""
    return _rate(address), _integer(address, "limit", 1), _flag(address, "loop")


FILES = {
    "arrays": ("files of arrays", frozenset({"shuffle"})),
    "csv": ("CSV files", frozenset({"header", "targets", "key"})),
    "json": ("JSON files", frozenset[str]()),
}
"""What files there are: their name, and the options that they alone have."""


def _form(address: Address) -> str:
    """Return what kind of file it is, by its name: a key of `FILES`."""
    form = _kind(address)
    for name, (files, own) in FILES.items():
        if name != form and (foreign := own & address.options.keys()):
            raise SourceError(f"{address.uri}: {min(foreign)}: only {files} have it")
    return form


def _kind(address: Address) -> str:
    name = address.path.name.removesuffix(".gz")
    if is_array_file(address.path):
        return "arrays"
    if name.endswith((".csv", ".tsv")):
        return "csv"
    if name.endswith((".ndjson", ".jsonl", ".json")):
        return "json"
    raise SourceError(
        f"{address.uri}: unknown kind of file - there are .npy, .npz, idx, .fvecs, .bvecs, .csv, .tsv, "
        ".ndjson and .jsonl"
    )


def _file(address: Address, linger_s: float) -> Source:
    form, path = _form(address), address.path
    if form != "arrays":
        header = _flag(address, "header") if "header" in address.options else None
        targets = _integer(address, "targets") or 0
        return TextFileSource(path, form, header, targets, keyed=_flag(address, "key"))
    facts = path.stat()
    version = f"{facts.st_size} {facts.st_mtime_ns}"
    return ArraySource(str(path), read_arrays(path), _integer(address, "shuffle"), version)


def _stdin(address: Address, linger_s: float) -> Source:
    return StdinSource(linger_s)


def _river(address: Address, linger_s: float) -> Source:
    from ingest.sources.river_stream import RiverSource

    return RiverSource(address.rest)


def _digits(address: Address, linger_s: float) -> Source:
    from ingest.sources.digits import DigitSource

    return DigitSource(_integer(address, "seed") or 0, _integer(address, "turned_after"))


SCHEMES: Mapping[str, tuple[Callable[[Address, float], Source], frozenset[str]]] = {
    "file": (_file, frozenset({"shuffle", "header", "targets", "key"})),
    "stdin": (_stdin, frozenset()),
    "river": (_river, frozenset()),
    "digits": (_digits, frozenset({"seed", "turned_after"})),
}
"""Scheme: what opens it, and the options it has besides the common ones."""


def check_source(uri: str, public_host: str) -> None:
    """Check what can be known of a feed before anything is started; a file's content is not read.

    Parameters
    ----------
    uri : str
        Of a feed, also ``http://HOST:PORT``.
    public_host : str
        The only interface beyond loopback on which points may be taken over HTTP.

    Raises
    ------
    SourceError
        Naming the part of the URI that is wrong, and what there is.
    """
    if uri.startswith("http:"):
        place_to_listen(uri, public_host)
        return
    address = _understood(uri)
    if address.scheme != "file":
        open_source(uri)
        return
    _form(address)
    _flag(address, "header")
    _flag(address, "key")
    _integer(address, "shuffle")
    _integer(address, "targets")
    if not os.access(address.path, os.R_OK):
        raise SourceError(f"{uri}: may not be read - change its permissions")


def open_source(uri: str, linger_s: float = 0.02) -> Source:
    """Open the feed of a URI.

    Raises
    ------
    SourceError
        Naming the part of the URI that is wrong, and what there is.
    """
    address = _understood(uri)
    rate, limit, loop = _pace(address)
    source = SCHEMES[address.scheme][0](address, linger_s)
    if loop and not source.finite:
        raise SourceError(f"{uri}: loop: this feed does not end by itself")
    if loop and isinstance(source, StdinSource):
        raise SourceError(f"{uri}: loop: standard input cannot be read twice")
    if rate is None and limit is None and not loop:
        return source
    return Paced(source, rate, loop=loop, limit=limit)


def _understood(uri: str) -> Address:
    """Return the parts of a URI whose scheme and options there are, and are what they should be."""
    address = parse(uri)
    if address.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}:" for scheme in SCHEMES)
        raise SourceError(
            f"{uri}: no source {address.scheme!r}: there are {known}, http: or a path"
        )
    own = SCHEMES[address.scheme][1]
    for name in address.options:
        if name not in COMMON | own:
            raise SourceError(
                f"{uri}: {name}: no such option, there are {', '.join(sorted(COMMON | own))}"
            )
    _pace(address)
    return address
