"""Which segments are dropped: the oldest, whole, and never below the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streammac.store.retention import Extent, Retention

extents = st.lists(
    st.builds(Extent, st.integers(1, 50), st.integers(1, 500), st.floats(0, 100)), max_size=8
)


@given(extents, st.integers(1, 200))
def test_at_least_the_limit_is_kept_and_at_most_a_segment_more(segments, limit):
    drop = Retention(points=limit).surplus(segments, now=0.0)
    kept = segments[drop:]
    points = sum(s.points for s in kept)
    assert drop == 0 or points >= limit
    assert len(kept) <= 1 or points - kept[0].points < limit


@given(extents, st.integers(1, 2000))
def test_bytes_are_bounded_alike(segments, limit):
    drop = Retention(bytes=limit).surplus(segments, now=0.0)
    kept = segments[drop:]
    size = sum(s.bytes for s in kept)
    assert drop == 0 or size >= limit
    assert len(kept) <= 1 or size - kept[0].bytes < limit


def test_old_segments_go_and_the_one_being_written_stays():
    segments = [Extent(10, 10, newest) for newest in (1.0, 5.0, 9.0)]
    assert Retention(age_s=3.0).surplus(segments, now=10.0) == 2
    assert Retention(age_s=3.0).surplus(segments, now=1000.0) == 2
    assert Retention(age_s=5.0).surplus(segments, now=10.0) == 1, "of that age is not older"
    assert Retention(age_s=9.0).surplus(segments, now=10.0) == 0


def test_each_limit_alone_is_reason_enough():
    segments = [Extent(10, 100, 0.0)] * 4
    limits = {"points": 30, "bytes": 200, "age_s": 50.0}
    assert Retention(**limits).surplus(segments, now=0.0) == 2, "by bytes, though points are few"
    assert Retention(points=20, bytes=300).surplus(segments, now=0.0) == 2
    assert Retention(**limits).surplus(segments, now=51.0) == 3


@given(extents)
def test_without_limits_everything_stays(segments):
    assert Retention().surplus(segments, now=1e9) == 0
