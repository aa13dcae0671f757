"""Any of River's bundled streams: ``river:ImageSegments``. Features in the order of their names, as numbers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from ingest.formats import decode_json
from ingest.records import Chunk, Raw
from ingest.sources.base import SourceError


class RiverSource:
    """A stream of River's ``datasets`` module.

    Parameters
    ----------
    dataset : str
        Name of its class.
    """

    format = "json"
    seekable = False

    def __init__(self, dataset: str) -> None:
        from river import datasets  # heavy, and only this source needs it

        known = [name for name in datasets.__all__ if isinstance(getattr(datasets, name), type)]
        if dataset not in known:
            raise SourceError(
                f"river:{dataset}: no such stream, there are {', '.join(sorted(known))}"
            )
        self.name = f"river:{dataset}"
        self._stream: Any = getattr(datasets, dataset)()
        self.finite = getattr(self._stream, "n_samples", None) is not None
        if not getattr(self._stream, "is_downloaded", True):
            raise SourceError(
                f"river:{dataset}: its data are not on this machine - fetch them with River first"
            )

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        records = (_record(x) for x, _ in self._stream)
        while part := tuple(itertools.islice(records, points)):
            yield Raw(part, decode_json)


def _record(features: dict[str, Any]) -> bytes:
    # what is not a number is left in: the record then becomes a dead letter that names it
    values = [features[name] for name in sorted(features)]
    return json.dumps({"x": values}, default=str).encode()
