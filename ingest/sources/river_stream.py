"""Any of River's bundled streams, with its targets: ``river:ImageSegments``."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

from ingest.formats import decode_json
from ingest.records import Chunk, Raw
from ingest.sources.base import SourceError

log = logging.getLogger(__name__)


class RiverSource:
    """A stream of River's ``datasets`` module: features in the order of their names, as numbers, and what they tell.

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
        self._targets = Targets(self.name)
        self.finite = getattr(self._stream, "n_samples", None) is not None
        if not getattr(self._stream, "is_downloaded", True):
            raise SourceError(
                f"river:{dataset}: its data are not on this machine - fetch them with River first"
            )

    def chunks(self, points: int) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        records = (self._record(x, y) for x, y in self._stream)
        while part := tuple(itertools.islice(records, points)):
            yield Raw(part, decode_json)

    def _record(self, features: Mapping[str, Any], target: Any) -> bytes:
        # what is not a number is left in: the record then becomes a dead letter that names it
        record = {"x": [features[name] for name in sorted(features)]}
        if target is not None:
            record["y"] = self._targets.numbers(target)
        return json.dumps(record, default=str).encode()


class Targets:
    """River's targets as numbers: of several, in the order of their names; False and True are 0 and 1.

    Classes that are words are numbered as they first appear, which is the same at each reading.

    >>> targets = Targets("weather")
    >>> [targets.numbers(y) for y in ("rain", "sun", "rain", True, 2.5, {"b": 1, "a": False})]
    [[0], [1], [0], [1], [2.5], [0, 1.0]]

    Parameters
    ----------
    name : str
        Of the stream, for the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._classes: dict[str, int] = {}

    def numbers(self, target: Any) -> list[Any]:
        """Return a point's targets."""
        several = isinstance(target, Mapping)
        values = [target[name] for name in sorted(target)] if several else [target]
        return [self._number(value) for value in values]

    def _number(self, value: Any) -> Any:
        if not isinstance(value, str):
            is_flag = isinstance(value, bool)
            return int(value) if is_flag else float(value) if isinstance(value, Real) else value
        if value not in self._classes:
            self._classes[value] = len(self._classes)
            log.info("%s: class %d is %r", self._name, self._classes[value], value)
        return self._classes[value]
