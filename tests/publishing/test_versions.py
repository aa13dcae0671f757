import json
import os
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from streammac.publishing.versions import (
    METADATA_KEY,
    STATISTICS,
    VersionError,
    VersionStore,
    read_model,
)

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "scale": np.float32(2.5).reshape(())}
MODEL = {"model": {"family": "binary_autoencoder", "hyper_parameters": {"bits": 2}}}


def test_what_was_published_comes_back(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "models", keep=3)
    number = store.publish(TENSORS, MODEL | {"epoch": 4})
    assert number == 1
    found = store.load(1)
    assert found.tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[name], array)
        assert found.tensors[name].shape == array.shape
    assert found.metadata["epoch"] == 4
    assert found.metadata["version"] == 1
    assert found.metadata["promoted"] is False
    assert found.metadata["reason"] == "candidate"


def poisoned(store: VersionStore) -> int:
    """Put a version there that an older release has published."""
    version = store.publish(TENSORS, MODEL | {"epoch": 1})
    wild = {"a": np.array([[1.0, np.nan]], np.float32)}
    store.file(version).write_bytes(save(wild, {METADATA_KEY: "{}"}))
    store._save(store._state() | {"current": version})
    return version


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    store = VersionStore(tmp_path / "models", keep=3)
    with pytest.raises(VersionError, match="NaN or infinite numbers in a"):
        store.publish(TENSORS | {"a": np.array([1.0, value])}, MODEL)
    assert store.list() == ()
    with pytest.raises(VersionError, match="NaN or infinite numbers in a"):
        store.load(poisoned(store))


def test_what_is_not_finite_is_not_promoted(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "models", keep=3)
    store.promote(store.publish(TENSORS, MODEL), "good")
    wild = poisoned(store)
    with pytest.raises(VersionError, match="NaN or infinite"):
        store.promote(wild, "no")


def test_a_current_version_that_is_not_usable_gives_way_to_the_newest_that_is(tmp_path: Path):
    store = VersionStore(tmp_path / "models", keep=5)
    assert store.retreat() == 0
    first, second = store.publish(TENSORS, MODEL), store.publish(TENSORS, MODEL)
    store.promote(first, "good")
    assert store.retreat() == first
    wild = poisoned(store)
    store.file(second).write_bytes(b"half a file")
    assert store.retreat() == store.current == first
    assert store.load(first).metadata["reason"] == f"version {wild} is not usable"
    store.file(first).unlink()
    assert store.retreat() == 0


def test_an_empty_folder_has_no_versions(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "models", keep=3)
    assert (store.newest, store.current, store.list(), store.candidates) == (0, 0, (), ())
    with pytest.raises(VersionError, match="no version 7; there are: none"):
        store.load(7)


@patch(
    "os.fsync", new=lambda _: None
)  # no power is cut here, and on a busy disk it takes most of the time
@given(
    keep=st.integers(1, 4),
    steps=st.lists(st.sampled_from(["publish", "publish", "restart", *range(9)]), max_size=25),
)
def test_numbers_grow_and_the_current_one_stays(
    tmp_path_factory: pytest.TempPathFactory, keep: int, steps: list[str | int]
) -> None:
    path = tmp_path_factory.mktemp("models")
    store = VersionStore(path, keep)
    published = current = 0
    for step in steps:
        if step == "publish":
            number = store.publish({"a": np.zeros(1, np.float32)}, MODEL)
            assert number == published + 1
            published = number
        elif step == "restart":
            store = VersionStore(path, keep)
        elif store.list():
            current = store.list()[int(step) % len(store.list())]
            store.promote(current, f"test {step}")
        assert store.current == current
        expected = {v for v in range(published - keep + 1, published + 1) if v > 0}
        assert set(store.list()) >= expected
        assert len(set(store.list()) - expected) <= 1
        assert current == 0 or store.load(current).metadata["promoted"] is True


def test_rolling_back_makes_later_ones_candidates(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=5)
    for _ in range(3):
        store.promote(store.publish(TENSORS, MODEL), "better")
    store.promote(1, "rolled back")
    assert store.current == 1
    assert store.candidates == (2, 3)
    assert store.load(1).metadata["reason"] == "rolled back"
    assert store.publish(TENSORS, MODEL) == 4


def test_a_version_that_was_pruned_keeps_its_number(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=1)
    store.publish(TENSORS, MODEL)
    store.file(1).unlink()
    assert store.publish(TENSORS, MODEL) == 2


def test_a_crash_before_the_state_is_written_costs_no_version(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=3)
    store.publish(TENSORS, MODEL | {"epoch": 1})
    (tmp_path / "versions.json").unlink()  # as if killed between the two writes
    assert VersionStore(tmp_path, keep=3).publish(TENSORS, MODEL | {"epoch": 2}) == 2
    assert store.load(1).metadata["epoch"] == 1


def test_half_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=3)
    store.publish(TENSORS, MODEL)
    file = store.file(1)
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(VersionError, match=file.name):
        store.load(1)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": TENSORS["a"]}, tmp_path / "other.safetensors")
    with pytest.raises(VersionError, match=r"not one of streammac's"):
        read_model(tmp_path / "other.safetensors")


def test_without_a_record_of_the_current_version_it_is_the_newest(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=3)
    for _ in range(2):
        store.publish(TENSORS, MODEL)
    store.promote(1, "better")
    store.publish(TENSORS, MODEL)
    (tmp_path / "versions.json").write_text("{")
    assert (store.current, store.list()) == (1, (1, 2, 3)), "the former generation knows"
    assert "former generation" in store.damage
    (tmp_path / "versions.json.former").unlink()
    assert store.current == 3
    assert "is damaged" in store.damage
    (tmp_path / "versions.json").unlink()
    assert store.current == 3
    assert "is missing" in store.damage
    assert store.publish(TENSORS, MODEL) == 4
    assert store.damage == ""


def test_an_older_record_of_the_current_version_is_told(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=3)
    store.publish(TENSORS, MODEL)
    older = (tmp_path / "versions.json").read_bytes()
    store.publish(TENSORS, MODEL)
    (tmp_path / "versions.json").write_bytes(older)
    assert "is older than" in store.damage
    assert store.publish(TENSORS, MODEL) == 3


def test_the_header_tells_what_the_file_is(tmp_path: Path) -> None:
    from safetensors import safe_open

    store = VersionStore(tmp_path, keep=3)
    store.publish(TENSORS, MODEL | {"epoch": 9})
    with safe_open(store.file(1), framework="numpy") as file:
        assert json.loads(file.metadata()["streammac"])["epoch"] == 9


def test_a_pin_outlives_the_process_and_what_is_published(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=5)
    for _ in range(2):
        store.promote(store.publish(TENSORS, MODEL), "better")
    assert not store.pinned
    store.promote(1, "rolled back", pin=True)
    store.publish(TENSORS, MODEL)
    store = VersionStore(tmp_path, keep=5)
    assert (store.pinned, store.current) == (True, 1)
    store.unpin()
    assert (store.pinned, store.current) == (False, 1)


def test_the_best_of_a_continuation_is_spared(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=2)
    store.promote(store.publish(TENSORS, MODEL), "first")
    store.spared = {store.publish(TENSORS, MODEL)}
    for _ in range(4):
        store.publish(TENSORS, MODEL)
    assert store.list() == (1, 2, 5, 6)


def test_what_a_version_says_is_amended_and_its_numbers_stay(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=2)
    version = store.publish(TENSORS, MODEL | {"reason": "not measured", "epoch": 3})
    store.amend(version, reason="better")
    found = store.load(version)
    assert (found.metadata["reason"], found.metadata["epoch"]) == ("better", 3)
    np.testing.assert_array_equal(found.tensors["a"], TENSORS["a"])


def goes_on_from(store: VersionStore) -> tuple[int, dict[str, object] | None]:
    found, _ = store.resumption()
    assert found is not None
    return found.metadata["version"], found.metadata.get("next")


def test_training_goes_on_from_the_newest_version_that_is_whole(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=9)
    assert store.resumption() == (None, "")
    for epoch in range(3):
        store.publish(TENSORS, MODEL | {"statistics": STATISTICS, "next": {"epoch": epoch + 1}})
    assert goes_on_from(store) == (3, {"epoch": 3})
    store.file(3).write_bytes(b"half a file")
    assert goes_on_from(store) == (2, {"epoch": 2})
    store.publish(TENSORS, MODEL)  # of an older release
    found, unusable = store.resumption()
    assert found is not None
    assert found.metadata["version"] == 2
    assert "older release; " in unusable
    assert "v00000003" in unusable


def test_training_goes_on_from_the_version_of_a_verdict_until_the_next_one(tmp_path: Path) -> None:
    store = VersionStore(tmp_path, keep=9)
    for epoch in range(3):
        store.publish(TENSORS, MODEL | {"statistics": STATISTICS, "next": {"epoch": epoch + 1}})
    store.resume_from(1, {"epoch": 9})
    assert goes_on_from(store) == (1, {"epoch": 9})
    store.file(1).write_bytes(b"half a file")
    assert goes_on_from(store) == (3, {"epoch": 3})
    store.publish(TENSORS, MODEL | {"statistics": STATISTICS, "next": {"epoch": 10}})
    assert goes_on_from(store) == (4, {"epoch": 10})


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (
            {"family": "binary_autoencoder", "hyper_parameters": {"wings": 2}},
            "model.options.wings: ",
        ),
        ({"family": "binary_autoencoder", "hyper_parameters": {"bits": -2}}, "model.bits: "),
        ({"family": "bird", "hyper_parameters": {}}, "model.family: no 'bird'"),
        ({"family": "binary_autoencoder"}, "model: not understood"),
        ([], "model: not understood"),
    ],
)
def test_a_model_that_is_unknown_here_is_not_usable_and_says_what_is_unknown(
    tmp_path: Path, described: object, said: str
) -> None:
    store = VersionStore(tmp_path, keep=9)
    older = store.publish(TENSORS, MODEL | {"statistics": STATISTICS, "next": {}})
    unknown = store.publish(TENSORS, {"model": described, "statistics": STATISTICS})
    store._save(store._state() | {"current": unknown})
    with pytest.raises(VersionError) as raised:
        store.load(unknown)
    assert str(raised.value).startswith(f"{store.file(unknown)}: metadata: {said}")
    assert "the release that has published it" in str(raised.value)
    found, unusable = store.resumption()
    assert found is not None
    assert (found.metadata["version"], unusable) == (older, str(raised.value))
    assert store.retreat() == store.current == older
    read_model(store.file(unknown))  # the file is whole: nothing that a check would set aside
