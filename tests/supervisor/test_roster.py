from pathlib import Path

import pytest

from streammac.errors import Failure
from streammac.files.document import Damaged
from streammac.supervisor.roster import Roster


def test_a_roster_is_what_it_was_until_somebody_asks_for_another_number(tmp_path: Path) -> None:
    path = tmp_path / "workers.json"
    roster = Roster.load(path, 3)
    assert roster.names == ["w1", "w2", "w3"]
    assert roster.add(2) == ["w4", "w5"]
    assert roster.forget("w2")
    assert not roster.forget("w2")
    roster.save()
    assert Roster.load(path, 3).names == ["w1", "w3", "w4", "w5"]
    assert Roster.load(path, 2).names == ["w1", "w3"]
    assert Roster.load(path, 5).names == ["w1", "w3", "w4", "w5", "w6"]


def test_new_names_are_nobodys(tmp_path: Path) -> None:
    roster = Roster.load(tmp_path / "workers.json", 2)
    assert roster.add(1, taken=["w7", "host-1", "w3x"]) == ["w8"]


def test_a_name_that_is_a_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "workers.json"
    path.write_text('{"asked": 1, "workers": ["../../esc"]}')
    with pytest.raises(Failure, match=r"workers.json: name: expected up to 64 letters.*esc"):
        Roster.load(path, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '{"a": ' * 50_000])
def test_a_damaged_roster_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "workers.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Damaged, match=r"workers\.json: is damaged"):
        Roster.load(path, 3)
