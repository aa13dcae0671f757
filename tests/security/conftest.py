"""Hosts with keys, and pairs of sockets between them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from streammac.security import KeyFolder, SecureContext, open_context

IN_TIME_MS = 5000
"""Longest wait for something that is to happen."""
IN_VAIN_MS = 150
"""How long it is watched that something does not happen."""


def copy_cluster_key(member: KeyFolder, to: KeyFolder) -> None:
    """Do what the manual asks for on a new member."""
    to.root.mkdir(parents=True)
    secret = to.root / "cluster.key"
    secret.touch(mode=0o600)
    secret.write_text((member.root / "cluster.key").read_text())


class Hosts:
    """Key folders of hosts, their contexts, and what becomes of messages between them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contexts: list[SecureContext] = []
        self.clients: list[zmq.Socket[bytes]] = []  # or they would be closed at once

    def folder(self, host: str, cluster: KeyFolder | None = None) -> KeyFolder:
        """Make the keys of a host: a member of the cluster of another host, if that is given."""
        folder = KeyFolder(self.root / host / "keys")
        if cluster is not None:
            copy_cluster_key(cluster, folder)
        folder.new(host)
        return folder

    def context(self, folder: KeyFolder | None) -> SecureContext:
        self.contexts.append(open_context(folder and folder.root))
        return self.contexts[-1]

    def server(self, folder: KeyFolder | None) -> tuple[SecureContext, zmq.Socket[bytes], str]:
        context = self.context(folder)
        socket = context.socket(zmq.ROUTER)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        return context, socket, f"tcp://127.0.0.1:{port}"

    def knock(self, folder: KeyFolder | None, address: str) -> SecureContext:
        """Send a message from a host to an address."""
        context = self.context(folder)
        socket = context.socket(zmq.DEALER)
        self.clients.append(socket)
        socket.linger = 0
        context.watch(socket)
        socket.connect(address)
        socket.send(b"here I am")
        return context


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setattr("streammac.security.sockets.HANDSHAKE_MS", 200)
    made = Hosts(tmp_path)
    yield made
    for context in made.contexts:
        context.destroy(linger=0)


def comes(socket: zmq.Socket[bytes]) -> bool:
    """Tell whether a message arrives."""
    if socket.poll(IN_TIME_MS):
        socket.recv_multipart()
        return True
    return False


def refuses(socket: zmq.Socket[bytes], context: SecureContext, *reasons: str) -> bool:
    """Tell whether a server counts a failed handshake for one of the reasons, and takes no message."""
    for _ in range(IN_TIME_MS // IN_VAIN_MS):
        if socket.poll(IN_VAIN_MS):
            return False
        failures = context.handshake_failures()
        if any(failures[why] for why in reasons):
            return not socket.poll(IN_VAIN_MS)
    return False
