"""A seeded fuzzer: valid frames of every message, damaged in many ways, never do more than be refused.

Hypothesis (`test_codec.py`) looks for small counterexamples; this goes for depth: several damages at once, at the level
of bytes, of frames and of the header's fields. A failure prints its seed, which repeats it.
"""

import random
from typing import Any

import msgpack
import pytest

from streammac.wire.codec import Message, WireError, decode, encode
from tests.fuzzing.values import valid
from tests.wire.test_codec import KINDS

ROUNDS = 400
"""Damaged messages per kind."""
MAX_DAMAGES = 4
ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63 - 1, 2**64 - 1, 1e308, float("nan"), float("inf"), "",
    "\0", "w1", "\ud7ff" * 3, "x" * 5000, b"", b"\xff" * 9, [], {}, [[]], {"": None}, "<f8", "|O8",
]  # fmt: skip
Frames = list[bytes]


def damaged_bytes(frames: Frames, rng: random.Random) -> Frames:
    at = rng.randrange(len(frames))
    frame = bytearray(frames[at])
    first, last = sorted((rng.randint(0, len(frame)), rng.randint(0, len(frame))))
    match rng.randrange(4):
        case 0 if frame:
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        case 1:
            del frame[first:last]
        case 2:
            frame[first:first] = rng.randbytes(rng.randrange(1, 9))
        case _:
            frame[first:first] = frame[first:last]
    return [*frames[:at], bytes(frame), *frames[at + 1 :]]


def damaged_frames(frames: Frames, rng: random.Random) -> Frames:
    frames = list(frames)
    match rng.randrange(4):
        case 0 if len(frames) > 1:
            frames.pop(rng.randrange(len(frames)))
        case 1:
            frames.insert(rng.randint(0, len(frames)), rng.choice(frames))
        case 2:
            rng.shuffle(frames)
        case _:
            frames.append(rng.randbytes(rng.randrange(40)))
    return frames


def damaged_header(frames: Frames, rng: random.Random) -> Frames:
    """Put an odd value somewhere into the header: still msgpack, but not what was meant."""
    try:
        head = msgpack.unpackb(frames[0], strict_map_key=False)
    except Exception:  # damaged before
        return frames
    if not isinstance(head, dict | list) or not head:
        return frames
    node = head
    while True:
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        inside = node[key]
        if not isinstance(inside, dict | list) or not inside or rng.random() < 0.25:
            break
        node = inside
    if isinstance(node, dict) and rng.random() < 0.2:
        node[rng.choice(["", "tensors", "v", key])] = rng.choice(ODD)
    else:
        node[key] = rng.choice(ODD)
    return [msgpack.packb(head), *frames[1:]]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_frames_are_a_wire_error_or_a_message_that_can_be_sent_on(kind):
    refused = 0
    for number in range(ROUNDS):
        seed = f"{kind.__name__}:{number}"
        rng = random.Random(seed)
        frames = [bytes(frame) for frame in encode(valid(kind, rng))]
        for _ in range(rng.randint(1, MAX_DAMAGES)):
            frames = rng.choice((damaged_bytes, damaged_frames, damaged_header))(frames, rng)
        try:
            message = decode(frames)
        except WireError:
            refused += 1
        except Exception as error:
            pytest.fail(f"{seed}: {error!r} of {frames!r}")
        else:
            assert isinstance(message, Message), seed
            again = [bytes(frame) for frame in encode(message)]
            assert type(decode(again)) is type(message), seed
    assert refused > ROUNDS // 4, "the damage does not do any"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_was_whole(kind):
    rng = random.Random(kind.__name__)
    assert isinstance(decode([bytes(frame) for frame in encode(valid(kind, rng))]), kind)
