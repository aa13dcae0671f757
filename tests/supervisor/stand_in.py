"""Stands in for the single processes: small, quick, misbehaving on order.

``roles.json`` in the run directory says by name how a process behaves: ``die`` (at once, with words
in its log), ``is_non_retryable`` (the same, with an exit code that says so), ``stubborn`` (does not end when asked),
``leave`` (ends in good order by itself), else it serves until SIGTERM. A worker that is drained ends.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import zmq

from streammac.run_directory import RunDirectory
from streammac.supervisor.processes import end_with
from streammac.wire.codec import Message, decode, encode
from streammac.wire.messages import (
    DrainReply,
    DrainRequest,
    PinReply,
    PinVersion,
    Shutdown,
    StatusReply,
    StatusRequest,
)


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
        "events": [],
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


def answer(directory: RunDirectory, question: Message) -> Message:
    match question:
        case StatusRequest():
            return StatusReply(json.dumps(status(directory)))
        case DrainRequest():
            announced = directory.announced(question.name)
            if announced is None:
                return DrainReply(False, f"no worker {question.name!r} is running")
            os.kill(announced["pid"], signal.SIGTERM)
            return DrainReply(True)
        case PinVersion():
            return PinReply(3, f"no version {question.version}" if question.version else "")
    assert isinstance(question, Shutdown)
    (directory.root / "shutdown").touch()
    return question


def main(role: str, arguments: dict[str, str]) -> int:
    directory = RunDirectory(Path(arguments["--dir"]))
    name = arguments.get("--name", role)
    order = directory.root / "roles.json"
    behaviour = json.loads(order.read_text()).get(name) if order.exists() else None
    with (directory.root / "started").open("a") as file:
        file.write(f"{name}\n")
    if behaviour in ("die", "hopeless"):
        sys.stderr.write(f"{name} has a reason to die\n")
        return {"die": 1, "hopeless": 6}[behaviour]
    if behaviour == "leave":
        return 0
    asked: list[int] = []  # not an event: a handler that sets one can wait for its own thread
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    end_with(int(arguments["--lifeline"]))
    facts = {"sid": os.getsid(0)}
    if role == "coordinator":
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        socket.bind(f"tcp://127.0.0.1:{int(arguments['--control-port']) or '*'}")
        facts["control"] = socket.get_string(zmq.LAST_ENDPOINT)
    else:
        (directory.root / "known").mkdir(exist_ok=True)
        (directory.root / "known" / name).touch()
    directory.announce(name, facts)
    while not asked:
        if role == "coordinator" and socket.poll(20):
            identity, *frames = socket.recv_multipart()
            reply = answer(directory, decode(frames))
            socket.send_multipart([identity, *encode(reply)])
        elif role != "coordinator":
            time.sleep(0.02)
    with (directory.root / "ended").open("a") as file:
        file.write(f"{name}\n")
    directory.retract(name)
    return 0


if __name__ == "__main__":
    rest = [argument for argument in sys.argv[2:] if argument not in ("--quiet", "--insecure")]
    sys.exit(main(sys.argv[1], dict(zip(rest[::2], rest[1::2], strict=True))))
