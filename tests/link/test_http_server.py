"""What every HTTP endpoint does, whatever it serves: asks who is meant, and waits for nobody for long."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import time
from contextlib import ExitStack, closing, contextmanager, suppress

import h11
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from streammac.errors import Failure
from streammac.link import http_connection
from streammac.link.http_server import serve, serve_process
from streammac.link.pulse import Pulse
from streammac.settings.schema import Network
from streammac.telemetry.exporter import WorkerMetrics
from tests.patience import PATIENCE_S

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LARGE = 64 << 20


async def echo(request: Request) -> PlainTextResponse:
    body = await request.body()
    if body == b"slow":
        await asyncio.sleep(0.6)
    return PlainTextResponse(f"got {len(body)}")


async def large(_: Request) -> StreamingResponse:
    return StreamingResponse(bytes(1 << 16) for _ in range(LARGE >> 16))


@pytest.fixture(scope="module")
def port():
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/large", large)])
    url, close = serve(app, "127.0.0.1", names=["Proxy.example"])
    yield int(url.rpartition(":")[2])
    close()


def test_an_answer_waits_for_no_acknowledgement(port):
    with connection(port, GET + b"\r\n") as one:
        one.recv(4096)
        (server,) = (o for o in gc.get_objects() if _serves(o, one.getsockname()))
        accepted = server.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def _serves(thing: object, client: tuple[str, int]) -> bool:
    return type(thing) is http_connection.LimitedConnection and thing.client == client


@contextmanager
def connection(port, *sent):
    with closing(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) as one:
        for data in sent:
            one.sendall(data)
        yield one


def answer(one: socket.socket) -> str:
    """Return all that comes until the other side closes."""
    parts = []
    with suppress(ConnectionResetError):
        while part := one.recv(1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


def ask(port, *headers: str, path: str = "/") -> str:
    head = f"GET {path} HTTP/1.1\r\nConnection: close\r\n" + "".join(f"{h}\r\n" for h in headers)
    with connection(port, head.encode() + b"\r\n") as one:
        return answer(one)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:80", "localhost.", "127.0.0.1:9", "[::1]:9", "10.1.2.3",
     socket.gethostname(), "proxy.example:443"],
)  # fmt: skip
def test_its_own_names_and_all_addresses_are_answered(port, host):
    assert ask(port, f"Host: {host}").startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "1.2.3"]
)
def test_another_name_is_a_page_that_pretends_to_be_here(port, host):
    said = ask(port, f"Host: {host}")
    assert said.startswith("HTTP/1.1 403")
    assert "network.http_names" in said


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://localhost:{port}", 200),
        ("https://proxy.example", 200),
        ("http://evil.example", 403),
        ("http://localhost:1", 403),
        ("http://10.9.8.7", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_only_its_own_pages_may_ask(port, origin, code):
    origin = origin.format(port=port)
    said = ask(port, f"Host: localhost:{port}", f"Origin: {origin}")
    assert said.startswith(f"HTTP/1.1 {code}")


def test_scrapes_are_guarded_as_everything_else_is():
    url, close = serve_process(WorkerMetrics("w1"), Pulse(), Network())
    port = int(url.split(":")[2])
    assert "streammac_build_info" in ask(port, f"Host: 127.0.0.1:{port}", path="/metrics")
    assert ask(port, "Host: evil.example").startswith("HTTP/1.1 403")
    close()


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setitem(http_connection.WAITS_S, h11.IDLE, 0.3)
    monkeypatch.setitem(http_connection.WAITS_S, h11.SEND_BODY, 0.3)
    monkeypatch.setattr(http_connection, "TAKES_S", 0.3)


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (b"", "head"),
        (GET, "head"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n", "body"),
    ],
)
def test_a_request_that_does_not_end_is_ended(port, short, sent, part):
    drops = [b"X-%d: 1\r\n" % i if part == "head" else b"1" for i in range(8)] if sent else []
    began = time.monotonic()
    with connection(port, sent) as one:
        for drop in drops:  # a little now and then does not help
            time.sleep(0.1)
            if select.select([one], [], [], 0)[0]:
                break
            one.sendall(drop)
        said = answer(one)
    assert time.monotonic() - began < 3.0
    assert said.startswith("HTTP/1.1 408")
    assert f"the {part} of the request" in said


def test_a_second_request_has_as_little_time_as_the_first(port, short):
    with connection(port, GET + b"\r\n") as one:
        time.sleep(0.1)
        one.sendall(GET)
        began = time.monotonic()
        assert answer(one).endswith("got 0"), "one answer, and then it is over"
    assert time.monotonic() - began < 3.0


def test_who_waits_for_a_slow_answer_is_not_ended(port, short):
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nslow"
    )
    with connection(port, request) as one:
        assert answer(one).endswith("got 4")


def test_who_takes_nothing_of_an_answer_is_dropped(port, short):
    with connection(port) as one:
        one.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.6)
        assert len(answer(one)) < LARGE


def test_whoever_holds_connections_keeps_nobody_out(port, monkeypatch):
    monkeypatch.setattr(http_connection, "OF_ONE", 5)
    with ExitStack() as held:
        lazy = [held.enter_context(connection(port, GET)) for _ in range(12)]
        assert ask(port, "Host: localhost").startswith("HTTP/1.1 200")
        assert "others want" in answer(lazy[0]), "the one that was waited for longest"
        lazy[-1].sendall(b"Connection: close\r\n\r\n")
        assert answer(lazy[-1]).startswith("HTTP/1.1 200"), "the newest are served"


def test_where_all_are_at_work_the_next_one_is_told(port, monkeypatch):
    monkeypatch.setattr(http_connection, "OF_ALL", 2)
    monkeypatch.setattr(http_connection, "OF_ONE", 1000)
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nslow"
    )
    with ExitStack() as held:
        busy = [held.enter_context(connection(port, request)) for _ in range(2)]
        time.sleep(0.2)
        with connection(port) as one:
            assert answer(one).startswith("HTTP/1.1 503")
        assert all(answer(one).endswith("got 4") for one in busy)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            Failure, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"
        ):
            serve(Starlette(), "127.0.0.1", port)
