"""A worker's part in measuring models: a thread asks the queries of a probe of a sample of the points that are here.

Neither the ring nor points on their way wait for it. Its points stay here: distances, sums and counts leave
(`streammac.models.measures`).
"""

from __future__ import annotations

import json
import logging
import queue
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, NestedModel, Tensors
from streammac.models.measures import Measures
from streammac.models.registry import create
from streammac.models.signature import Signature
from streammac.points.block import PointBlock
from streammac.threads import VitalThread
from streammac.wire.messages import OpenProbe, ProbeAnswer, ProbeQuestion
from workers.snapshot import Snapshot, SnapshotSource

log = logging.getLogger(__name__)

CHUNK = 2048
"""Points looked at at a time: bounds the memory."""
END_PATIENCE_S = 1.0
UNANSWERABLE = (ArithmeticError, LookupError, ValueError, TypeError, OSError, MemoryError)
"""What a question raises that makes no sense, or that this machine has no room for."""


class _NoMore(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """A probe, and this worker's points as they were when it was opened."""

    order: OpenProbe
    view: Snapshot

    @property
    def points(self) -> int:
        """Size of the sample."""
        return round(self.order.share * len(self.view))

    @property
    def queries(self) -> PointBlock:
        """The queries; a copy."""
        return PointBlock.of({n: np.array(a, np.float32) for n, a in self.order.tensors.items()})

    def chunks(self, seed: tuple[int, int]) -> Iterator[PointBlock]:
        """Yield the sample in pieces: the same of the same points."""
        count = len(self.view)
        drawn = np.random.default_rng(seed).choice(count, self.points, replace=False, shuffle=False)
        rows = np.sort(drawn)
        for lo in range(0, len(rows), CHUNK):
            part = rows[lo : lo + CHUNK]
            yield PointBlock(self.view.x(part), self.view.y(part))


class ProbeThread:
    """Answers what is asked of a probe.

    Parameters
    ----------
    name : str
        The worker's name.
    signature : Signature
        Inputs and targets of the points.
    seed : int
        Seed of the samples.
    shard : SnapshotSource
        The points.

    Attributes
    ----------
    answers : queue
        What has been answered, for the I/O loop.
    """

    def __init__(self, name: str, signature: Signature, seed: int, shard: SnapshotSource) -> None:
        self.name = name
        self.signature = signature
        self._seed = seed, zlib.crc32(name.encode())
        self._shard = shard
        self._asked: queue.SimpleQueue[ProbeSample | ProbeQuestion | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[ProbeAnswer] = queue.SimpleQueue()
        self._newest: int | None = None
        """The newest probe, None at the end; what is asked of another one is of no use."""
        self._thread: VitalThread | None = None

    # -- the I/O loop ---------------------------------------------------------------------

    def start(self, model: NestedModel) -> None:
        """Begin to answer: it is known how now."""
        self._thread = VitalThread("probe", lambda: self._run(model.measures()))
        self._thread.start()

    def handle(self, message: OpenProbe | ProbeQuestion) -> None:
        """Take what the coordinator asks."""
        if isinstance(message, OpenProbe):
            if not self._is_ours(message.tensors):
                log.warning("ignored a probe whose queries are not of this stream")
                return
            self._newest = message.number
            # here, in the thread that writes: no segment goes while it is taken
            self._asked.put(ProbeSample(message, self._shard.view()))
        else:
            self._asked.put(message)

    def _is_ours(self, tensors: Mapping[str, Array]) -> bool:
        """Return whether queries have the inputs and targets of this stream."""
        wanted = {"x": self.signature.inputs}
        if self.signature.targets:
            wanted["y"] = self.signature.targets
        counts = {len(array) for array in tensors.values() if array.ndim == 2}
        shapes = {name: array.shape[1:] for name, array in tensors.items()}
        return len(counts) == 1 and shapes == {name: (length,) for name, length in wanted.items()}

    def take(self) -> Iterator[ProbeAnswer]:
        """Yield the answers there are."""
        while not self.answers.empty():
            yield self.answers.get()

    def stop(self) -> None:
        """End the thread after the piece of the sample it is at."""
        self._newest = None
        self._asked.put(None)
        if self._thread is not None:
            self._thread.join(END_PATIENCE_S)

    # -- the thread -----------------------------------------------------------------------

    def _run(self, measures: Measures) -> None:
        probe: ProbeSample | None = None
        kept: Tensors = {}
        while (asked := self._asked.get()) is not None:
            number = 0 if isinstance(asked, ProbeSample) else asked.number
            meant = asked.order.number if isinstance(asked, ProbeSample) else asked.probe
            if isinstance(asked, ProbeSample):
                probe, kept = asked, {}
            if probe is None or meant != self._newest:
                continue
            told: Mapping[str, Array] = {}
            reason = ""
            try:
                chunks = self._while_wanted(probe)
                if isinstance(asked, ProbeSample):
                    survey = measures.survey(probe.queries, chunks)
                    told, kept = survey.told, survey.kept
                else:
                    params, key = _part(asked, "model/"), _part(asked, "key/")
                    if asked.fits:
                        told = measures.fit(params, chunks, kept)
                    else:
                        asks = create(**json.loads(asked.model)).measures()
                        told = asks.answer(params, probe.queries, chunks, kept, key)
            except _NoMore:
                continue
            except UNANSWERABLE as error:
                reason = f"{type(error).__name__}: {error}"
                log.warning("a model cannot be measured: %s", reason)
            answer = ProbeAnswer(self.name, meant, number, probe.points, dict(told), reason)
            self.answers.put(answer)

    def _while_wanted(self, probe: ProbeSample) -> Callable[[], Iterator[PointBlock]]:
        def chunks() -> Iterator[PointBlock]:
            for points in probe.chunks(self._seed):
                if probe.order.number != self._newest:
                    raise _NoMore
                yield points

        return chunks


def _part(question: ProbeQuestion, prefix: str) -> Tensors:
    arrays = question.tensors.items()
    return {name.removeprefix(prefix): a for name, a in arrays if name.startswith(prefix)}
