"""``python -m tests.fuzzing --messages N``: so many hostile messages to each socket of a real cluster.

Exit code 1 if a process died, points could not be stored or trained afterwards, or the books did not balance.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from streammac.client import ClientError
from tests.fuzzing.attack import Attack


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="to each socket")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="run directory of the cluster, kept")
    wanted = parser.parse_args()
    folder = wanted.dir or Path(tempfile.mkdtemp(prefix="streammac-fuzzing-"))
    attack = Attack(folder, wanted.seed)
    began = time.monotonic()
    try:
        attack.begin()
        for sent in attack.send(wanted.messages):
            print(f"{sent:,} messages to each socket, {time.monotonic() - began:.0f} s", flush=True)
        status = attack.end()
    except (AssertionError, TimeoutError, ClientError) as error:
        print(f"seed {wanted.seed}, {folder}: {error}")
        return 1
    finally:
        attack.close()
    for line in attack.lines:
        print(
            f"{line.kind:8} {line.count:,} messages, {line.refused:,} of them refused by the codec"
        )
    print(f"0 deaths; {status.points}; epoch {status.epoch}, version {status.model_version}")
    return 0


sys.exit(main())
