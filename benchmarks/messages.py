"""What a message costs: microseconds to encode and to decode the most frequent ones, and bytes of header."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from functools import partial

import numpy as np

from streammac.wire.codec import Message, decode, encode
from streammac.wire.messages import Ack, Points, Token

POINTS, DIM, BITS = 500, 320, 4
REPEATS = 9


def samples() -> dict[str, Message]:
    tensors: dict[str, np.ndarray] = {
        "x": np.ones((POINTS, DIM), np.float32),
        "time": np.ones(POINTS),
    }
    keys = tuple(b"key-%d" % n for n in range(POINTS))
    block = dict.fromkeys(("encoder", "decoder", "average"), np.ones((DIM, BITS), np.float32))
    members = tuple(f"w{n}" for n in range(8))
    return {
        "Points": Points("camera", 1, 7, False, tensors, (), "ingest-1", 3),
        "Points with keys": Points("camera", 1, 7, False, tensors, keys),
        "Token": Token(3, 9, "block-4", 1, members, False, None, block),
        "Ack": Ack("camera", 1, 7, 3, "stored", 1 << 20),
    }


def microseconds(call: Callable[[], object]) -> float:
    timer = timeit.Timer(call, timer=time.process_time)
    times, _ = timer.autorange()
    return min(timer.repeat(REPEATS, times)) / times * 1e6


def main() -> None:
    for name, message in samples().items():
        frames = [bytes(frame) for frame in encode(message)]
        there, back = microseconds(partial(encode, message)), microseconds(partial(decode, frames))
        print(
            f"{name:17} encode {there:6.1f} us, decode {back:6.1f} us, header {len(frames[0])} bytes"
        )


if __name__ == "__main__":
    main()
