"""Feeds of which most records are refused: something is wrong with all of them, and not with a few."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingest.records import Refused

log = logging.getLogger(__name__)

MOST = 0.5
"""More than this share of a feed's records is worth a warning,"""
ENOUGH = 100
"""once there were so many of them, or the feeds have ended."""
KINDS = 100
"""Kinds of reasons that are counted; a hostile feed may have a new one in every record."""


@dataclass(slots=True)
class _Seen:
    """What came of a feed."""

    records: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    said: str = ""


class Refusals:
    """What became of the records of each feed.

    >>> refusals = Refusals()
    >>> refusals.count("a.csv", 3, [Refused(b"x", "column 1: expected a number, got 'x'")] * 2)
    >>> refusals.said(ended=False), refusals.said(ended=True)
    ([], ["a.csv: most records are refused, above all: column 1: expected a number, got 'x'"])
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def count(self, feed: str, records: int, refused: Sequence[Refused]) -> None:
        """Take what came of a feed: so many records, and those of them that are refused."""
        seen = self._seen.setdefault(feed, _Seen())
        seen.records += records
        seen.refused += len(refused)
        for one in refused:
            kind = one.reason.partition(", got ")[0]
            if kind in seen.kinds or len(seen.kinds) < KINDS:
                seen.kinds[kind] += 1
                seen.examples.setdefault(kind, one.reason)

    def said(self, *, ended: bool) -> list[str]:
        """Return what there is to be said, of each feed once and for all; ``ended``: no feed brings any more."""
        for feed, seen in self._seen.items():
            enough = seen.records >= ENOUGH or ended
            if not seen.said and enough and seen.refused > MOST * seen.records:
                ((kind, _),) = seen.kinds.most_common(1)
                why = seen.examples[kind]
                seen.said = f"{feed}: most records are refused, above all: {why}"
                log.warning("%s", seen.said)
        return [seen.said for seen in self._seen.values() if seen.said]
