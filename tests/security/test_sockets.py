"""Real sockets: who has the right key comes in, and nobody else."""

import re
from pathlib import Path

import pytest
import zmq

import ingest
import streammac
import workers
from streammac.errors import ExitCode, Failure
from streammac.security import KeyFolder, SecureContext, is_loopback, open_context
from streammac.security import guard as guarding
from streammac.wire.codec import MAX_FRAME_BYTES
from tests.security.conftest import IN_VAIN_MS, Hosts, comes, refuses

NO_KEY = ("no_key", "closed")
"""Both sides see it; who is second may only see that the first has hung up."""


def test_who_is_on_the_allow_list_comes_in(hosts: Hosts):
    a = hosts.folder("a")
    b = hosts.folder("b", cluster=a)
    a.allow("b", b.load().own.public)
    context, socket, address = hosts.server(a)
    hosts.knock(b, address)
    assert comes(socket)
    assert not any(context.handshake_failures().values())


def test_a_client_needs_only_the_public_key_of_the_cluster(hosts: Hosts):
    a = hosts.folder("a")
    client = KeyFolder(hosts.root / "client")
    client.new("laptop", a.load().cluster)
    a.allow("laptop", client.load().own.public)
    _, socket, address = hosts.server(a)
    hosts.knock(client, address)
    assert comes(socket)


def test_an_unknown_key_is_refused_and_counted_until_it_is_allowed(hosts: Hosts):
    """Then it comes in by itself: neither side is restarted."""
    a = hosts.folder("a")
    b = hosts.folder("b", cluster=a)
    context, socket, address = hosts.server(a)
    hosts.knock(b, address)
    assert refuses(socket, context, "unknown_key")
    a.allow("b", b.load().own.public)
    assert comes(socket)


def test_nobody_comes_in_where_there_is_no_allow_list(hosts: Hosts):
    a = hosts.folder("a")
    a.allow_list.unlink()
    context, socket, address = hosts.server(a)
    hosts.knock(a, address)
    assert refuses(socket, context, "unknown_key")


def test_no_key_is_refused_and_counted(hosts: Hosts):
    context, socket, address = hosts.server(hosts.folder("a"))
    hosts.knock(None, address)
    assert refuses(socket, context, *NO_KEY)


def test_a_server_that_does_not_own_the_cluster_key_gets_nothing(hosts: Hosts):
    """The impostor even allows the client: it is the client that does not talk to it."""
    a, impostor = hosts.folder("a"), hosts.folder("impostor")
    impostor.allow("a", a.load().own.public)
    context, socket, address = hosts.server(impostor)
    hosts.knock(a, address)
    assert refuses(socket, context, "wrong_cluster_key")


def test_a_server_without_keys_gets_nothing_from_who_has_some(hosts: Hosts):
    _, socket, address = hosts.server(None)
    theirs = hosts.knock(hosts.folder("a"), address)
    assert not socket.poll(IN_VAIN_MS)
    failures = theirs.handshake_failures()
    assert any(failures[why] for why in NO_KEY)


def test_who_is_taken_off_the_list_keeps_its_connection_but_gets_no_new_one(hosts: Hosts):
    a = hosts.folder("a")
    b = hosts.folder("b", cluster=a)
    a.allow("b", b.load().own.public)
    context, socket, address = hosts.server(a)
    hosts.knock(b, address)
    assert comes(socket)
    a.revoke("b")
    hosts.knock(b, address)
    assert refuses(socket, context, "unknown_key")


def test_a_damaged_allow_list_lets_nobody_in_until_it_is_repaired(hosts: Hosts):
    a = hosts.folder("a")
    good = a.allow_list.read_text()
    a.allow_list.write_text(f"{good}b 1234\n")
    context, socket, address = hosts.server(a)
    hosts.knock(a, address)
    assert refuses(socket, context, "allow_list")
    a.allow_list.write_text(good)
    assert comes(socket)


def test_without_the_guard_nobody_comes_in(hosts: Hosts, monkeypatch: pytest.MonkeyPatch):
    """ZeroMQ by itself lets every key in when nobody answers for it."""
    monkeypatch.setattr(SecureContext, "watch", lambda *_: None)
    a = hosts.folder("a")
    context, socket, address = hosts.server(a)
    assert context.guard is None
    hosts.knock(a, address)
    assert not socket.poll(4 * IN_VAIN_MS)


def test_the_guard_ends_with_its_context(hosts: Hosts):
    context, socket, _ = hosts.server(hosts.folder("a"))
    assert context.guard is not None
    socket.close()
    context.term()  # hangs as long as the guard holds sockets
    assert context.closed


def test_a_monitor_ends_with_its_socket(hosts: Hosts):
    a = hosts.folder("a")
    context, first, _ = hosts.server(a)
    first.close()
    socket = context.socket(zmq.ROUTER)
    address = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    hosts.knock(None, address)
    assert refuses(socket, context, *NO_KEY)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ([], b"500"),
        ([b"1.0", b"7"], b"500"),
        ([b"2.0", b"7", b"streammac", b"", b"", b"CURVE", b"k" * 32], b"500"),
        ([b"1.0", b"7", b"elsewhere", b"", b"", b"CURVE", b"k" * 32], b"500"),
        ([b"1.0", b"7", b"streammac", b"", b"", b"NULL", b"k" * 32], b"500"),
        ([b"1.0", b"7", b"streammac", b"\xff", b"", b"CURVE", b"x" * 32], b"300"),
        ([b"1.0", b"7", b"streammac", b"", b"", b"CURVE", b"k" * 32], b"200"),
    ],
)
def test_the_guard_answers_only_for_keys_it_knows(tmp_path, request_, status):
    folder = KeyFolder(tmp_path)
    folder.allow("b", b"k" * 32)
    reply = guarding.verdict(request_, folder.allow_list).frames
    assert (reply[0], reply[2]) == (b"1.0", status)
    assert reply[4] == (b"b" if status == b"200" else b"")


# -- where one may listen --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "*", "10.0.0.1", "::", "eth0", "", "localhost.example", "127.0.0.1.example"]
)
def test_beyond_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://[::]:*", "ws://*:0"])
def test_without_keys_nothing_listens_beyond_loopback(hosts: Hosts, address):
    socket = hosts.context(None).socket(zmq.ROUTER)
    with pytest.raises(Failure, match=r"network\.host.*streammac keys new.*--insecure") as failed:
        socket.bind(address)
    assert failed.value.code == ExitCode.CONFIGURATION


def test_keys_that_are_made_later_do_not_open_what_is_not_encrypted(hosts: Hosts):
    folder = KeyFolder(hosts.root / "keys")
    socket = hosts.context(folder).socket(zmq.ROUTER)
    folder.new("a")
    with pytest.raises(Failure, match="--insecure"):
        socket.bind("tcp://0.0.0.0:*")


def test_insecure_allows_it(hosts: Hosts, caplog: pytest.LogCaptureFixture):
    context = open_context(None, insecure=True)
    hosts.contexts.append(context)
    socket = context.socket(zmq.ROUTER)
    port = socket.bind_to_random_port("tcp://0.0.0.0")
    hosts.knock(None, f"tcp://127.0.0.1:{port}")
    assert comes(socket)
    assert "--insecure" in caplog.text


def test_insecure_does_not_switch_keys_off(hosts: Hosts):
    context = open_context(hosts.folder("a").root, insecure=True)
    hosts.contexts.append(context)
    socket = context.socket(zmq.ROUTER)
    hosts.knock(None, f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://0.0.0.0')}")
    assert refuses(socket, context, *NO_KEY)


def test_the_keys_of_a_client_do_not_listen(hosts: Hosts):
    client = KeyFolder(hosts.root / "client")
    client.new("laptop", b"c" * 32)
    with pytest.raises(Failure, match=r"copy cluster\.key"):
        hosts.context(client).socket(zmq.ROUTER).bind("tcp://127.0.0.1:*")


def test_no_code_makes_a_context_of_its_own():
    """Its sockets would be open to everybody, and without a limit."""
    plain = re.compile(r"zmq\.Context(\.instance)?\(|zmq\.Socket\(")
    found = []
    for package in (streammac, workers, ingest):
        for path in Path(package.__file__).parent.rglob("*.py"):
            found += [f"{path}: {line}" for line in path.open() if plain.search(line)]
    assert found == []


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyed", [True, False])
def test_every_tcp_socket_has_a_limit(hosts: Hosts, keyed):
    folder = hosts.folder("a") if keyed else None
    _, server, address = hosts.server(folder)
    client = hosts.context(folder).socket(zmq.DEALER)
    modest = hosts.context(folder).socket(zmq.DEALER)
    modest.maxmsgsize = 1000
    assert client.maxmsgsize == -1
    for socket, limit in ((server, MAX_FRAME_BYTES), (client, MAX_FRAME_BYTES), (modest, 1000)):
        if socket is not server:
            socket.connect(address)
        assert limit <= socket.maxmsgsize <= limit + 64


def test_who_sends_more_than_the_limit_is_cut_off(hosts: Hosts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streammac.security.sockets.MAX_FRAME_BYTES", 1000)
    folder = hosts.folder("a")
    _, server, address = hosts.server(folder)
    client = hosts.context(folder).socket(zmq.DEALER)
    client.linger = 0
    client.connect(address)
    client.send(b"x" * 1000)
    assert comes(server)
    client.send(b"x" * 1100)
    assert not server.poll(2 * IN_VAIN_MS)
