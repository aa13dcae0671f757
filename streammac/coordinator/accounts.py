"""What has become of every point: the counts of all processes, which outlive them.

Workers and ingest nodes tell their counts with every heartbeat. A process that dies takes none with it, and
the coordinator's own restart loses none: what it knew is in its durable state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streammac.coordinator.prequential import Predictions
from streammac.wire.reports import IngestReport, Lasting, ShardCounts
from streammac.wire.status import PointCounts


@dataclass(frozen=True, slots=True)
class Fed:
    """Points that came in by an ingest node."""

    sent: int = 0
    dead_lettered: int = 0
    duplicate: int = 0

    def __add__(self, other: Fed) -> Fed:
        return Fed(
            self.sent + other.sent,
            self.dead_lettered + other.dead_lettered,
            self.duplicate + other.duplicate,
        )

    def without(self, other: Lasting) -> Fed:
        """Return what the other does not know of."""
        sent, dead = self.sent - other.sent, self.dead_lettered - other.dead_lettered
        return Fed(max(0, sent), max(0, dead))


@dataclass(slots=True)
class Feed:
    """What an ingest node has brought in all its lives.

    Attributes
    ----------
    incarnation : int
        Its newest process.
    counts : Fed
        What that one counts.
    passing : Fed
        What of it the node's next life does not count again.
    former : Fed
        What was passing of all former lives.
    ended : bool
        It has ended with an answer to everything.
    settled : int
        Records that its ledger knows to be settled.
    """

    incarnation: int
    counts: Fed
    passing: Fed
    former: Fed = Fed()
    ended: bool = False
    settled: int = 0

    @property
    def lasting(self) -> Fed:
        """What the node's next life counts again, as long as it has its ledger."""
        sent = self.counts.sent - self.passing.sent
        return Fed(sent, self.counts.dead_lettered - self.passing.dead_lettered)


@dataclass(slots=True)
class Accounts:
    """Counts by process.

    Attributes
    ----------
    feeds : dict of str to Feed
        Those of each ingest node.
    shards : dict of str to ShardCounts
        The newest ones of each worker; they are cumulative over its incarnations.
    vanished : dict of str to int
        Points that a worker had and knows nothing of any more: its files are cut, gone, or older ones.
    predictions : Predictions
        How the models did on points before they were trained on them.
    """

    feeds: dict[str, Feed] = field(default_factory=dict)
    shards: dict[str, ShardCounts] = field(default_factory=dict)
    vanished: dict[str, int] = field(default_factory=dict)
    predictions: Predictions = field(default_factory=Predictions)

    def count_feed(self, name: str, incarnation: int, report: IngestReport) -> list[str]:
        """Take the counts of an ingest node; return what is damaged since its last life, in words."""
        sent, dead, duplicate = report.sent, report.dead_lettered, report.duplicate
        lasting = report.lasting
        passing = Fed(sent - lasting.sent, dead - lasting.dead_lettered, duplicate)
        feed = Feed(incarnation, Fed(sent, dead, duplicate), passing, settled=lasting.settled)
        damage = []
        known = self.feeds.get(name)
        if known is not None:
            if incarnation < known.incarnation:
                return []
            feed.former = known.former
            if incarnation > known.incarnation:
                feed.former += known.passing
                gone = known.settled - lasting.settled
                if gone > 0:
                    text = (
                        "settled records are not in its ledger, which is an older or a mended one"
                    )
                    damage.append(f"{gone:,} {text}: they may be stored twice")
                    feed.former += known.lasting.without(lasting)
        self.feeds[name] = feed
        return damage

    def count_shard(self, name: str, counts: ShardCounts) -> list[str]:
        """Take the counts of a worker whose shards are open; return what is damaged since the last ones, in words.

        Counts of a shard never go back. Where they do, something on its disk is not as the worker left it.
        """
        known = self.shards.get(name, ShardCounts())
        self.shards[name] = counts
        appended, withdrawn = known.appended - counts.appended, known.withdrawn - counts.withdrawn
        gone = max(0, appended - max(0, withdrawn))  # what had been withdrawn lives elsewhere
        damaged = max(0, counts.damaged - known.damaged)
        back = max(0, withdrawn - max(0, appended))
        if gone:
            self.vanished[name] = self.vanished.get(name, 0) + gone
        texts = {
            "points that it had are not in its directory: files are cut, missing or older": gone,
            "points are not as they were written": damaged,
            "points that went to other workers are back, and stored twice": back,
        }
        return [f"{count:,} {text}" for text, count in texts.items() if count]

    def end_feed(self, name: str, incarnation: int) -> None:
        """Take notice that an ingest node has ended with an answer to everything."""
        feed = self.feeds.get(name)
        if feed is not None and feed.incarnation == incarnation:
            feed.ended = True

    @property
    def open_feeds(self) -> set[str]:
        """Ingest nodes that may send something again that a shard has: those that have not ended."""
        return {name for name, feed in self.feeds.items() if not feed.ended}

    @property
    def accepted(self) -> int:
        """Points that were ever stored; one that was withdrawn from a shard is stored in another one."""
        stored = sum(shard.appended - shard.withdrawn for shard in self.shards.values())
        return stored + sum(self.vanished.values())

    def points(self, here: Collection[str]) -> PointCounts:
        """Return the sums: sent = accepted + dead_lettered, accepted = stored + expired + away + dropped + damaged.

        Parameters
        ----------
        here : collection of str
            Workers whose points are within reach; those of the others are ``away``.
        """
        fed = sum((feed.counts + feed.former for feed in self.feeds.values()), Fed())
        shards = self.shards.values()
        points = sum(shard.points for shard in shards)
        stored = sum(shard.points for name, shard in self.shards.items() if name in here)
        vanished = sum(self.vanished.values())
        return PointCounts(
            sent=fed.sent,
            accepted=self.accepted,
            duplicate=fed.duplicate + sum(shard.duplicates for shard in shards),
            dead_lettered=fed.dead_lettered,
            stored=stored,
            away=points - stored,
            expired=sum(shard.expired for shard in shards),
            dropped=sum(shard.dropped for shard in shards),
            damaged=sum(shard.damaged for shard in shards) + vanished,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the durable state."""
        state: dict[str, Any] = msgspec.to_builtins(self)
        return state

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Accounts:
        """Return what `to_json` was made from; empty accounts for an empty state."""
        return msgspec.convert(state, cls)
