"""Kills processes while lanes are made, and sees that the others get theirs: ``python -m tests.workers.lane_hunt``.

A host starts members that do nothing but look at their transport. In each round one more comes, and it, an old one or
both are killed at a moment at which a lane is likely to be made. Then all who live have to get into one lane.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streammac.supervisor.mpi_starter import ROOT, starter

if TYPE_CHECKING:
    from workers.mpi_host import Host

FIRST, MOST = 3, 4
PATIENCE_S = 60.0
MOMENTS_S = (0.2, 0.8)
"""After a process is there."""
LOOK_S = 0.02


def member() -> None:
    import zmq

    from workers.transports.mpi import MpiTransport
    from workers.transports.zeromq import ZeroMQTransport

    transport = MpiTransport(ZeroMQTransport(zmq.Context()), "127.0.0.1")
    transport.begin()
    while True:
        transport.receive()
        time.sleep(LOOK_S)


def hunt(folder: Path, rounds: int, seed: int) -> None:
    """Be the host, and whoever kills."""
    from streammac.supervisor.mpi_job import Order
    from workers.mpi_host import Host

    host, chance = Host(), random.Random(seed)
    command = (sys.executable, "-m", "tests.workers.lane_hunt", "--be", "member")
    number = 0

    def start() -> Path:
        nonlocal number
        number += 1
        record = folder / f"m{number}"
        host.start(Order(record.name, command, f"{record}.log", str(record), os.devnull))
        return record

    def work_until(done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > end:
                print(f"{what}: not within {PATIENCE_S:.0f} s", flush=True)
                os._exit(1)
            host.step()
            time.sleep(LOOK_S)

    members = [start() for _ in range(FIRST)]
    work_until(lambda: len(host.lane.ranks) == FIRST, "the first lane")
    for this in range(rounds):
        new = start()
        work_until(lambda new=new: pid(new) is not None, "a new process")
        old = chance.choice(members)
        victims = chance.choice([[new], [old], [old, new]])
        if not {*members} - {*victims} or len(members) >= MOST:
            victims = [old]
        moment = chance.uniform(*MOMENTS_S)
        timer = threading.Timer(moment, kill, [victims])
        timer.start()
        work_until(lambda timer=timer: not timer.is_alive(), "a kill")
        members = [one for one in [*members, new] if one not in victims]
        begin, alive = time.monotonic(), len(members)
        work_until(
            lambda alive=alive: in_one_lane(host, alive),
            f"round {this}, {len(victims)} killed after {moment:.2f} s: a lane for all",
        )
        print(f"round {this}: {time.monotonic() - begin:.1f} s", flush=True)
    kill(members)
    os._exit(0)


def in_one_lane(host: Host, number: int) -> bool:
    host.lane.receive()  # it hears of deaths
    return not host.busy and len(host.lane.ranks) == number


def pid(record: Path) -> int | None:
    try:
        return int(record.read_text().split()[0])
    except (OSError, IndexError):
        return None


def kill(records: list[Path]) -> None:
    for record in records:
        os.kill(pid(record) or 0, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--be", choices=("member", "host"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.be == "member":
        member()
    elif wanted.be == "host":
        hunt(wanted.folder, wanted.rounds, wanted.seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(starter() or ()),
                "-n",
                "1",
                sys.executable,
                "-m",
                "tests.workers.lane_hunt",
            ]
            command += ["--be", "host", "--folder", folder, "--seed", str(wanted.seed)]
            command += ["--rounds", str(wanted.rounds)]
            sys.exit(subprocess.run(command, env=os.environ | ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
