import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from streammac.telemetry import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_have_the_process_and_the_fields(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "w1.log"
    logs.configure("w1", "json", file=file)
    logging.getLogger("ring").warning("%s was lost", "w2", extra={"event": "lost", "seconds": 0.5})
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("ring").exception("odd")
    first, second = map(json.loads, file.read_text().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "warning",
        "process": "w1",
        "logger": "ring",
        "text": "w2 was lost",
        "event": "lost",
        "seconds": 0.5,
    }
    assert "ValueError: no" in second["traceback"]


def test_text_lines_have_the_process_and_quiet_is_quiet(tmp_path: Path) -> None:
    file = tmp_path / "w1.log"
    logs.configure("100%", quiet=True, file=file)
    logging.getLogger("ring").info("a visit")
    logging.getLogger("ring").warning("a loss")
    assert "WARNING 100% ring: a loss" in file.read_text()
    assert "visit" not in file.read_text()


def test_a_second_call_replaces_the_first_and_nobody_else(tmp_path: Path) -> None:
    foreign = logging.NullHandler()
    logging.getLogger().addHandler(foreign)
    logs.configure("a", file=tmp_path / "a")
    logs.configure("b", file=tmp_path / "b")
    ours = [h for h in logging.getLogger().handlers if h.get_name() == logs.OURS]
    assert len(ours) == 1
    assert foreign in logging.getLogger().handlers


def test_a_former_log_on_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to("/dev/full")
    logs.configure("a", file=tmp_path / "a.log")
    logging.getLogger("x").warning("first")
    (former,) = [h for h in logging.getLogger().handlers if h.get_name() == logs.OURS]
    assert isinstance(former, logging.FileHandler)
    logs.configure("b", file=tmp_path / "b.log")
    logging.getLogger("x").warning("second")
    assert "second" in (tmp_path / "b.log").read_text()
    assert former.stream is None, "it is closed all the same"
