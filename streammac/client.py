"""The Python client: push points into a running cluster, get models out of it, encode.

``Client(DIR)`` finds the cluster of a run directory, ``Client("tcp://HOST:PORT")`` that of a coordinator. A push
returns when every one of its points is acknowledged or known to be refused.
"""

from __future__ import annotations

import itertools
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zmq
from numpy.typing import ArrayLike, NDArray

from streammac.errors import StreammacError
from streammac.link.request import ask, ask_status
from streammac.models.base import NestedModel, Tensors
from streammac.models.capabilities import codes_of, predictions_of
from streammac.points.range import OUTSIDE, within
from streammac.publishing.versions import rebuild
from streammac.run_directory import RunDirectory
from streammac.security import open_context, share_seal
from streammac.wire.codec import MAX_HEADER_BYTES
from streammac.wire.messages import ModelReply, ModelRequest, Push, Pushed
from streammac.wire.sockets import MessageSocket, connect
from streammac.wire.status import ClusterStatus

PUSH_BYTES = 8 << 20
"""Larger pushes are split."""
KEYS_BYTES = MAX_HEADER_BYTES // 2
"""So are pushes with more bytes of keys: keys travel in the header, which has a limit."""
KEY_OVERHEAD_BYTES = 5
RESEND_S = 2.0
"""A push without an answer is sent again after so long; the ingest node knows it by its number, also after it
was killed and started again."""
BUSY_S = 0.05
"""Pause after an ingest node that had no room, or while there is none."""
MAX_BUSY_S = 0.8
"""If it still has none, the pause is doubled up to this."""
ENCODE_ROWS = 65536
KEYS_VARIABLE = "STREAMMAC_KEYS"


class ClientError(StreammacError, RuntimeError):
    """The cluster cannot do what was asked, or does not answer; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of the points of a push: ``accepted`` + ``dead_lettered`` + ``waiting`` is all of them.

    ``duplicate`` of the accepted ones were stored already. ``reason`` tells why the first dead-lettered
    point was refused. ``waiting`` ones are on the ingest node's disk until their targets come.
    """

    accepted: int
    duplicate: int
    dead_lettered: int
    reason: str = ""
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A published version of the model.

    Attributes
    ----------
    version : int
        Its number; codes of different versions are not comparable.
    metadata : dict
        Epoch, points, objective, quality, hyper-parameters.
    tensors : dict of arrays
        Its parameters.
    """

    version: int
    metadata: dict[str, Any]
    tensors: Tensors
    _model: NestedModel = field(repr=False)

    @classmethod
    def of(cls, version: int, metadata: dict[str, Any], tensors: dict[str, Any]) -> Model:
        """Build one from what was published.

        Raises
        ------
        VersionError
            If the cluster is of another release, whose model is unknown here.
        """
        return cls(version, metadata, tensors, rebuild(metadata))

    def encode(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Return packed codes (n, ceil(L / 8)) of (n, D) points, most significant bit first.

        Raises
        ------
        ValueError
            If a point is not finite or out of range (`streammac.points.range`): its code would mean nothing.
        Incapable
            If the model makes no codes.
        """
        codes = codes_of(self._model)
        return np.concatenate([codes.encode(self.tensors, x) for x in _batches(X)])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return what a model that predicts says of (n, D) points: classes (n,) int64, or numbers (n, K) float32.

        Raises
        ------
        ValueError
            If a point is not finite or out of range.
        Incapable
            If the model makes codes.
        """
        predictions = predictions_of(self._model)
        return np.concatenate([predictions.predict(self.tensors, x) for x in _batches(X)])

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, D) reconstructions of packed codes."""
        bits = self._model.coordinate_shape()[0][0]
        z = np.unpackbits(codes, axis=1, count=bits)
        return codes_of(self._model).decode(self.tensors, z)


class Client:
    """A connection to a cluster. For one thread at a time; a context manager.

    Parameters
    ----------
    where : path or str
        Run directory, or address of the coordinator (``tcp://HOST:PORT``).
    timeout_s : float
        Longest wait for an answer about status or models.
    keys : path, optional
        Folder of keys (docs/security.md). Without it that of the run directory, or for an address the
        one that the environment variable ``STREAMMAC_KEYS`` names; if there is none, without keys.

    Raises
    ------
    ClientError
        If no cluster runs there.
    Failure
        If the keys are not in order.
    """

    def __init__(
        self, where: str | Path, timeout_s: float = 10.0, keys: str | Path | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._coordinator = self._find(where)
        self._keys = self._find_keys(where, keys)
        self._context = open_context(self._keys)
        share_seal(self._context.keys)
        self._socket: MessageSocket[Pushed] | None = None
        self._node = ""  # whose socket it is
        self.name = f"client-{uuid.uuid4().hex}"
        """Names this client's pushes, and the dead letters that come of them."""
        self._incarnation = time.time_ns()
        self._sequence = itertools.count(1)

    @staticmethod
    def _find(where: str | Path) -> str:
        text = str(where)
        if text.startswith("tcp://"):
            return text
        announced = RunDirectory(Path(where)).announced("coordinator")
        if announced is None:
            raise ClientError(
                f"{where}: no cluster runs there - `streammac up --dir {where}` starts one"
            )
        return str(announced["control"])

    @staticmethod
    def _find_keys(where: str | Path, keys: str | Path | None) -> Path | None:
        remote = str(where).startswith("tcp://")
        named = keys or (os.environ.get(KEYS_VARIABLE) if remote else None)
        if not named:
            return None if remote else RunDirectory(Path(where)).keys
        if not Path(named).is_dir():
            raise ClientError(f"{named}: no such folder of keys - `streammac keys new` makes one")
        return Path(named)

    def __enter__(self) -> Client:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._context.destroy(linger=0)

    # -- pushing --------------------------------------------------------------------------

    def push(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        keys: Sequence[str | bytes] | None = None,
        times: ArrayLike | None = None,
        timeout_s: float = 30.0,
    ) -> PushResult:
        """Push points; return when all of them are acknowledged (or are dead letters).

        Parameters
        ----------
        X : (n, D) array of numbers
            The points; a single (D,) point will do.
        y : (n,) or (n, K) array, optional
            Targets. With `stream.late_targets` they may be left out and come later, see `push_targets`.
        keys : sequence of n texts, optional
            Your own names for the points.
        times : (n,) array, optional
            Event times, seconds since 1970.
        timeout_s : float
            Longest wait for the acknowledgement of one part (of about 8 MB).

        Raises
        ------
        ValueError
            If the arguments do not fit each other.
        ClientError
            If there is no answer in time. Points of this push may have been stored; the parts that
            were not are not known, so push the whole again only if doubles do no harm. Until then
            the push is sent again and again, which stores nothing twice.
        """
        return self._push_all(_columns(X, y, times), _named(keys or ()), timeout_s)

    def push_targets(
        self, keys: Sequence[str | bytes], y: ArrayLike, *, timeout_s: float = 30.0
    ) -> PushResult:
        """Push targets of points that were pushed without any; return when these points are stored.

        Parameters
        ----------
        keys : sequence of n texts
            Under which the points were pushed.
        y : (n,) or (n, K) array
            Their targets.
        timeout_s : float
            As of `push`.

        Returns
        -------
        PushResult
            What became of the points: those whose time was up, and targets of no point, are ``dead_lettered``.

        Raises
        ------
        ValueError, ClientError
            As of `push`.
        """
        targets = np.atleast_1d(np.asarray(y, np.float64))
        return self._push_all({"y": targets}, _named(keys), timeout_s)

    def _push_all(self, columns: Tensors, names: list[bytes], timeout_s: float) -> PushResult:
        answers = [
            self._push(tensors, named, timeout_s) for tensors, named in _parts(columns, names)
        ]
        return PushResult(
            sum(answer.accepted for answer in answers),
            sum(answer.duplicate for answer in answers),
            sum(answer.dead_lettered for answer in answers),
            next((answer.reason for answer in answers if answer.reason), ""),
            sum(answer.waiting for answer in answers),
        )

    def _push(self, tensors: Tensors, keys: tuple[bytes, ...], timeout_s: float) -> Pushed:
        sequence = next(self._sequence)
        message = Push(self.name, self._incarnation, sequence, tensors, keys)
        deadline = time.monotonic() + timeout_s
        pause = BUSY_S
        node = ""
        while time.monotonic() < deadline:
            # a node that was sent the push may have stored it: only that one knows, also after a restart
            socket = self._ingest(deadline, node)
            node = self._node
            socket.send(message)
            answer = self._await(socket, sequence, min(deadline, time.monotonic() + RESEND_S))
            if answer is None:
                self._disconnect()  # the node may have been replaced: ask where it is now
            elif answer.busy:
                time.sleep(pause)
                pause = min(MAX_BUSY_S, 2 * pause)
            elif answer.accepted + answer.dead_lettered + answer.waiting == 0 and answer.reason:
                raise ClientError(f"the push was refused: {answer.reason}")
            else:
                return answer
        raise ClientError(
            f"no acknowledgement within {timeout_s:.0f} s: the cluster is under back-pressure or "
            "has no worker - look at `streammac status`"
        )

    def _await(
        self, socket: MessageSocket[Pushed], sequence: int, deadline: float
    ) -> Pushed | None:
        while (left := deadline - time.monotonic()) > 0:
            socket.socket.poll(max(1, int(left * 1000)))
            for _, answer in socket.receive():
                if answer.sequence == sequence:
                    return answer
        return None

    def _ingest(self, deadline: float, name: str) -> MessageSocket[Pushed]:
        """Return a socket to the ingest node of a name, or to any; wait for it if need be."""
        while self._socket is None:
            nodes = [node for node in self.status().feeding if node.client]
            node = next((n for n in nodes if name in ("", n.name)), None)
            if node is None:
                if time.monotonic() > deadline:
                    raise ClientError(
                        f"the ingest node {name} is gone with the push, which may be stored or not - "
                        "start it again under this name before the push is given up"
                        if name
                        else "no ingest node takes points - start one: `streammac ingest`"
                    )
                time.sleep(BUSY_S)
                continue
            self._node = node.name
            dealer = self._context.socket(zmq.DEALER)
            dealer.linger = 0
            connect(dealer, str(node.client), node.name)
            self._socket = MessageSocket(dealer, f"the ingest node {node.name}", Pushed)
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.socket.close(linger=0)
            self._socket = None

    # -- asking ---------------------------------------------------------------------------

    def status(self) -> ClusterStatus:
        """Return the cluster's status (docs/status.md).

        Raises
        ------
        ClientError
            If the coordinator does not answer.
        """
        status = ask_status(self._coordinator, self._timeout_s, self._keys)
        if status is None:
            raise ClientError(f"the coordinator at {self._coordinator} does not answer")
        return status

    def model(self, version: int = 0) -> Model:
        """Return a published version; 0 is the current one.

        Raises
        ------
        ClientError
            If there is no such version (yet).
        VersionError
            If its model is unknown here: the cluster is of another release.
        """
        reply = ask(
            self._coordinator, ModelRequest(version), ModelReply, self._timeout_s, self._keys
        )
        if reply is None:
            raise ClientError(f"the coordinator at {self._coordinator} does not answer")
        if reply.version == 0:
            wanted = f"version {version}" if version else "model version yet"
            raise ClientError(f"there is no {wanted} - `streammac model list` shows what there is")
        return Model.of(reply.version, json.loads(reply.metadata), reply.tensors)

    def encode(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Encode (n, D) points with the current version; ask `model` for its number."""
        return self.model().encode(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return what the current version predicts of (n, D) points, see `Model.predict`."""
        return self.model().predict(X)


def _batches(X: ArrayLike) -> Iterator[NDArray[np.float32]]:
    """Yield points as models take them, not too many at a time."""
    points = np.atleast_2d(np.asarray(X))
    for first in range(0, max(1, len(points)), ENCODE_ROWS):
        with np.errstate(over="ignore"):
            x = np.array(points[first : first + ENCODE_ROWS], np.float32)
        inside = within(x)
        if not inside.all():
            raise ValueError(f"X: row {first + int(np.argmin(inside))} is {OUTSIDE}")
        yield x


def _named(keys: Sequence[str | bytes]) -> list[bytes]:
    return [key.encode() if isinstance(key, str) else key for key in keys]


def _columns(X: ArrayLike, y: ArrayLike | None, times: ArrayLike | None) -> Tensors:
    """Return what is pushed as arrays of types that travel, an entry for each point."""
    x = np.atleast_2d(np.asarray(X))
    if x.dtype.kind not in "fiub":
        raise ValueError(f"X: expected numbers, got {x.dtype}")
    columns = {"x": x if x.dtype.str in ("<f4", "|u1") else x.astype(np.float64)}
    if y is not None:
        columns["y"] = np.atleast_1d(np.asarray(y, np.float64))
    if times is not None:
        columns["time"] = np.atleast_1d(np.asarray(times, np.float64))
    for name, column in columns.items():
        if len(column) != len(x):
            raise ValueError(f"{name}: expected {len(x)} entries, got {len(column)}")
    return columns


def _parts(columns: Tensors, names: list[bytes]) -> Iterator[tuple[Tensors, tuple[bytes, ...]]]:
    """Yield columns and keys in parts that can be sent."""
    count = len(columns["x" if "x" in columns else "y"])
    if names and len(names) != count:
        raise ValueError(f"keys: expected {count} entries, got {len(names)}")
    longest = max(map(len, names), default=0)
    if longest + KEY_OVERHEAD_BYTES > KEYS_BYTES:
        raise ValueError(f"keys: one of {longest} bytes is too long to be sent")
    row_bytes = sum(column[:1].nbytes for column in columns.values())
    rows = max(1, PUSH_BYTES // max(1, row_bytes))
    if names:
        rows = min(rows, KEYS_BYTES // (longest + KEY_OVERHEAD_BYTES))
    for first in range(0, count, rows):
        part = slice(first, first + rows)
        tensors = {name: np.ascontiguousarray(column[part]) for name, column in columns.items()}
        yield tensors, tuple(names[part])
