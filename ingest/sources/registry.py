"""Feeds by URI: which class reads what, and which options each has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ingest.sources.array_files import ArraySource, is_array_file, read_arrays
from ingest.sources.base import Address, Source, SourceError, parse
from ingest.sources.pacing import Paced
from ingest.sources.text import StdinSource, TextFileSource

COMMON = {"rate", "loop", "limit"}
"""Options that every feed has, see `Paced`."""


def _integer(address: Address, name: str, least: int = 0) -> int | None:
    text = address.options.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise SourceError(
            f"{address.uri}: {name}: expected a whole number from {least}, got {text!r}"
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
    if not 0 < rate < float("inf"):
        raise SourceError(f"{address.uri}: rate: expected records per second, got {text!r}")
    return rate


def _flag(address: Address, name: str) -> bool:
    text = address.options.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise SourceError(f"{address.uri}: {name}: expected true or false, got {text!r}")
    return text in ("true", "1", "")


def _file(address: Address, linger_s: float) -> Source:
    path = address.path
    if is_array_file(path):
        facts = path.stat()
        version = f"{facts.st_size} {facts.st_mtime_ns}"
        return ArraySource(str(path), read_arrays(path), _integer(address, "shuffle"), version)
    if "shuffle" in address.options:
        raise SourceError(f"{address.uri}: shuffle: only files of arrays can be shuffled")
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return TextFileSource(path, "csv")
    if name.endswith((".ndjson", ".jsonl", ".json")):
        return TextFileSource(path, "json")
    raise SourceError(
        f"{address.uri}: unknown kind of file - there are .npy, .npz, idx, .fvecs, .bvecs, .csv, "
        ".ndjson and .jsonl"
    )


def _stdin(address: Address, linger_s: float) -> Source:
    return StdinSource(linger_s)


def _river(address: Address, linger_s: float) -> Source:
    from ingest.sources.river_stream import RiverSource

    return RiverSource(address.rest)


def _patches(address: Address, linger_s: float) -> Source:
    from ingest.sources.patches import PatchSource

    size, seed = _integer(address, "size"), _integer(address, "seed")
    return PatchSource(8 if size is None else size, seed or 0)


SCHEMES: Mapping[str, tuple[Callable[[Address, float], Source], frozenset[str]]] = {
    "file": (_file, frozenset({"shuffle"})),
    "stdin": (_stdin, frozenset()),
    "river": (_river, frozenset()),
    "patches": (_patches, frozenset({"size", "seed"})),
}
"""Scheme: what opens it, and the options it has besides the common ones."""


def open_source(uri: str, linger_s: float = 0.02) -> Source:
    """Open the feed of a URI.

    Raises
    ------
    SourceError
        Naming the part of the URI that is wrong, and what there is.
    """
    address = parse(uri)
    if address.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}:" for scheme in SCHEMES)
        raise SourceError(
            f"{uri}: no source {address.scheme!r}: there are {known}, http: or a path"
        )
    opener, own = SCHEMES[address.scheme]
    for name in address.options:
        if name not in COMMON | own:
            raise SourceError(
                f"{uri}: {name}: no such option, there are {', '.join(sorted(COMMON | own))}"
            )
    rate, limit, loop = _rate(address), _integer(address, "limit", 1), _flag(address, "loop")
    source = opener(address, linger_s)
    if loop and not source.finite:
        raise SourceError(f"{uri}: loop: this feed does not end by itself")
    if loop and isinstance(source, StdinSource):
        raise SourceError(f"{uri}: loop: standard input cannot be read twice")
    if rate is None and limit is None and not loop:
        return source
    return Paced(source, rate, loop=loop, limit=limit)
