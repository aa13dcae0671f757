"""Frames as MPI messages: what is packed comes out again where arrays can be used, and nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.wire.codec import MAX_FRAME_BYTES, WireError
from workers.transports.doorbell import Doorbell
from workers.transports.framing import ALIGNMENT, OWN_MESSAGE, following, pack, unpack

LENGTHS = st.one_of(st.integers(0, 100), st.integers(OWN_MESSAGE - 2, OWN_MESSAGE + 2))


def arrived(frame) -> np.ndarray:
    buffer = np.empty(len(frame), np.uint8)
    buffer[:] = np.frombuffer(frame, np.uint8)
    return buffer


@given(st.lists(LENGTHS, min_size=1, max_size=8))
def test_what_is_packed_comes_out_again_aligned(lengths):
    frames = [bytes([n % 251]) * length for n, length in enumerate(lengths)]
    head, large = pack(frames)
    buffer = arrived(head)
    assert following(buffer) == len(large) == sum(n >= OWN_MESSAGE for n in lengths)
    out = unpack(buffer, [arrived(frame) for frame in large])
    assert [bytes(frame) for frame in out] == frames
    for frame in out:
        assert frame.readonly
        assert not len(frame) or np.frombuffer(frame, np.uint8).ctypes.data % ALIGNMENT == 0


def words(*numbers: int) -> np.ndarray:
    return np.array(numbers, "<u8").view(np.uint8)


@pytest.mark.parametrize(
    "head",
    [
        words(),
        words(0),
        words(2, 8),
        words(1, 8),
        words(1 << 40, 8),
        words(1, MAX_FRAME_BYTES + 1),
        np.ones(3, np.uint8),
    ],
    ids=["nothing", "no frame", "half a table", "no content", "many", "too large", "no number"],
)
def test_nonsense_is_refused(head):
    with pytest.raises(WireError):
        unpack(head, [])


def test_a_large_frame_of_another_length_than_announced_is_refused():
    head, large = pack([b"x" * OWN_MESSAGE])
    with pytest.raises(WireError, match="were announced"):
        unpack(arrived(head), [arrived(large[0][:-1])])


def test_a_bell_is_heard_once_however_often_it_was_rung():
    here, there = Doorbell("127.0.0.1"), Doorbell("127.0.0.1")
    assert not here.rung()
    for _ in range(3):
        there.ring(here.address)
    assert here.rung()
    assert not here.rung()
    here.close()
    there.ring(here.address)  # nobody hears it
    there.close()
