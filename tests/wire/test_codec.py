"""The codec: every message comes back as it was, and nothing else comes in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, is_typeddict

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

import ingest
import streammac
import workers
from streammac.wire import codec, messages
from streammac.wire.codec import (
    BUNDLE_BYTES,
    DTYPES,
    MAX_DIMENSIONS,
    MAX_FRAME_BYTES,
    MAX_FRAMES,
    MAX_HEADER_BYTES,
    PROTOCOL,
    Message,
    WireError,
    decode,
    decode_all,
    encode,
    encode_all,
)
from streammac.wire.messages import HeldOutPoints, Points, Token
from tests.fuzzing.values import fields_of, meta_of

KINDS = [v for v in vars(messages).values() if isinstance(v, type) and issubclass(v, Message)]
KINDS.remove(Message)

arrays = st.builds(
    lambda shape, dtype: (np.arange(np.prod(shape, dtype=int)) % 200).reshape(shape).astype(dtype),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from(sorted(DTYPES)),
)
text = st.text(max_size=20)
SIMPLE = {
    int: st.integers(1, 2**62),
    str: text,
    bool: st.booleans(),
    bytes: st.binary(max_size=9),
    float: st.floats(allow_nan=False),
    type(None): st.none(),
    np.ndarray: arrays,
}


def values_of(hint) -> st.SearchStrategy:
    """Return a strategy for whatever the fields of messages are declared as."""
    inner = get_args(hint)
    match get_origin(hint):
        case None:
            return SIMPLE[hint] if hint in SIMPLE else built(hint)
        case origin if origin is Annotated:
            return within(inner[0], list(meta_of(hint)))
        case origin if origin is Literal:
            return st.sampled_from(inner)
        case origin if origin is tuple and inner[-1] is not Ellipsis:
            return st.tuples(*map(values_of, inner))
        case origin if origin is tuple:
            return st.lists(values_of(inner[0]), max_size=3).map(tuple)
        case origin if origin is dict:
            return st.dictionaries(values_of(inner[0]), values_of(inner[1]), max_size=3)
    return st.one_of([values_of(one) for one in inner])


def within(base, metas) -> st.SearchStrategy:
    """Return a strategy for values with these bounds."""
    patterns = [meta.pattern for meta in metas if meta.pattern]
    if patterns:
        return st.from_regex(patterns[0].replace(r"\Z", "$"), fullmatch=True)
    if base in (int, float):
        least = max(meta.ge for meta in metas if meta.ge is not None)
        most = min(meta.le for meta in metas if meta.le is not None)
        return (st.integers if base is int else st.floats)(least, most)
    return values_of(base)


def built(cls: type) -> st.SearchStrategy:
    parts = {name: values_of(hint) for name, hint in fields_of(cls).items()}
    return (
        st.fixed_dictionaries({}, optional=parts) if is_typeddict(cls) else st.builds(cls, **parts)
    )


samples = st.one_of([built(kind) for kind in KINDS])


def assert_same(one: Message, other: Message) -> None:
    assert type(one) is type(other)
    for name in type(one).__struct_fields__:
        a, b = getattr(one, name), getattr(other, name)
        if name != "tensors":
            assert a == b
            continue
        assert a.keys() == b.keys()
        for key, array in a.items():
            assert array.dtype == b[key].dtype
            np.testing.assert_array_equal(array, b[key])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_message_comes_back_as_it_was(kind, data):
    message = data.draw(built(kind))
    assert_same(message, decode([bytes(frame) for frame in encode(message)]))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 0, 4), (1,), (2, 3)])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_arrays_keep_their_shape_and_type_even_without_elements_or_dimensions(shape, dtype):
    array = np.ones(shape, dtype)
    sent = encode(HeldOutPoints("w1", {"x": array, "turned": array.T}))
    got = decode([bytes(frame) for frame in sent])
    assert (got.tensors["x"].shape, got.tensors["x"].dtype.str) == (shape, dtype)
    assert got.tensors["turned"].shape == array.T.shape


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_arbitrary_frames_are_a_wire_error(frames):
    with pytest.raises(WireError):
        decode(frames)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | text | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    st.sampled_from([kind.__name__ for kind in KINDS]) | text,
    st.dictionaries(text | st.sampled_from(["name", "x", "tensors", "view"]), values, max_size=5),
    values,
)
def test_headers_with_arbitrary_contents_are_a_wire_error_or_a_message(kind, body, described):
    tensors = {"tensors": {"x": described}} if isinstance(described, list) else {}
    head = msgpack.packb({"v": PROTOCOL, "kind": kind, "body": body | tensors})
    try:
        assert isinstance(decode([head]), Message)
    except WireError:
        pass


@settings(max_examples=300)
@given(samples, st.data())
def test_a_damaged_message_is_a_wire_error_or_a_message(message, data):
    frames = [bytearray(frame) for frame in encode(message)]
    victim = data.draw(st.sampled_from([f for f in frames if f]))
    victim[data.draw(st.integers(0, len(victim) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        frames.pop(data.draw(st.integers(0, len(frames) - 1)))
    try:
        assert isinstance(decode([bytes(f) for f in frames]), Message)
    except WireError:
        pass


def told(found) -> list:
    """Messages as they can be compared, and what is no message."""
    return [one if isinstance(one, WireError) else [bytes(f) for f in encode(one)] for one in found]


@given(st.lists(samples, max_size=8), st.sampled_from([codec.SMALL_BYTES, 100, 0]))
def test_messages_travel_together_as_they_do_alone(sent, small):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "SMALL_BYTES", small)
        sendings = [[bytes(frame) for frame in frames] for frames in encode_all(sent)]
    assert len(sendings) == len(sent) or small
    arrived = [message for frames in sendings for message in decode_all(frames)]
    assert told(arrived) == told(sent)
    aligned = [a.ctypes.data % 4 for m in arrived for a in getattr(m, "tensors", {}).values()]
    assert not any(aligned)


def small_points(sequence, count=32) -> Points:
    x = np.full((count, 128), sequence, np.float32)
    return Points("s", 1, sequence, False, {"x": x}, (), "i1")


def test_a_bundle_is_bounded_and_large_messages_go_alone_in_their_order():
    sent = [*map(small_points, range(40)), small_points(40, 1024), small_points(41)]
    sendings = list(encode_all(sent))
    assert max(len(frames[1]) for frames in sendings[:-2]) <= BUNDLE_BYTES
    assert len(sendings) == 5
    arrived = [m for frames in sendings for m in decode_all([bytes(f) for f in frames])]
    assert [m.sequence for m in arrived] == list(range(42))


def test_what_is_wrong_in_a_bundle_costs_itself_alone():
    (frames,) = encode_all(map(small_points, range(3)))
    spoilt = bytes(frames[0]).replace(b"held_out\xc2", b"held_out\x07", 1)
    first, *others = decode_all([spoilt, bytes(frames[1])])
    assert "Points: Expected `bool`" in str(first)
    assert [m.sequence for m in others] == [1, 2]
    (error,) = decode_all([bytes(frames[0]), bytes(frames[1])[:-8]])
    assert "second frame" in str(error)
    (error,) = decode_all([header(kind="Bundle", body=[["Stop", {}]]), b""])
    assert "Bundle: " in str(error)
    inner, *_ = decode_all([header(kind="Bundle", body=[["Bundle", [], 0]]), b""])
    assert "unknown message kind" in str(inner)


@settings(max_examples=200)
@given(st.lists(samples, min_size=2, max_size=4), st.data())
def test_a_damaged_bundle_is_wire_errors_and_messages(sent, data):
    for frames in map(list, encode_all(sent)):
        spoilt = [bytearray(frame) for frame in frames]
        victim = data.draw(st.sampled_from([f for f in spoilt if f]))
        victim[data.draw(st.integers(0, len(victim) - 1))] ^= data.draw(st.integers(1, 255))
        for one in decode_all([bytes(f) for f in spoilt]):
            assert isinstance(one, Message | WireError)


def header(**changes) -> bytes:
    head = {
        "v": PROTOCOL,
        "kind": "RestartContinuation",
        "body": {"number": 1, "fresh": True},
    }
    return msgpack.packb(head | changes)


def restart(**changes) -> bytes:
    return header(body={"number": 1, "fresh": True} | changes)


def held_out(*described: object) -> bytes:
    tensors = {str(n): one for n, one in enumerate(described)}
    return header(kind="HeldOutPoints", body={"name": "w1", "tensors": tensors})


def route(**changes) -> bytes:
    one = {"name": "w1", "address": "tcp://h:1", "incarnation": 1, "weight": 1.0}
    return header(kind="Routes", body={"workers": [one | changes]})


def ack(**changes) -> bytes:
    body = structs.asdict(messages.Ack("cam", 1, 1, 1, "stored", 1))
    return header(kind="Ack", body=body | changes)


one = msgpack.packb("x") + msgpack.packb(["<f4", [1]])
twice = held_out().replace(msgpack.packb({}), b"\x82" + one + one)
"""Two arrays of one name."""


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([], "expected 1 to"),
        ([b""] * (MAX_FRAMES + 1), "frames"),
        ([b"x" * (MAX_HEADER_BYTES + 1)], "header of"),
        ([b"\xc1"], "not a header"),
        ([msgpack.packb([1])], "not a header"),
        ([header(arrays=[])], "not a header"),
        ([header() + b"\0"], "not a header"),
        ([b"\x91" * 100_000], "not a header"),
        ([header(body=None)[:-1] + b"\x91" * 100_000], "not a header"),
        ([header(body=None)[:-1] + b"\xdd\xff\xff\xff\xff"], "not a header"),
        ([header(v=PROTOCOL + 1)], f"protocol {PROTOCOL + 1}"),
        ([header(v=True)], "not a header"),
        ([header(kind="Nonesuch")], "unknown message kind"),
        ([header(kind="Message")], "unknown message kind"),
        ([header(kind="EpochPlan")], "unknown message kind"),
        ([header(body=[])], "RestartContinuation: Expected `object`"),
        (
            [header(body={"number": 1})],
            "RestartContinuation: Object missing required field `fresh`",
        ),
        ([restart(more=1)], "RestartContinuation: Object contains unknown field `more`"),
        ([restart(**{"x" * 5000: 1})], "RestartContinuation: Object contains unknown field `xxx"),
        ([restart(number=-1)], "RestartContinuation: Expected `int` >= 0 - at `$.number`"),
        ([restart(number=1.0)], "RestartContinuation: Expected `int`, got `float` - at `$.number`"),
        ([restart(number=True)], "RestartContinuation: Expected `int`, got `bool` - at `$.number`"),
        ([restart(number="1")], "RestartContinuation: Expected `int`, got `str` - at `$.number`"),
        ([restart(fresh=1)], "RestartContinuation: Expected `bool`, got `int` - at `$.fresh`"),
        ([restart(tensors={})], "RestartContinuation: Object contains unknown field `tensors`"),
        ([restart(), b"1234"], "the number of arrays and of frames differ"),
        ([held_out(["<f4", [1]])], "HeldOutPoints: more arrays than frames"),
        ([held_out(["|O8", [1]]), b"12345678"], "described wrongly - at `$.tensors[...]`"),
        ([held_out(["<f4"]), b"1234"], "described wrongly"),
        ([held_out({"<f4": [1]}), b"1234"], "described wrongly"),
        ([held_out(["<f4", [2]]), b"1234"], "do not make"),
        ([held_out(["<f4", [-1]]), b"1234"], "beyond the limits"),
        ([held_out(["<f4", [True]]), b"1234"], "beyond the limits"),
        ([held_out(["|u1", [1] * (MAX_DIMENSIONS + 1)]), b"1"], "beyond the limits"),
        ([held_out(["|u1", [MAX_FRAME_BYTES + 1, 0]]), b""], "beyond the limits"),
        ([header(kind="Stop", body={"reason": "x" * ((1 << 19) + 1)})], "at `$.reason`"),
        ([header(kind="Stop", body={"reason": b"bytes"})], "Expected `str`, got `bytes`"),
        (
            [header(kind="OpenSession", body={"sender": "x" * 65})],
            "OpenSession: Expected `str` matching regex",
        ),
        ([route(weight=float("nan"))], "Routes: Expected `float` >= 0.0"),
        ([route(more=1)], "unknown field `more` - at `$.workers[0]`"),
        ([ack(sequence=1 << 63)], "Ack: Expected `int` <= "),
        ([ack(outcome="lost")], "at `$.outcome`"),
        ([twice, b"1234", b"1234"], "the number of arrays and of frames differ"),
    ],
)
def test_what_is_wrong_is_said(frames, said):
    with pytest.raises(WireError, match=re.escape(said)) as error:
        decode(frames)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_learnt_is_finite(number, dtype):
    large = np.full(100, np.finfo(dtype).max)
    assert decode([bytes(f) for f in encode(HeldOutPoints("w1", {"x": large}))])
    large[7] = number
    frames = [bytes(f) for f in encode(HeldOutPoints("w1", {"x": large}))]
    with pytest.raises(WireError, match=re.escape("NaN or infinite - at `$.tensors.x`")):
        decode(frames)
    # of points one by one becomes a dead letter, or is refused
    assert decode([bytes(f) for f in encode(messages.Push("c", 1, 1, {"x": large}))])


def test_arrays_are_views_that_cannot_be_written():
    token = Token(1, 1, "b", 0, (), False, None, {"a": np.ones(3, np.float32)})
    got = decode([bytes(f) for f in encode(token)])
    with pytest.raises(ValueError, match="read-only"):
        got.tensors["a"][0] = 2


def test_every_message_has_a_validator():
    assert len(KINDS) > 20
    for kind in KINDS:
        with pytest.raises(WireError):
            decode([header(kind=kind.__name__, body={"no such field": 1})])


def test_there_is_no_pickle_anywhere():
    forbidden = re.compile(
        r"pickle\.|import (pickle|marshal|shelve|joblib|dill)|recv_pyobj|send_pyobj|allow_pickle=True|\b(eval|exec)\("
    )
    found = []
    for package in (streammac, workers, ingest):
        for path in Path(package.__file__).parent.rglob("*.py"):
            found += [f"{path}: {line}" for line in path.open() if forbidden.search(line)]
    assert found == []
