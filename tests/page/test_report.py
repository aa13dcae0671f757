"""``streammac report``: what it reads, and what it says when there is nothing to read."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
from pathlib import Path
from typing import Any

import pytest

from streammac import page
from streammac.files.writes import Writes
from streammac.run_directory import RunDirectory
from tests.cli.test_cli import Run, run  # noqa: F401 - a fixture
from tests.page.simulated import simulated_status
from workers.coordinator.live import Live

WRITES = Writes(lambda *_: None)


class Scripts(html.parser.HTMLParser):
    """Collects the scripts of a page, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.policy = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = str(dict(attrs)["content"])

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def embedded(text: str) -> Any:
    return json.loads(Scripts(text).found[0])


@pytest.fixture
def finished(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "d")
    directory.root.mkdir()
    live = Live(directory, WRITES)
    for n in range(1, 4):
        live.step(n * 1e3, lambda n=n: simulated_status(2, n), list)
    live.close(simulated_status(2, 9))
    return directory


def test_a_run_that_has_ended(finished: RunDirectory, run: Run) -> None:  # noqa: F811
    code, out, _ = run("report", "d")
    assert (code, out.strip()) == (0, "d/report.html")
    data = embedded((finished.root / "report.html").read_text())
    assert (data["name"], data["running"], data["status"]["epoch"]) == ("d", False, 9)
    assert [line["epoch"] for line in data["lines"] if line["k"] == "epoch"] == [0, 1, 2, 8]


def test_without_a_last_status_the_history_is_shown(finished: RunDirectory, run: Run) -> None:  # noqa: F811
    finished.last_status.write_text("torn {")
    assert run("report", "d", "-o", "r.html")[0] == 0
    data = embedded((finished.root.parent / "r.html").read_text())
    assert data["status"] == {}
    assert data["lines"]


def test_nothing_to_report(run: Run) -> None:  # noqa: F811
    code, _, err = run("report", "nowhere")
    assert code == 6
    assert "nowhere: no history of a run" in err


def test_a_target_that_cannot_be_written(finished: RunDirectory, run: Run) -> None:  # noqa: F811
    code, _, err = run("report", "d", "-o", "no/r.html")
    assert (code, "no/r.html" in err) == (6, True)


def test_only_our_own_script_may_run() -> None:
    found = Scripts(page.document({"text": "</script><script>alert(1)</script>"}))
    assert len(found.found) == 2, "the data and the program"
    digest = base64.b64encode(hashlib.sha256(found.found[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in found.policy
    assert "default-src 'none'" in found.policy
    assert "http" not in found.policy
