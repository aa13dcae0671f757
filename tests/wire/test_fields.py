"""Every field of every message has a range: no number, text or list of a peer is taken as it comes."""

from __future__ import annotations

import math
from typing import Annotated, Any, get_args, get_origin, is_typeddict

import msgspec
import pytest
from msgspec import Struct

from streammac.names import BadName, check_name
from streammac.wire import fields
from streammac.wire.fields import MAX_COUNT, MAX_INT64
from tests.fuzzing.values import HOSTILE_TEXTS, fields_of, meta_of
from tests.wire.test_codec import KINDS

LONGEST_TEXT = 1 << 19


def parts(hint: Any, path: str) -> dict[str, Any]:
    """Return the types that a field is made of, each with its path: numbers, texts, lists and maps."""
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    inner = get_args(base)
    if get_origin(base) in (tuple, dict):
        found = {path: hint} if inner[-1] is Ellipsis or get_origin(base) is dict else {}
        for number, one in enumerate(inner):
            found |= parts(one, f"{path}[{number}]") if one is not Ellipsis else {}
        return found
    if is_typeddict(base) or (isinstance(base, type) and issubclass(base, Struct)):
        return {
            p: t
            for name, one in fields_of(base).items()
            for p, t in parts(one, f"{path}.{name}").items()
        }
    if base in (int, float, str):
        return {path: hint}
    return {
        p: t
        for one in inner
        if isinstance(one, type) or get_origin(one)
        for p, t in parts(one, path).items()
    }


ALL = {path: hint for kind in KINDS for path, hint in parts(kind, kind.__name__).items()}


def refuses(hint: Any, value: object) -> bool:
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=hint)
    except msgspec.ValidationError:
        return True
    return False


def test_there_is_something_to_look_at() -> None:
    assert len(ALL) > 150
    assert {
        "Register.addresses.ring",
        "Heartbeat.worker.shard.points",
        "Copy.itinerary[0]",
    } - ALL.keys() == {
        "Copy.itinerary[0]"  # a value by itself is no message
    }
    assert "Holdings.copies[0].itinerary[0]" in ALL


@pytest.mark.parametrize("path", sorted(ALL))
def test_each_field_refuses_what_cannot_be_meant(path: str) -> None:
    hint = ALL[path]
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    metas = list(meta_of(hint))
    if base is float:
        assert all(refuses(hint, value) for value in (math.nan, math.inf, -math.inf, 1.7e308))
    elif base is int:
        assert refuses(hint, 1 << 63)
        assert refuses(hint, -1) or "incarnation" in path or "sequence" in path or "ranges" in path
    elif base is str:
        patterned = any(meta.pattern for meta in metas)
        assert refuses(hint, "x" * (LONGEST_TEXT + 1))
        told = path.rpartition(".")[2] in (
            "reason",
            "text",
            "failed_step",
            "settings",
            "status",
            "metadata",
            "model",
        )
        assert patterned or told
    else:
        assert any(meta.max_length for meta in metas), "no limit on its length"


PATHS = [t for t in HOSTILE_TEXTS if "://" not in t and t != "garbage"]


@pytest.mark.parametrize("text", PATHS)
def test_a_name_is_no_path_and_no_markup(text: str) -> None:
    assert refuses(fields.Name, text)
    with pytest.raises(BadName, match="expected up to 64 letters"):
        check_name(text)


@pytest.mark.parametrize("text", [t for t in HOSTILE_TEXTS if t != "é"])
def test_an_address_is_one(text: str) -> None:
    assert refuses(fields.Address, text)
    assert refuses(fields.Url, text)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:1",
        "tcp://host-a.example.org:65535",
        "tcp://[fe80::1%eth0]:7000",
        "tcp://h_1:80",
    ],
)
def test_what_sockets_listen_at_is_an_address(address: str) -> None:
    assert not refuses(fields.Address, address)
    assert not refuses(fields.Url, address.replace("tcp", "http") + "/metrics")


def test_whole_numbers_end_where_they_are_no_longer_exact() -> None:
    assert not refuses(fields.Count, MAX_COUNT)
    assert refuses(fields.Count, MAX_COUNT + 1)
    assert not refuses(fields.Incarnation, MAX_INT64)
