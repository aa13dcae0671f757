"""Workers that answer a publisher's questions, without sockets: what the coordinator's I/O loop does, in a thread."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping

import numpy as np

from streammac.models.arrays import ArrayShard
from streammac.models.base import NestedModel
from streammac.models.signature import Signature
from streammac.publishing.inquiry import Inquiry, Stored
from streammac.wire.messages import ProbeAnswer
from workers.probe_thread import ProbeThread

TURN_S = 0.002


class Snapshots(ArrayShard):
    """A shard whose view shows what was there when it was taken."""

    def view(self) -> ArrayShard:
        return copy.copy(self)  # what is extended is replaced, and not changed


class Asked:
    """Workers and their points.

    Parameters
    ----------
    inquiry : Inquiry
        What is asked.
    model : NestedModel
        How it is answered.
    shards : mapping of str to array
        Points by worker; they may be changed meanwhile, as ``change`` does.
    change : callable, optional
        What becomes of an answer on its way; None: it is lost.
    """

    def __init__(
        self,
        inquiry: Inquiry,
        model: NestedModel,
        shards: Mapping[str, np.ndarray],
        change: Callable[[ProbeAnswer], ProbeAnswer | None] = lambda answer: answer,
    ) -> None:
        self.inquiry = inquiry
        self.model = model
        self.change = change
        self.questions: list[object] = []
        self.refused: list[str] = []
        self.appended = 0
        self.workers: dict[tuple[str, int], ProbeThread] = {}
        self._shards: dict[tuple[str, int], Snapshots] = {}
        for name, x in shards.items():
            self.join(name, x)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def join(self, name: str, x: np.ndarray, incarnation: int = 1) -> None:
        shard = Snapshots(x, self.model.coordinate_shape())
        prober = ProbeThread(name, Signature(x.shape[1]), 0, shard)
        prober.start(self.model)
        self.appended += len(x)
        self._shards[name, incarnation] = shard
        self.workers[name, incarnation] = prober

    def die(self, name: str, incarnation: int = 1) -> None:
        self.workers.pop((name, incarnation)).stop()

    def extend(self, name: str, x: np.ndarray) -> None:
        self._shards[name, 1].extend(x)
        self.appended += len(x)

    def __enter__(self) -> Asked:
        self._see()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for prober in self.workers.values():
            prober.stop()

    def _see(self) -> None:
        workers = list(self.workers)
        counts = {worker: len(self._shards[worker]) for worker in workers}
        self.inquiry.see(Stored(counts, self.appended))

    def _run(self) -> None:
        while not self._ending.wait(TURN_S):
            self._see()
            for name, question in self.inquiry.take():
                self.questions.append(question)
                for (own, _), prober in list(self.workers.items()):
                    if own == name:
                        prober.handle(question)
            for prober in list(self.workers.values()):
                for answer in prober.take():
                    changed = self.change(answer)
                    refused = self.inquiry.answer(changed) if changed is not None else ""
                    self.refused += [refused] if refused else []
