"""The border: good points go through unchanged, bad ones are refused by name, none is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.csv_lines import decode_csv
from ingest.formats import decode_json
from ingest.records import MAX_KEY_BYTES, BadRecord, Raw
from ingest.validation import propose, validate
from streammac.points.block import PointBlock
from streammac.points.range import ROWS
from streammac.settings import schema
from streammac.wire.messages import StreamSchema

FLOATS = StreamSchema(3, "float32")
BYTES = StreamSchema(3, "uint8")
LIMIT = 1000
TOO_LARGE = "x: beyond 5.2e+15, the range of the arithmetic with 3 inputs"

finite = st.floats(-(2.0**52), 2.0**52, width=32)
rows = st.lists(
    st.tuples(
        st.lists(finite, min_size=3, max_size=3),
        st.sampled_from([None, float("nan"), float("inf"), float("-inf")]),
        st.integers(0, 2),
    ),
    max_size=20,
)


@given(rows, st.sampled_from(["<f4", "<f8"]))
def test_bad_rows_never_take_good_ones_with_them(rows, dtype):
    x = np.array([r for r, _, _ in rows], dtype).reshape(len(rows), 3)
    for i, (_, poison, at) in enumerate(rows):
        if poison is not None:
            x[i, at] = poison
    good = np.array([poison is None for _, poison, _ in rows], bool)
    points, refused = validate(PointBlock(x.copy()), FLOATS, LIMIT)
    assert points.x.dtype == np.float32
    np.testing.assert_array_equal(points.x, x[good].astype(np.float32))
    assert [r.raw for r in refused] == [row.tobytes() for row in x[~good]]
    assert all(r.reason == "x: NaN or infinite" for r in refused)


@pytest.mark.parametrize("form", ["array", "records"])
def test_what_is_no_class_is_refused_where_y_is_one(form):
    stream = StreamSchema(2, "float32", targets=1, classes=3)
    y = [0, 2, 3, -1, 1.5, 1]
    chunk = PointBlock(np.ones((6, 2)), np.array(y))
    if form == "records":
        lines = [json.dumps({"x": [1, 1], "y": one}).encode() for one in y]
        chunk = Raw(tuple(lines), decode_json)
    points, refused = validate(chunk, stream, LIMIT)
    assert points.y.tolist() == [[0], [2], [1]]
    got = [one.reason.removeprefix("y: expected a class from 0 to 2, got ") for one in refused]
    assert got == ["3", "-1", "1.5"]


@pytest.mark.parametrize("classes", [0, 3])
def test_a_chunk_without_a_usable_record_costs_these_records_alone(classes):
    stream = StreamSchema(2, "float32", targets=1, classes=classes)
    points, refused = validate(Raw((b"nonsense", b'{"x": [1]}'), decode_json), stream, LIMIT)
    assert (len(points), len(refused)) == (0, 2)


@given(rows)
def test_text_records_are_judged_like_arrays(rows):
    lines = []
    for values, poison, at in rows:
        if poison is not None:
            values[at] = poison
        lines.append(json.dumps({"x": values}).encode())
    points, refused = validate(Raw(tuple(lines), decode_json), FLOATS, LIMIT)
    bad = {json.dumps({"x": v}).encode() for v, poison, _ in rows if poison is not None}
    assert len(points) + len(refused) == len(rows)
    assert {r.raw for r in refused} == bad
    good = np.array([v for v, poison, _ in rows if poison is None], np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(points.x, good)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [1e20, -3.4028234e38])
def test_what_the_arithmetic_cannot_carry_is_refused(dtype, value):
    x = np.ones((4, 3), dtype)
    x[1, 2] = value
    points, refused = validate(PointBlock(x), FLOATS, LIMIT)
    assert len(points) == 3
    assert [r.reason for r in refused] == [TOO_LARGE]
    lines = tuple(json.dumps({"x": row.tolist()}).encode() for row in x)
    points, refused = validate(Raw(lines, decode_json), FLOATS, LIMIT)
    assert len(points) == 3
    assert [r.reason for r in refused] == [TOO_LARGE]


@pytest.mark.parametrize("x", [np.float64(1e300), 1 << 60])
def test_so_is_what_float32_cannot_hold_or_integers_can(x):
    points, refused = validate(PointBlock(np.array([[x, 0, 0], [1, 2, 3]])), FLOATS, LIMIT)
    assert (len(points), refused[0].reason) == (1, TOO_LARGE)


@given(st.integers(1, 4), st.data())
def test_squared_distances_of_what_is_taken_add_up_in_float32(dim, data):
    """The bound is derived for the most rows; here a few rows stand for all, counted as often."""
    row = st.lists(st.floats(width=32), min_size=dim, max_size=dim)
    x = np.array(data.draw(st.lists(row, min_size=2, max_size=6)), np.float32)
    points, _ = validate(PointBlock(x), StreamSchema(dim, "float32"), LIMIT)
    if len(points):
        difference = points.x[:, None] - points.x[None]
        worst = np.einsum("ijk,ijk->ij", difference, difference).max()
        assert np.isfinite(np.float32(ROWS * (1 - 1e-6)) * worst)


def test_the_settings_keep_to_the_rows_that_the_range_is_derived_for():
    assert schema.MOST_ROWS == ROWS


def test_a_stream_of_bytes_takes_whole_numbers_up_to_255():
    x = np.array([[0, 255, 7], [0, 256, 7], [0, -1, 7], [0.5, 1, 2]])
    points, refused = validate(PointBlock(x), BYTES, LIMIT)
    np.testing.assert_array_equal(points.x, [[0, 255, 7]])
    assert points.x.dtype == np.uint8
    assert [r.reason for r in refused] == ["x: not in 0..255"] * 3


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        (PointBlock(np.ones((2, 4))), "x: expected 3 numbers, got shape (4,)"),
        (PointBlock(np.ones((2, 3, 3))), "x: expected 3 numbers, got shape (3, 3)"),
        (PointBlock(np.array([["a", "b", "c"]] * 2)), "x: expected numbers, got <U1"),
        (PointBlock(np.ones((2, 3), np.complex64)), "x: expected numbers, got complex64"),
        (Raw((b'{"x": [1, 2]}',) * 2, decode_json), "x: expected 3 numbers, got 2"),
        (Raw((b'{"x": [1, 2, 1e99]}',) * 2, decode_json), TOO_LARGE),
        (
            Raw((b'{"x": [1, 2, 1%s]}' % (b"0" * 400),) * 2, decode_json),
            "x: beyond the range of float32",
        ),
        (Raw((b"1,2,x",) * 2, decode_csv), "column 3: expected a number, got 'x'"),
        (Raw((b"9" * (LIMIT + 1),) * 2, decode_csv), "larger than ingest.record_bytes = 1000"),
    ],
)
def test_what_is_wrong_is_said(chunk, said):
    points, refused = validate(chunk, FLOATS, LIMIT)
    assert len(points) == 0
    assert points.x.shape == (0, 3)
    assert [r.reason for r in refused] == [said] * 2


def test_a_record_larger_than_the_limit_is_refused():
    _, refused = validate(PointBlock(np.ones((1, 3))), FLOATS, record_bytes=10)
    assert "ingest.record_bytes" in refused[0].reason


class TestTargets:
    schema = StreamSchema(3, "float32", targets=1)

    def test_are_kept_beside_their_points(self):
        x = np.ones((3, 3), np.float32)
        x[1, 0] = np.nan
        points, _ = validate(PointBlock(x, np.array([1.0, 2.0, 3.0])), self.schema, LIMIT)
        np.testing.assert_array_equal(points.y, [[1.0], [3.0]])

    def test_that_are_missing_or_not_finite_refuse_the_point(self):
        _, refused = validate(PointBlock(np.ones((1, 3))), self.schema, LIMIT)
        assert refused[0].reason.startswith("y: missing")
        _, refused = validate(PointBlock(np.ones((1, 3)), np.array([np.nan])), self.schema, LIMIT)
        assert refused[0].reason == "y: NaN or infinite"
        _, refused = validate(Raw((b'{"x": [1, 2, 3]}',), decode_json), self.schema, LIMIT)
        assert refused[0].reason == "y: expected 1 numbers, got none"

    def test_that_the_stream_does_not_have_are_left_out(self):
        points, _ = validate(PointBlock(np.ones((1, 3)), np.ones(1)), FLOATS, LIMIT)
        assert points.y is None


def test_times_and_keys_stay_with_their_points():
    lines = (
        b'{"x": [1, 2, 3], "key": "a", "time": 5}',
        b"broken",
        b'{"x": [4, 5, 6], "key": 7, "time": "2026-01-01T00:00:00+00:00"}',
    )
    points, refused = validate(Raw(lines, decode_json), FLOATS, LIMIT)
    assert points.keys == (b"a", b"7")
    np.testing.assert_array_equal(points.time, [5.0, 1767225600.0])
    assert len(refused) == 1
    assert points.take(np.array([False, True])).keys == (b"7",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "expected an object or a list"),
        (b"{}", "x: missing"),
        (b'{"x": 1}', "x: expected a list of numbers"),
        (b'{"x": [true]}', "x[0]: expected a number"),
        (b'{"x": ["1"]}', "x[0]: expected a number"),
        (b'{"x": [1], "z": 2}', "'z': unknown field"),
        (b'{"x": [1], "key": []}', "key: expected text"),
        (b'{"x": [1], "key": "\\ud800"}', "key: not text"),
        (b'{"x": [1], "time": 1' + b"0" * 400 + b"}", "time: beyond the range"),
        (b'{"x": [1], "time": "noon"}', "time: expected seconds or ISO 8601"),
    ],
)
def test_a_json_record_that_is_wrong_says_where(line, said):
    with pytest.raises(BadRecord) as error:
        decode_json(line)
    assert said in str(error.value)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["\ud800", 10**30, 10**400, -(10**400), "0001-01-01", "9999-12-31T23:59-23:59"]
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
strange_records = st.fixed_dictionaries(
    {"x": st.just([1.0, 2.0, 3.0]) | anything},
    optional={"y": anything, "key": anything, "time": anything, "\ud800": anything},
)


@given(st.lists(strange_records, max_size=4), st.sampled_from([0, 1]))
def test_whatever_json_says_each_record_goes_through_or_is_refused(records, targets):
    lines = tuple(json.dumps(record).encode() for record in records)
    schema = StreamSchema(3, "float32", targets)
    points, refused = validate(
        Raw((*lines, b'{"x": [1, 2, 3], "y": 4}'), decode_json), schema, 10_000
    )
    assert len(points) + len(refused) == len(lines) + 1
    assert len(points) >= 1
    assert np.isfinite(points.x).all()
    for record in refused:
        record.reason.encode()  # it travels to clients and must be text


@pytest.mark.parametrize(
    "chunk",
    [
        PointBlock(np.ones((2, 3)), keys=(b"k" * (MAX_KEY_BYTES + 1), b"k" * MAX_KEY_BYTES)),
        Raw(
            tuple(
                json.dumps({"x": [1, 1, 1], "key": "k" * n}).encode()
                for n in (MAX_KEY_BYTES + 1, MAX_KEY_BYTES)
            ),
            decode_json,
        ),
    ],
)
def test_a_key_that_is_too_long_refuses_its_point(chunk):
    points, refused = validate(chunk, FLOATS, LIMIT)
    assert points.keys == (b"k" * MAX_KEY_BYTES,)
    assert [r.reason for r in refused] == ["key: longer than 512 bytes"]


@pytest.mark.parametrize("time", [float("inf"), -float("inf"), 1e308, -1e12, 3e11])
def test_a_time_that_is_none_refuses_its_point(time):
    x, times = np.zeros((3, 3), np.float32), np.array([5.0, time, float("nan")])
    points, refused = validate(PointBlock(x, None, times), FLOATS, LIMIT)
    np.testing.assert_array_equal(points.time, [5.0, float("nan")])
    assert [r.reason for r in refused] == [
        "time: expected seconds since 1970, of the years 1 to 9999"
    ]
    line = json.dumps({"x": [0, 0, 0], "time": time}).encode()
    _, refused = validate(Raw((line,), decode_json), FLOATS, LIMIT)
    assert [r.reason[:6] for r in refused] == ["time: "]


@given(st.binary(max_size=60))
def test_arbitrary_lines_are_a_record_or_a_bad_record(line):
    for decode in (decode_json, decode_csv):
        try:
            decode(line)
        except BadRecord:
            pass


class TestProposals:
    def test_the_first_usable_point_decides(self):
        lines = (b"nonsense", b'{"x": [1, 2], "y": 3}', b'{"x": [1]}')
        assert propose(Raw(lines, decode_json)) == StreamSchema(2, "float32", 1)
        assert propose(PointBlock(np.ones((2, 7), np.uint8))) == StreamSchema(7, "uint8")
        assert propose(PointBlock(np.ones((2, 7)), np.ones((2, 3)))) == StreamSchema(
            7, "float32", 3
        )

    def test_nothing_usable_proposes_nothing(self):
        assert propose(Raw((b"nonsense",), decode_json)) is None
        assert propose(PointBlock(np.ones(3))) is None
        assert propose(PointBlock(np.array([["a"]]))) is None


def test_refused_records_come_in_their_order_each_with_its_own_reason():
    lines = [b"[1, 2, 3]", b"[1, 2, 1e300]", b"[1, 2]", b"no", b"[1, 2, NaN]", b"[4, 5, 6]"]
    points, refused = validate(Raw(tuple(lines), decode_json), FLOATS, LIMIT)
    np.testing.assert_array_equal(points.x, [[1, 2, 3], [4, 5, 6]])
    assert [one.raw for one in refused] == lines[1:5]
    assert [one.reason.partition(":")[0] for one in refused] == ["x", "x", "not JSON", "x"]
    assert (refused[0].reason, refused[3].reason) == (TOO_LARGE, "x: NaN or infinite")
