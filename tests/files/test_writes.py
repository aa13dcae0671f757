import errno

from streammac.files.writes import RETRY_S, Writes


class Disk:
    def __init__(self) -> None:
        self.full = False
        self.now = 0.0
        self.content: dict[str, int] = {}
        self.attempts = 0
        self.told: list[tuple[str, str]] = []
        self.writes = Writes(lambda *event: self.told.append(event), lambda: self.now)

    def put(self, name: str, value: int) -> bool:
        def write() -> None:
            self.attempts += 1
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.content[name] = value

        return self.writes.do(name, write)


def test_a_disk_with_room_takes_all_at_once() -> None:
    disk = Disk()
    assert disk.put("a", 1)
    assert disk.put("a", 2)
    assert (disk.content, disk.told, disk.writes.trouble) == ({"a": 2}, [], "")


def test_what_cannot_be_written_waits_the_newest_of_each() -> None:
    disk = Disk()
    disk.full = True
    assert not disk.put("a", 1)
    assert not disk.put("b", 2)
    assert not disk.put("a", 3)
    assert disk.told == [("disk_full", "a cannot be written: No space left on device")]
    assert disk.writes.trouble == disk.told[0][1]
    disk.full = False
    disk.writes.retry()
    assert disk.content == {}, "it is not time yet"
    disk.now = RETRY_S
    disk.writes.retry()
    assert disk.content == {"a": 3, "b": 2}
    assert disk.told[1:] == [("disk_room", "everything that could not be written is on disk now")]
    assert disk.writes.trouble == ""


def test_a_full_disk_is_not_tried_at_every_turn() -> None:
    disk = Disk()
    disk.full = True
    for turn in range(1000):
        disk.now = turn * RETRY_S / 100
        disk.put("a", turn)
    assert disk.attempts == 10


def test_room_that_comes_and_goes_is_told_each_time() -> None:
    disk = Disk()
    for turn in range(4):
        disk.now += 2 * RETRY_S
        disk.full = turn % 2 == 0
        assert disk.put("a", turn) is not disk.full
    assert [kind for kind, _ in disk.told] == ["disk_full", "disk_room"] * 2


def test_only_the_disk_is_forgiven() -> None:
    disk = Disk()
    try:
        disk.writes.do("a", lambda: {}["no such key"])
    except KeyError:
        return
    raise AssertionError("a defect is no full disk")
