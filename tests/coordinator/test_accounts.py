"""Counts outlive the processes that made them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streammac.coordinator.accounts import Accounts
from streammac.wire.reports import IngestReport, Lasting, ShardCounts


def shard(points, *, expired=0, withdrawn=0) -> ShardCounts:
    appended = points + expired + withdrawn
    return ShardCounts(points, appended=appended, expired=expired, withdrawn=withdrawn)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1),
    st.sets(st.sampled_from("abcd")),
)
def test_whoever_is_here_accepted_is_stored_expired_or_away(shards, here):
    accounts = Accounts()
    for name, (points, expired, withdrawn) in shards.items():
        accounts.count_shard(name, shard(points, expired=expired, withdrawn=withdrawn))
    sums = accounts.points(here)
    assert sums.accepted == sums.stored + sums.expired + sums.away
    assert sums.stored == sum(points for name, (points, *_) in shards.items() if name in here)


def test_an_ingest_node_counts_from_zero_after_a_restart_and_nothing_is_lost():
    accounts = Accounts()
    accounts.count_feed("i1", 1, IngestReport(sent=10, dead_lettered=1))
    accounts.count_feed("i1", 1, IngestReport(sent=30, dead_lettered=2, duplicate=4))
    accounts.count_feed("i1", 7, IngestReport(sent=5))
    accounts.count_feed("i1", 1, IngestReport(sent=99))  # a straggler of the former process
    accounts.count_feed("i1", 9, IngestReport(sent=1))
    sums = accounts.points(())
    assert (sums.sent, sums.dead_lettered, sums.duplicate) == (36, 2, 4)


def test_what_the_next_life_of_an_ingest_node_counts_again_is_counted_once():
    accounts = Accounts()
    former = IngestReport(sent=30, dead_lettered=3, lasting=Lasting(25, 2))
    accounts.count_feed("i1", 1, former)
    accounts.count_feed("i1", 2, IngestReport(sent=40, dead_lettered=2, lasting=Lasting(40)))
    sums = accounts.points(())
    assert (sums.sent, sums.dead_lettered) == (45, 3)


def test_counts_survive_the_coordinator():
    accounts = Accounts()
    accounts.count_feed("i1", 1, IngestReport(sent=10))
    accounts.count_shard("w1", shard(10))
    after = Accounts.from_json(json.loads(json.dumps(accounts.to_json())))
    assert after.points({"w1"}) == accounts.points({"w1"})
    assert after.points(()).away == 10, "it has not come back yet"


class TestDamage:
    def test_what_a_worker_counts_as_damaged_is_told_once(self):
        accounts = Accounts()
        assert accounts.count_shard("w1", ShardCounts(points=90, appended=90)) == []
        counts = ShardCounts(points=80, appended=90, damaged=10)
        assert accounts.count_shard("w1", counts) == ["10 points are not as they were written"]
        assert accounts.count_shard("w1", counts) == []
        found = accounts.points(["w1"])
        assert (found.accepted, found.stored, found.damaged) == (90, 80, 10)

    def test_points_that_a_worker_has_forgotten_stay_in_the_books_also_after_a_restart(self):
        accounts = Accounts()
        accounts.count_shard("w1", ShardCounts(points=3000, appended=3000))
        accounts = Accounts.from_json(accounts.to_json())
        [text] = accounts.count_shard("w1", ShardCounts(points=115, appended=115))
        assert text.startswith("2,885 points that it had are not in its directory")
        assert accounts.count_shard("w1", ShardCounts(points=200, appended=200)) == []
        accounts = Accounts.from_json(accounts.to_json())
        found = accounts.points(["w1"])
        assert (found.accepted, found.stored, found.damaged) == (3085, 200, 2885)

    def test_withdrawn_points_that_are_back_are_told(self):
        accounts = Accounts()
        accounts.count_shard("w1", ShardCounts(points=60, appended=100, withdrawn=40))
        [text] = accounts.count_shard("w1", ShardCounts(points=100, appended=100))
        assert text == "40 points that went to other workers are back, and stored twice"

    def test_withdrawn_points_that_are_cut_off_are_no_loss(self):
        accounts = Accounts()
        accounts.count_shard("w1", ShardCounts(points=60, appended=100, withdrawn=40))
        assert accounts.count_shard("w1", ShardCounts(points=60, appended=90, withdrawn=30)) == []
        [text] = accounts.count_shard("w1", ShardCounts(points=55, appended=75, withdrawn=20))
        assert text.startswith("5 points that it had are not in its directory")
        assert accounts.points(["w1"]).accepted == 60

    def test_an_ingest_node_that_knows_less_than_in_its_former_life_is_told_of(self):
        accounts = Accounts()
        assert (
            accounts.count_feed("i1", 1, IngestReport(sent=90, lasting=Lasting(settled=80))) == []
        )
        assert (
            accounts.count_feed("i1", 2, IngestReport(sent=80, lasting=Lasting(settled=80))) == []
        )
        accounts = Accounts.from_json(accounts.to_json())
        [text] = accounts.count_feed("i1", 3, IngestReport(sent=10, lasting=Lasting(settled=10)))
        assert text.startswith("70 settled records are not in its ledger")
        assert (
            accounts.count_feed("i1", 3, IngestReport(sent=20, lasting=Lasting(settled=20))) == []
        )

    def test_what_is_sent_once_more_for_want_of_a_ledger_counts_once_more(self):
        accounts = Accounts()
        whole = IngestReport(sent=90, dead_lettered=2, lasting=Lasting(90, 2, settled=90))
        accounts.count_feed("i1", 1, whole)
        assert accounts.count_feed("i1", 2, IngestReport()) != []
        assert accounts.points(()).sent == 90, "that it is not known any more undoes nothing"
        accounts.count_feed("i1", 2, whole)
        assert (accounts.points(()).sent, accounts.points(()).dead_lettered) == (180, 4)
