"""Functions of the batch script of Slurm by themselves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "streammac.sbatch"


def function(name: str) -> str:
    found = re.search(rf"^{name}\(\) {{$.*?^}}$", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group()


def test_what_a_process_has_ended_with_is_told_though_it_ends_while_a_trap_runs():
    program = """
        (trap '' TERM; sleep 0.4; exit 7) &
        child=$!
        trap 'sleep 0.8' TERM
        (sleep 0.1; kill -TERM $$) &
        ended $child
    """
    assert subprocess.run(["bash", "-c", function("ended") + program]).returncode == 7
