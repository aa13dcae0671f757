"""Bodies of requests: whatever they hold, they are records, or the sender is told what is wrong."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.bodies import JSON, MSGPACK, NDJSON, BadBody, chunk_of
from ingest.validation import propose, validate
from streammac.wire.messages import StreamSchema

KINDS = (NDJSON[0], JSON[0], MSGPACK[0])
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
values = st.recursive(
    scalars | st.binary(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=12
)
arrays = st.fixed_dictionaries(
    {
        "x": st.binary(max_size=64) | values,
        "shape": st.lists(st.integers(-2, 9) | scalars, max_size=3),
        "dtype": st.sampled_from(["<f4", "<f8", "|u1", "O"]) | scalars,
    }
)
packed = (values | arrays).map(lambda value: msgpack.packb(value, unicode_errors="surrogatepass"))
lines = st.sampled_from([b"[1, 2]", b'{"x": [1]}', b"{", b"[[]]", b"\xff", b"\r", b"[1e999]"])


def use(kind: str, body: bytes) -> None:
    try:
        chunk, _ = chunk_of(kind, body)
    except BadBody:
        return
    propose(chunk)
    points, refused = validate(chunk, StreamSchema(2, "float32"), 500)
    assert len(points) + len(refused) == len(chunk)
    assert len(chunk) <= max(1, len(body))


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.binary(max_size=200) | packed | st.lists(lines).map(b"\n".join),
)
def test_any_body_is_records_or_told_to_be_bad(kind, body):
    use(kind, body)


@pytest.mark.parametrize("depth", [50, 400, 900, 990, 1000, 1023, 1024, 5000, 100_000])
def test_however_deep_it_is_nested_it_is_bad_and_no_more(depth):
    nested, packed_nested = b"[" * depth + b"]" * depth, b"\x91" * depth + b"\x90"
    use(JSON[0], nested)
    use(JSON[0], b'{"x": [1, ' + nested + b"]}")
    use(NDJSON[0], b"[1, 2]\n[1, " + nested + b"]")
    use(MSGPACK[0], packed_nested)
    use(MSGPACK[0], b"\x91\x81\xa1x\x92\x01" + packed_nested)
    use(MSGPACK[0], b"\x83\xa1x\xc4\x00\xa5dtype\xa3<f4\xa5shape\x92\x01" + packed_nested)
    use(MSGPACK[0], b"\x83\xa1x\xc4\x00\xa5shape\x92\x01\x01\xa5dtype" + packed_nested)
    use(MSGPACK[0], b"\x82\xa1x\x91\x01\xa3key" + packed_nested)
