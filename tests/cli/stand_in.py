"""Stands in for the single processes: small, quick, misbehaving on order.

``roles.json`` in the run directory says by name how a process behaves: ``die`` (at once, with words
in its log), ``stubborn`` (does not end when asked), else it serves until SIGTERM.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import zmq

from streammac.processes import end_with
from streammac.run_directory import RunDirectory
from streammac.wire.codec import decode, encode
from streammac.wire.messages import Shutdown, StatusReply, StatusRequest


def status(directory: RunDirectory) -> dict:
    def members(prefix: str) -> list[dict]:
        known = sorted((directory.root / "known").glob(f"{prefix}*"))
        return [
            {
                "name": path.name,
                "state": "alive" if directory.announced(path.name) else "left",
                "points": 50,
                "busy_share": 0.5,
                "epoch": 2,
                "holding": ["encoder/0"],
                "rate": 10.0,
                "first_ack_s": time.time(),
            }
            for path in known
        ]

    workers, nodes = members("w"), members("i")
    alive = sum(m["state"] == "alive" for m in workers + nodes)
    return {
        "view": 1,
        "epoch": 2,
        "objective": 1.0,
        "mu": 0.5,
        "model_version": 3,
        "promoted": 3,
        "points": {
            # grows with each farewell: the final status is the one that has heard them all
            "sent": 100 - alive,
            "accepted": 100 - alive,
            "duplicate": 0,
            "dead_lettered": 0,
            "stored": 100 - alive,
            "expired": 0,
        },
        "workers": workers,
        "ingest": nodes,
        "quality": {"metric": "share", "model": 0.8, "itq": 0.7, "pca": 0.5, "random": 0.3},
        "started_s": time.time(),
        "first_model_s": time.time(),
    }


def main(role: str, arguments: dict[str, str]) -> int:
    directory = RunDirectory(Path(arguments["--dir"]))
    name = arguments.get("--name", role)
    order = directory.root / "roles.json"
    behaviour = json.loads(order.read_text()).get(name) if order.exists() else None
    if behaviour == "die":
        sys.stderr.write(f"{name} has a reason to die\n")
        return 3
    ending = threading.Event()
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: ending.set())
    end_with(int(arguments["--lifeline"]))
    facts = {"sid": os.getsid(0)}
    if role == "coordinator":
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        facts["control"] = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    else:
        (directory.root / "known").mkdir(exist_ok=True)
        (directory.root / "known" / name).touch()
    directory.announce(name, facts)
    while not ending.is_set():
        if role == "coordinator" and socket.poll(20):
            identity, *frames = socket.recv_multipart()
            question = decode(frames)
            assert isinstance(question, StatusRequest | Shutdown)
            asked = isinstance(question, StatusRequest)
            reply = StatusReply(json.dumps(status(directory))) if asked else question
            socket.send_multipart([identity, *encode(reply)])
        elif role != "coordinator":
            ending.wait(0.02)
    with (directory.root / "ended").open("a") as file:
        file.write(f"{name}\n")
    directory.retract(name)
    return 0


if __name__ == "__main__":
    rest = sys.argv[2:]
    sys.exit(main(sys.argv[1], dict(zip(rest[::2], rest[1::2], strict=True))))
