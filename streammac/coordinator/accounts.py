"""What has become of every point: the counts of all processes, which outlive them.

Workers and ingest nodes tell their counts with every heartbeat. A process that dies takes none with it, and
the coordinator's own restart loses none: what it knew is in its durable state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from streammac.wire.messages import Register

FEED = ("sent", "dead_lettered", "duplicate")
LASTING = ("lasting_sent", "lasting_dead_lettered")
SHARD = ("points", "appended", "expired", "withdrawn", "dropped", "duplicates", "handing", "giving")


@dataclass(slots=True)
class Accounts:
    """Counts by process.

    Attributes
    ----------
    feeds : dict
        Of each ingest node: its incarnation, that one's counts, and the sums of all former ones, without
        what is lasting of them: the next life of a node counts that again.
    shards : dict
        The newest counts of each worker; they are cumulative over its incarnations.
    """

    feeds: dict[str, dict[str, Any]] = field(default_factory=dict)
    shards: dict[str, dict[str, float]] = field(default_factory=dict)

    def count(self, process: Register, facts: Mapping[str, float]) -> None:
        """Take the counts of a process."""
        if process.role == "ingest":
            self.count_feed(process.name, process.incarnation, facts)
        else:
            self.count_shard(process.name, facts)

    def count_feed(self, name: str, incarnation: int, facts: Mapping[str, float]) -> None:
        """Take the counts of an ingest node."""
        counts = {count: facts.get(count, 0.0) for count in (*FEED, *LASTING)}
        known = self.feeds.get(name)
        former = dict.fromkeys(FEED, 0.0)
        if known is not None:
            if incarnation < known["incarnation"]:
                return
            former = known["former"]
            if incarnation > known["incarnation"]:
                last = known["counts"]
                former = {
                    count: former[count] + last[count] - last.get(f"lasting_{count}", 0.0)
                    for count in FEED
                }
        self.feeds[name] = {"incarnation": incarnation, "counts": counts, "former": former}

    def count_shard(self, name: str, facts: Mapping[str, float]) -> None:
        """Take the counts of a worker; one that has not opened its shard yet has none."""
        if "appended" in facts:
            self.shards[name] = {count: facts.get(count, 0.0) for count in SHARD}

    def may_hand(self, name: str) -> None:
        """Take notice that a worker is ordered to hand over points: it may do so, and die, before it tells."""
        self.shards.setdefault(name, dict.fromkeys(SHARD, 0.0))["giving"] = 1.0

    @property
    def handing(self) -> frozenset[str]:
        """Workers that move points, or may have something of that under way."""
        shards = self.shards.items()
        return frozenset(n for n, c in shards if c.get("handing") or c.get("giving"))

    def end_feed(self, name: str, incarnation: int) -> None:
        """Take notice that an ingest node has ended with an answer to everything."""
        if name in self.feeds and self.feeds[name]["incarnation"] == incarnation:
            self.feeds[name]["ended"] = True

    def unsettled(self) -> set[str]:
        """Return who may send something again that a shard has: feeds that have not ended, and workers that move."""
        feeds = {name for name, feed in self.feeds.items() if not feed.get("ended")}
        return feeds | self.handing

    def points(self, here: Collection[str]) -> dict[str, int]:
        """Return the sums: sent = accepted + dead_lettered, accepted = stored + expired + away + dropped.

        Parameters
        ----------
        here : collection of str
            Workers whose points are within reach; those of the others are ``away``.
        """

        def fed(count: str) -> float:
            return float(sum(f["counts"][count] + f["former"][count] for f in self.feeds.values()))

        def shard(count: str) -> float:
            return sum(counts.get(count, 0.0) for counts in self.shards.values())

        stored = sum(counts["points"] for name, counts in self.shards.items() if name in here)
        sums = {
            "sent": fed("sent"),
            # a point that was withdrawn from a shard is stored in another one
            "accepted": shard("appended") - shard("withdrawn"),
            "duplicate": fed("duplicate") + shard("duplicates"),
            "dead_lettered": fed("dead_lettered"),
            "stored": stored,
            "away": shard("points") - stored,
            "expired": shard("expired"),
            "dropped": shard("dropped"),
        }
        return {name: int(value) for name, value in sums.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the durable state."""
        return {"feeds": self.feeds, "shards": self.shards}
