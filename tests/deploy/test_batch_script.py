"""Functions of the batch script of Slurm by themselves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "streammac.sbatch"


def function(name: str) -> str:
    found = re.search(rf"^{name}\(\) {{$.*?^}}$", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group()


def bash(*functions: str, program: str) -> str:
    """Run a program that has these functions; return what it prints."""
    words = ["bash", "-c", "\n".join([*map(function, functions), program])]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S).stdout


def test_what_a_process_has_ended_with_is_told_though_it_ends_while_a_trap_runs():
    program = """
        (trap '' TERM; sleep 0.4; exit 7) &
        child=$!
        trap 'sleep 0.8' TERM
        (sleep 0.1; kill -TERM $$) &
        ended $child
        echo $?
    """
    assert bash("ended", program=program) == "7\n"


@pytest.mark.parametrize(("process", "times"), [("worker", 3), ("ingest", 1)])
def test_a_worker_that_is_refused_asks_again_until_its_name_is_free(process, times, tmp_path):
    (tmp_path / "streammac").write_text(
        f"#!/bin/bash\necho $1 >>{tmp_path}/begun\n[[ $(wc -l <{tmp_path}/begun) == 3 ]] || exit 7"
    )
    (tmp_path / "streammac").chmod(0o755)
    program = f"PATH={tmp_path}:$PATH; sleep() {{ :; }}; keep : {process}; echo $?"
    told = bash("ended", "final", "keep", program=program)
    assert (tmp_path / "begun").read_text() == f"{process}\n" * times
    assert told == ("0\n" if times == 3 else "7\n")


def test_a_rank_is_gone_when_its_shell_is_and_its_worker_does_not_outlive_that(tmp_path):
    program = f"""
        ranks={tmp_path} SLURM_PROCID=1
        gone && echo "it has not begun"
        sleep 100 & shell=$!
        setsid sleep 100 & worker=$!
        echo $shell $worker >$ranks/1.runs
        gone && echo "it runs"
        kill -9 $shell
        until gone; do sleep 0.05; done
        dead $worker && echo gone
        rm $ranks/1.runs; touch $ranks/over
        gone && echo "it has never begun, and all are over"
    """
    told = bash("dead", "gone", program=program)
    assert told.splitlines() == ["gone", "it has never begun, and all are over"]
