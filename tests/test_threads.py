"""A thread that dies is a process that dies."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streammac.threads import TURN_S, take_short_turns

ROOT = Path(__file__).parent.parent
PROGRAM = """
import time
from streammac.telemetry.logs import configure
from streammac.threads import VitalThread

configure("w1")
def work():
    {work}
VitalThread("publisher", work).start()
time.sleep(60)
"""


@pytest.mark.parametrize("work", ["raise ValueError('an odd number')", "raise SystemExit('no')"])
def test_a_thread_that_fails_ends_its_process_and_says_why(work):
    program = [sys.executable, "-c", PROGRAM.format(work=work)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "the thread publisher failed, the process ends" in done.stderr
    assert work.split("'")[1] in done.stderr


def test_every_thread_is_one_of_these():
    own = re.compile(r"threading\.Thread\(|import Thread\b")
    files = [f for part in ("streammac", "workers", "ingest") for f in (ROOT / part).rglob("*.py")]
    assert len(files) > 100
    assert [f for f in files if own.search(f.read_text())] == []


def test_a_thread_that_computes_does_not_keep_the_interpreter(monkeypatch):
    said: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", said.append)
    take_short_turns()
    assert said == [TURN_S]
