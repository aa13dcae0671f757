"""Documents: a flipped bit is noticed, and the former generation takes its place where there is one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammac.files.document import FORMER, Damaged, Loaded, decode, encode, load, save

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contents = st.dictionaries(st.text(), plain, max_size=4)


@given(contents)
def test_what_was_written_is_read(content):
    assert decode(encode(content)) == content


@given(contents, st.data())
def test_no_flipped_bit_changes_what_is_read(content, data):
    written = bytearray(encode(content))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert decode(bytes(written)) == content, "white space may change"
    except ValueError:
        pass


def test_what_was_written_before_there_were_checksums_is_read():
    assert decode(json.dumps({"view": 3}).encode()) == {"view": 3}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff", b'{"content": {}}', b'{"crc32": 1}'])
def test_what_is_no_document_is_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        decode(data)


def test_nothing_is_there_before_it_is_saved(tmp_path):
    assert load(tmp_path / "d.json") is None


def test_the_former_generation_is_used_where_the_document_is_damaged_or_gone(tmp_path):
    path = tmp_path / "d.json"
    save(path, {"n": 0}, keep_former=True)
    assert load(path.with_name(path.name + FORMER)) == Loaded({"n": 0})
    path.write_bytes(b"")
    assert load(path).content == {"n": 0}, "they are two files"
    save(path, {"n": 0}, keep_former=True)
    for number in (1, 2):
        save(path, {"n": number}, keep_former=True)
    assert {entry.name for entry in tmp_path.iterdir()} == {"d.json", "d.json.former"}
    assert load(path) == Loaded({"n": 2})
    path.write_bytes(path.read_bytes()[:-3])
    found = load(path)
    assert found.content == {"n": 1}
    assert found.damage.startswith(f"{path}: is damaged")
    path.unlink()
    assert load(path).damage == f"{path}: is missing; its former generation is used"


def test_a_damaged_document_never_takes_the_place_of_its_former_generation(tmp_path):
    path = tmp_path / "d.json"
    save(path, {"n": 1}, keep_former=True)
    save(path, {"n": 2}, keep_former=True)
    path.write_bytes(b"")
    save(path, {"n": 3}, keep_former=True)
    assert load(path) == Loaded({"n": 3})
    path.write_bytes(b"")
    assert load(path).content == {"n": 1}


@pytest.mark.parametrize("former", [None, b"{"])
def test_where_nothing_is_readable_the_error_names_the_file(tmp_path, former):
    path = tmp_path / "d.json"
    path.write_bytes(b"nothing")
    if former is not None:
        path.with_name(path.name + FORMER).write_bytes(former)
    with pytest.raises(Damaged, match=r"d\.json: is damaged .* - put"):
        load(path)
