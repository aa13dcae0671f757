"""What a node knows of its feeds in its next life."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.positions import Positions
from ingest.progress import FeedAt, FeedBegun, IngestState, Replaced
from ingest.sources import open_source
from ingest.sources.base import seekable
from streammac.delivery.ledger import pack, unpack
from streammac.delivery.records import Handed, Settled

FEED = 9
BEGUN = FeedBegun("f", "id", FEED, 4, 0.1)
sequences = st.integers(0, 20)
incarnations = st.sampled_from([1, -FEED])
records = st.one_of(
    st.builds(Handed, st.just("s"), incarnations, sequences, st.sampled_from(["w1", "w2"])),
    st.builds(Settled, st.just("s"), incarnations, sequences, st.integers(0, 50)),
    st.builds(FeedBegun, st.just("f"), st.just("id"), st.just(FEED), st.just(4), st.just(0.1)),
    st.builds(FeedAt, st.just("f"), st.integers(0, 10), st.integers(0, 99), st.integers(0, 3)),
    st.builds(Replaced, st.integers(0, 10), st.integers(0, 10)),
)


def plain(state: IngestState):
    feeds = {name: (feed.begun, feed.at) for name, feed in state.feeds.items()}
    return (
        state.handed,
        state.settled.to_json(),
        feeds,
        state.replaced,
        state.answered,
        state.points,
    )


def added_up(written) -> IngestState:
    state = IngestState()
    for record in written:
        state.apply(record)
    return state


@given(st.lists(records, max_size=40))
def test_the_fewest_records_add_up_to_the_same(written):
    state = added_up([BEGUN, *written])
    assert plain(added_up(state.records())) == plain(state)


def test_a_feed_forgets_what_is_behind_its_position():
    settled = [Settled("s", -FEED, n, 4) for n in (0, 1, 8, 16)]
    state = added_up([BEGUN, *settled, Handed("s", -FEED, 17, "w1"), FeedAt("f", 8, 0, 0)])
    assert [m.sequence for m in state.settled] == [16]
    assert state.points == 0, "records of feeds are counted by their position"
    state.apply(FeedBegun("f", "other", FEED + 1, 4, 0.1))
    assert not state.settled
    assert not state.handed


@pytest.mark.parametrize(
    ("batch_points", "rate", "read"),
    [(32, None, 1024), (30, None, 1020), (2048, None, 2048), (32, 100, 10)],
)
def test_where_batches_are_small_a_feed_is_read_many_at_a_time(tmp_path, batch_points, rate, read):
    np.save(tmp_path / "feed.npy", np.ones((5000, 2), np.float32))
    source = open_source(f"{tmp_path}/feed.npy" + (f"?rate={rate}" if rate else ""))
    _, begun = Positions(IngestState(), 1).open("feed", seekable(source), batch_points, 0.1)
    assert (begun.chunk_points, begun.batch_points) == (read, min(read, batch_points))


def test_a_feed_that_began_before_there_was_a_choice_is_read_as_it_was():
    kinds = IngestState.kinds
    old = msgpack.packb([kinds.index(FeedBegun), "f", "id", FEED, 4, 0.1])
    assert unpack(old, kinds) == BEGUN
    assert unpack(pack(BEGUN, kinds), kinds) == BEGUN
    assert BEGUN.chunk_points == 0
