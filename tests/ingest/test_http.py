"""The HTTP endpoint over a real socket: 2xx only after the acknowledgement, every refusal by status."""

from __future__ import annotations

import http.client
import json
import queue
import threading
from urllib.parse import urlsplit

import msgpack
import numpy as np
import pytest

from ingest.http import BODIES, HttpEndpoint
from ingest.ingest_queue import IngestQueue
from streammac.delivery.batch import Ticket
from streammac.link.http_server import serve
from streammac.link.pulse import Pulse
from streammac.wire.messages import StreamSchema
from tests.patience import PATIENCE_S

LIMIT = 2000
MSGPACK = "application/msgpack"


class Node:
    """The part of an ingest node behind the endpoint; `settle` acknowledges what has come."""

    def __init__(self) -> None:
        self.woken = queue.SimpleQueue()
        self.ingest_queue = IngestQueue(record_bytes=500, wake=lambda: self.woken.put(None))
        self.ingest_queue.agree(StreamSchema(2, "float32"))
        self.room = True
        endpoint = HttpEndpoint(self.ingest_queue, lambda: self.room, LIMIT, Pulse())
        self.url, self.close = serve(endpoint.application(), "127.0.0.1", 0)
        self.taken: list[np.ndarray] = []

    def settle(self) -> None:
        delivery = self.ingest_queue.requests.get(timeout=PATIENCE_S)
        self.taken.append(delivery.parts.points.x)
        count = len(delivery.parts.points)
        delivery.settled(Ticket(points=count, stored=count))

    def post(self, body, kind="application/x-ndjson", *, settle=False, path="/points"):
        if settle:
            threading.Thread(target=self.settle, daemon=True).start()
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_S)
        connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, json.loads(content) if content.startswith(b"{") else content


@pytest.fixture
def node():
    node = Node()
    yield node
    node.ingest_queue.stop()
    node.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'[1, 2]\n{"x": [3, 4]}\n', "application/x-ndjson"),
        (b'[[1, 2], {"x": [3, 4]}]', "application/json; charset=utf-8"),
        (msgpack.packb([[1, 2], {"x": [3, 4]}]), "application/msgpack"),
        (
            msgpack.packb(
                {"x": np.array([1, 2, 3, 4], "<f4").tobytes(), "shape": [2, 2], "dtype": "<f4"}
            ),
            "application/msgpack",
        ),
    ],
)
def test_every_format_brings_the_same_points(node, body, kind):
    answer, content = node.post(body, kind, settle=True)
    assert answer.status == 200
    counts = {"accepted": 2, "duplicate": 0, "dead_lettered": 0, "waiting": 0}
    assert content == counts | {"reasons": []}
    np.testing.assert_array_equal(node.taken[0], [[1, 2], [3, 4]])


def test_there_is_no_answer_before_the_acknowledgement(node):
    answers = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(node.post(b"[1, 2]")), daemon=True).start()
    delivery = node.ingest_queue.requests.get(timeout=PATIENCE_S)
    with pytest.raises(queue.Empty):
        answers.get(timeout=0.2)
    delivery.settled(Ticket(points=1, stored=1))
    answer, _ = answers.get(timeout=PATIENCE_S)
    assert answer.status == 200


def test_bad_records_are_told_and_good_ones_taken(node):
    answer, content = node.post(b"[1, 2]\nbroken\n[1, 2, 3]\n", settle=True)
    assert answer.status == 200
    assert (content["accepted"], content["dead_lettered"]) == (1, 2)
    assert "not JSON" in content["reasons"][0]
    assert "expected 2 numbers, got 3" in content["reasons"][1]


def test_under_back_pressure_nothing_is_taken(node):
    node.room = False
    answer, content = node.post(b"[1, 2]")
    assert answer.status == 429
    assert answer.getheader("Retry-After") == "1"
    assert "back-pressure" in content["error"]
    assert node.ingest_queue.requests.empty()


def test_the_bodies_in_hand_are_bounded_and_room_comes_back(node):
    body = b"[1, 2]\n" * (LIMIT // 7)
    threads = [threading.Thread(target=node.post, args=(body,), daemon=True) for _ in range(BODIES)]
    for thread in threads:
        thread.start()
    waiting = [node.ingest_queue.requests.get(timeout=PATIENCE_S) for _ in threads]
    answer, content = node.post(body)
    assert (answer.status, answer.getheader("Retry-After")) == (429, "1")
    assert "too many requests" in content["error"]
    for delivery in waiting:
        delivery.settled(Ticket(points=1, stored=1))
    for thread in threads:
        thread.join(PATIENCE_S)
    assert node.post(body, settle=True)[0].status == 200


def test_a_reason_that_names_what_is_not_text_reaches_the_client(node):
    answer, content = node.post(b'{"x": [1, 2], "\\ud800": 1}\n[1, 2]\n', settle=True)
    assert (answer.status, content["dead_lettered"]) == (200, 1)
    assert "unknown field" in content["reasons"][0]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"[" + b"1," * LIMIT + b"1]", "application/x-ndjson", 413),
        (b"[1, 2]", "image/png", 415),
        (b"[1, 2]", "", 415),
        (b"[1, 2]", "text/plain", 415),
        (b"[1, 2]", "application/x-www-form-urlencoded", 415),
        (b"1\n" * 21, "application/x-ndjson", 413),
        (b"1\r" * 21, "application/x-ndjson", 413),
        (b"[[1]" + b",[1]" * 20 + b"]", "application/json", 413),
        (msgpack.packb([[1]] * 21), "application/msgpack", 413),
        (msgpack.packb({"x": bytes(84), "shape": [21, 1], "dtype": "<f4"}), MSGPACK, 413),
        (msgpack.packb({"x": b"", "shape": [20, 0], "dtype": "<f4"}), MSGPACK, 400),
        (msgpack.packb({"x": bytes(80), "shape": [-1, 2], "dtype": "<f4"}), MSGPACK, 400),
        (msgpack.packb({"x": bytes(80), "shape": [2, -1], "dtype": "<f4"}), MSGPACK, 400),
        (msgpack.packb({"x": bytes(80), "shape": [1.0, 20], "dtype": "<f4"}), MSGPACK, 400),
        (msgpack.packb({"x": b"", "shape": "[" * 90, "dtype": "<f4"}), MSGPACK, 400),
        (b"\x91" * (LIMIT - 1) + b"\x90", MSGPACK, 400),
        (b"{", "application/json", 400),
        (b"\xc1", "application/msgpack", 400),
        (b"[" * (LIMIT - 1), "application/json", 400),
        (msgpack.packb({"x": b"1234", "shape": [], "dtype": "<f4"}), "application/msgpack", 400),
        (
            msgpack.packb({"x": b"", "shape": [2**63, 0], "dtype": "<f4"}),
            "application/msgpack",
            400,
        ),
        (msgpack.packb({"x": b"123", "shape": [1, 2], "dtype": "<f4"}), "application/msgpack", 400),
        (msgpack.packb({"x": b"", "shape": ["a"], "dtype": "<f4"}), "application/msgpack", 400),
        (msgpack.packb({"x": b"", "shape": [0, 2], "dtype": "|O8"}), "application/msgpack", 400),
    ],
)
def test_a_request_that_cannot_be_used_is_refused(node, body, kind, status, monkeypatch):
    monkeypatch.setattr("ingest.bodies.MOST_RECORDS", 20)
    answer, content = node.post(body, kind)
    assert answer.status == status
    assert content["error"]
    assert node.ingest_queue.requests.empty()


def test_before_it_is_agreed_what_a_point_is_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr("ingest.http.ACK_PATIENCE_S", 0.4)
    node = Node()
    node.ingest_queue.schema = None
    threads = [threading.Thread(target=node.post, args=(b"[1, 2]",)) for _ in range(40)]
    for thread in threads:
        thread.start()
    answer, content = node.post(b"[1, 2]")
    assert (answer.status, node.ingest_queue.requests.empty()) == (503, True)
    assert "no acknowledgement" in content["error"]
    node.ingest_queue.agree(StreamSchema(2, "float32"))
    assert node.post(b"[1, 2]", settle=True)[0].status == 200
    for thread in threads:
        thread.join()
    node.ingest_queue.stop()
    node.close()


def test_a_node_that_ends_says_so(node):
    node.ingest_queue.stop()
    answer, _ = node.post(b"[1, 2]")
    assert answer.status == 503


def test_health_and_unknown_paths(node):
    assert node.post(b"", path="/nowhere")[0].status == 404
    connection = http.client.HTTPConnection(urlsplit(node.url).netloc, timeout=PATIENCE_S)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
