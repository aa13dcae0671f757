"""What must not be said before it is on disk is not said, and all the rest is."""

from pathlib import Path

from streammac.coordinator.coordinator import Coordinator
from streammac.coordinator.coordinator_actions import Tell
from streammac.files.document import Loaded, load
from streammac.files.writes import RETRY_S, Writes
from streammac.settings.schema import Settings
from streammac.wire.messages import Drain, PleaseRegister, Routes, StreamSchema, View
from tests.coordinator.test_coordinator import register
from workers.coordinator.durable_state import DurableState


def view(number: int) -> View:
    return View(number, ())


class Harness:
    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.folder = folder
        self.writes = Writes(lambda kind, _: self.told.append(kind), lambda: self.now)
        self.durable = DurableState(folder / "there" / "coordinator.json", self.writes, 0)

    def full(self) -> None:
        (self.folder / "there").write_text("no folder, so nothing can be written into it")

    def room(self) -> None:
        (self.folder / "there").unlink()
        self.now += RETRY_S

    def give(self, fences: int, *orders: Tell) -> list[Tell]:
        if not self.durable.covers(fences):
            self.durable.save({"view": fences}, fences)
        return self.durable.release(orders, fences)


def test_what_is_on_disk_may_be_said(tmp_path: Path) -> None:
    coordinator = Harness(tmp_path)
    order = Tell(b"w1", view(1))
    assert coordinator.give(1, order) == [order]
    assert load(tmp_path / "there" / "coordinator.json") == Loaded({"view": 1})


def test_orders_wait_for_the_disk_and_answers_do_not(tmp_path: Path) -> None:
    coordinator = Harness(tmp_path)
    coordinator.full()
    answer = Tell(b"w2", PleaseRegister())
    routes = Tell(b"i1", Routes(()))
    first, other = Tell(b"w1", view(1)), Tell(b"w2", view(1))
    assert coordinator.give(1, first, answer, other, routes) == [answer, routes]
    newer, drain = Tell(b"w1", view(2)), Tell(b"w1", Drain(5.0, "move"))
    assert coordinator.give(2, newer, drain) == []
    assert coordinator.told == ["disk_full"]
    coordinator.room()
    assert coordinator.give(2, answer) == [other, newer, drain, answer]
    assert coordinator.told == ["disk_full", "disk_room"]
    assert coordinator.give(2) == []


def test_what_a_point_looks_like_is_agreed_once(tmp_path: Path) -> None:
    """Were it told and forgotten, a coordinator that is started again would wait for points for ever."""
    core, coordinator = Coordinator(Settings(), "c"), Harness(tmp_path)
    coordinator.durable.save(core.durable(), core.fences)
    core.handle(b"i1", register("i1", "ingest"), 0.0)
    orders = core.handle(b"i1", StreamSchema(8, "float32"), 0.0)
    assert orders == [Tell(b"i1", StreamSchema(8, "float32"))]
    assert not coordinator.durable.covers(core.fences)
    assert coordinator.durable.release(orders, core.fences) == []


def test_orders_go_on_where_nothing_rests_on_the_state(tmp_path: Path) -> None:
    coordinator = Harness(tmp_path)
    coordinator.full()
    order = Tell(b"w1", Drain(5.0, "keep"))
    assert coordinator.give(0, order) == [order]
