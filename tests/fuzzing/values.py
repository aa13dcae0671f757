"""Values for the fields of messages, by their types: such as are meant, and such as are not.

A hostile value has the field's type, so that it can be encoded; it is at the edge of the field's range, or beyond it.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
from msgspec import Meta, Struct, structs

from streammac.wire.codec import DTYPES

TEXTS = (
    "w1",
    "w2",
    "i1",
    "c-1",
    "b/0",
    "host-a",
    "0a1b",
    "tcp://127.0.0.1:9",
    "http://127.0.0.1:9/metrics",
)
HOSTILE_TEXTS = (
    "", ".", "..", "../w1", "../../../../x", "/etc/passwd", "w1\n", "w1\0", "é", "<img src=x onerror=alert(1)>",
    "a" * 201, "a" * 1000, "\x1b[2J", "garbage", "nonsense://x", "tcp://", "tcp://:1", "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:70000", "tcp://127.0.0.1:-1", "tcp://127.0.0.1:*", "tcp://*:*", "tcp://a b:1", "tcp://[:1",
    "ipc:///tmp/x", "inproc://x", "tcp://127.0.0.1:1;tcp://127.0.0.1:2", "http://127.0.0.1:1/<x>", "javascript:x",
)  # fmt: skip
HOSTILE_INTS = (
    -(1 << 63),
    -1,
    0,
    1 << 31,
    1 << 53,
    (1 << 53) + 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
HOSTILE_FLOATS = (
    float("nan"), float("inf"), float("-inf"), -1.0, -0.0, 5e-324, 1e12, -1e300, 1e300, 1.7e308, -1.7e308,
)  # fmt: skip
HOSTILE_SHAPES = ((), (0,), (0, 4), (3, 0), (1, 1), (1, 4), (2, 4), (2, 5), (1, 1, 1, 1), (3,))


def meta_of(hint: Any) -> Iterator[Meta]:
    """Yield what a type says of the values that it takes."""
    if get_origin(hint) is Annotated:
        yield from (meta for meta in get_args(hint)[1:] if isinstance(meta, Meta))


@functools.cache
def fields_of(struct: Any) -> dict[str, Any]:
    """Return the fields of a struct or a typed dict, and their types."""
    hints = get_type_hints(struct, include_extras=True)
    return (
        hints if is_typeddict(struct) else {f.name: hints[f.name] for f in structs.fields(struct)}
    )


def valid(hint: Any, rng: random.Random) -> Any:
    """Return a value as it is meant."""
    inner = get_args(hint)
    match get_origin(hint):
        case None:
            return _plain(hint, rng)
        case origin if origin is Annotated:
            return _within(inner[0], list(meta_of(hint)), rng)
        case origin if origin is Literal:
            return rng.choice(inner)
        case origin if origin is tuple and inner[-1] is not Ellipsis:
            return tuple(valid(one, rng) for one in inner)
        case origin if origin is tuple:
            return tuple(valid(inner[0], rng) for _ in range(rng.randrange(4)))
        case origin if origin is dict:
            keys = [valid(inner[0], rng) for _ in range(rng.randrange(4))]
            return {key: valid(inner[1], rng) for key in keys}
    return valid(rng.choice(inner), rng)


def _within(base: Any, metas: list[Meta], rng: random.Random) -> Any:
    if base is str:
        fits = [t for t in TEXTS if all(re.match(m.pattern or "", t) for m in metas)]
        return rng.choice(fits)
    if base is int:
        least = max((int(m.ge) for m in metas if m.ge is not None), default=0)
        return max(least, rng.randrange(1, 1 << rng.randrange(1, 20)))
    return valid(base, rng)


def _plain(hint: Any, rng: random.Random) -> Any:
    if hint is np.ndarray:
        shape = [rng.randrange(4) for _ in range(rng.randrange(4))]
        return np.zeros(shape, rng.choice(sorted(DTYPES)))
    if is_typeddict(hint):
        return {name: valid(one, rng) for name, one in fields_of(hint).items()}
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint(**{name: valid(one, rng) for name, one in fields_of(hint).items()})
    simple = {float: rng.uniform(0.0, 9.0), bytes: rng.randbytes(rng.randrange(9))}
    return ({bool: rng.random() < 0.5, NoneType: None} | simple)[hint]


def points(rng: random.Random, share: float) -> dict[str, np.ndarray]:
    """Return arrays as those of points, four numbers each, each array hostile with a probability of ``share``."""
    count = rng.randrange(1, 4)
    arrays = {"x": np.ones((count, 4), np.float32), "y": np.ones(count), "time": np.ones(count)}
    return {
        name: hostile(np.ndarray, rng, 1.0) if rng.random() < share else array
        for name, array in arrays.items()
        if name == "x" or rng.random() < share
    }


def hostile(hint: Any, rng: random.Random, share: float = 0.3) -> Any:
    """Return a value of which each part is hostile with a probability of ``share``."""
    inner = get_args(hint)
    base = inner[0] if get_origin(hint) is Annotated else hint
    match get_origin(base):
        case origin if origin is tuple and get_args(base)[-1] is Ellipsis:
            if get_args(base)[0] is bytes and rng.random() > share:
                return ()  # keys are as many as points, or none
            many = rng.choice((0, 1, 2, 5, 200)) if rng.random() < share else rng.randrange(3)
            return tuple(hostile(get_args(base)[0], rng, share) for _ in range(many))
        case origin if origin is tuple:
            return tuple(hostile(one, rng, share) for one in get_args(base))
        case origin if origin is dict:
            key, value = get_args(base)
            if value is np.ndarray and rng.random() > share:
                return points(rng, share)
            many = rng.randrange(4)
            return {hostile(key, rng, share): hostile(value, rng, share) for _ in range(many)}
        case origin if origin is not None and origin is not Literal:
            return hostile(rng.choice(get_args(base)), rng, share)
    if is_typeddict(base):
        kept = {n: one for n, one in fields_of(base).items() if rng.random() > share / 2}
        return {name: hostile(one, rng, share) for name, one in kept.items()}
    if isinstance(base, type) and issubclass(base, Struct):
        return base(**{name: hostile(one, rng, share) for name, one in fields_of(base).items()})
    if rng.random() > share:
        return valid(hint, rng)
    if base is np.ndarray:
        array = np.zeros(rng.choice(HOSTILE_SHAPES), rng.choice(sorted(DTYPES)))
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array[...] = rng.choice(HOSTILE_FLOATS)
        return array
    choices = {
        str: HOSTILE_TEXTS,
        int: HOSTILE_INTS,
        float: HOSTILE_FLOATS,
        bytes: (b"", b"\xff" * 5000),
    }
    return rng.choice(choices[base]) if base in choices else valid(hint, rng)
