"""Single records: JSON, msgpack and CSV give the same numbers, or say what is wrong with them."""

from __future__ import annotations

import json
import math

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.csv_lines import Header, decode_csv
from ingest.formats import decode_json, decode_json_slowly, decode_packed
from ingest.records import BadRecord, Record

numbers = st.lists(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53), max_size=6)
records = st.fixed_dictionaries(
    {"x": numbers},
    optional={
        "y": numbers,
        "key": st.text(max_size=8),
        "time": st.floats(0, 4e9),
    },
)


@given(records)
def test_json_and_msgpack_describe_the_same_record(fields):
    record = decode_json(json.dumps(fields).encode())
    assert record.x == fields["x"]
    assert record.y == fields.get("y")
    assert record.key == fields.get("key", "").encode()
    packed = decode_packed(msgpack.packb(fields))
    assert (packed.x, packed.y, packed.key) == (record.x, record.y, record.key)
    if "time" in fields:
        assert packed.time == record.time == fields["time"]
    else:
        assert math.isnan(packed.time)
        assert math.isnan(record.time)


@given(
    numbers.filter(bool),
    st.sampled_from([",", ";", "\t", ", ", "; "]),
    st.sampled_from(["{}", '"{}"', " {}", '"{} "']),
)
def test_a_line_of_csv_is_read_however_it_is_written(values, separator, quoted):
    texts = [quoted.format(repr(float(value))) for value in values]
    line = separator.join(texts).encode()
    assert decode_csv(line).x == values
    if ";" in separator and len(values) > 1:
        assert decode_csv(line.replace(b".", b",")).x == values


@given(numbers.filter(bool))
def test_a_line_of_csv_is_the_same_as_a_list_of_numbers(values):
    line = ",".join(map(repr, values)).encode()
    assert decode_csv(line).x == decode_json(json.dumps(values).encode()).x


def test_a_single_target_needs_no_list():
    assert decode_json(b'{"x": [1], "y": 3}').y == decode_json(b'{"x": [1], "y": [3]}').y == [3]


def test_a_key_may_be_a_number_or_bytes():
    assert decode_json(b'{"x": [1], "key": 7}').key == b"7"
    assert decode_packed(msgpack.packb({"x": [1], "key": b"\xff"})).key == b"\xff"


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_record_or_a_bad_record(line):
    for decode in (decode_json, decode_csv, decode_packed):
        try:
            outcome = decode(line)
        except BadRecord as error:
            outcome = str(error)
        assert isinstance(outcome, Record) or outcome


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"\xc1", "not msgpack"),
        (b"", "not msgpack"),
        (b"\x91" * 5000, "not msgpack"),
        (msgpack.packb({"x": [1]}) + b"more", "not msgpack"),
        (msgpack.packb("text"), "expected an object or a list, got str"),
        (msgpack.packb({"y": 1}), "x: missing"),
        (msgpack.packb({"x": b"\x00\x01"}), "x: expected a list of numbers, got bytes"),
        (msgpack.packb([1, None]), "x[1]: expected a number"),
        (msgpack.packb({"x": [1], "y": "sky"}), "y: expected a number, got 'sky'"),
        (msgpack.packb({"x": [1], "y": True}), "y: expected a number, got 'True'"),
        (msgpack.packb({"x": [1], "y": [0, "sky"]}), "y[1]: expected a number, got 'sky'"),
        (msgpack.packb({"x": [1], "key": 1.5}), "key: expected text or an integer, got float"),
    ],
)
def test_a_packed_record_that_is_wrong_says_where(packed, said):
    with pytest.raises(BadRecord) as error:
        decode_packed(packed)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1,,3", "column 2: expected a number, got ''"),
        (b'"1,5",2', "column 1: expected a number, got '1,5'"),
        (b"1.234,5;2", "column 1: expected a number, got '1.234,5'"),
        (b"1 2", "column 1: expected a number, got '1 2'"),
        (b'"a"', "column 1: expected a number, got 'a'"),
        (b'"' + b"1" * 200_000 + b'"', "not CSV: field larger than"),
        (b"1,1_000", "column 2: expected a number, got '1_000'"),
        (b"\xff", "column 1: expected a number"),
    ],
)
def test_a_line_of_csv_that_is_wrong_names_the_column(line, said):
    with pytest.raises(BadRecord) as error:
        decode_csv(line)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"height,width", True),
        (b"col_1,col_2", True),
        (b"1_0,2_0", True),
        (b'"length;in cm";width', True),
        (b";;", False),
        (b'"' + b"1" * 200_000 + b'"', False),
        (b"1.5,width", False),
        (b"1,2", False),
        (b"nan,inf", False),
        (b"0,5;-2,25", False),
        (b'"0,5";"x"', False),
    ],
)
def test_a_header_has_no_number_in_it(line, header):
    assert Header().takes(line) == header


wild = st.one_of(
    st.booleans(),
    st.none(),
    st.floats(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.text(max_size=4),
    st.sampled_from(["2020-01-01", "x", "\ud800", "1"]),
)
wild_records = st.dictionaries(
    st.sampled_from(["x", "y", "key", "time", "z"]),
    st.lists(st.floats() | st.integers(), max_size=3) | wild | st.lists(wild, max_size=3),
)
spoilt = st.sampled_from(
    [b"", b" ", b",", b"\x00", b"\xff", b"}", b"1e999", b'"x":[1],', b"\xef\xbb\xbf"]
)


@given(
    st.one_of(wild_records, st.lists(wild, max_size=3), wild),
    st.booleans(),
    st.integers(0, 40),
    spoilt,
)
def test_the_quick_way_through_json_tells_the_same_as_the_slow_one(value, is_ascii, at, spoil):
    line = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    line = line[:at] + spoil + line[at:]

    def outcome(decode):
        try:
            record = decode(line)
        except BadRecord as error:
            return str(error)
        x, y = (None if v is None else np.array(v, float).tolist() for v in (record.x, record.y))
        return repr((x, y, record.key, record.time))

    assert outcome(decode_json) == outcome(decode_json_slowly)
