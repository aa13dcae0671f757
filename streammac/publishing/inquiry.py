"""Questions to the workers and their answers, between the publisher's thread and the I/O loop of the coordinator.

The thread asks and waits; the loop sends what is asked and brings what is answered. Who waits is told as soon as an
answer cannot come any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from streammac.errors import StreammacError
from streammac.wire.messages import OpenProbe, ProbeAnswer, ProbeQuestion

TURN_S = 0.1
"""How often who waits looks at what else there is to do."""
Question = OpenProbe | ProbeQuestion
Check = Callable[[ProbeAnswer], None]
"""Raises ValueError where an answer makes no sense."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Who has how many points.

    Attributes
    ----------
    workers : mapping
        Name and incarnation of each worker that can answer, and the points it has to train on.
    appended : int
        Points that they have ever stored.
    """

    workers: Mapping[tuple[str, int], int] = field(default_factory=dict)
    appended: int = 0

    @property
    def points(self) -> int:
        """All points that there are to train on."""
        return sum(self.workers.values())


class Unanswered(StreammacError):
    """The workers that were asked do not all answer."""


class Outdated(Unanswered):
    """Others are there than those who were to be asked."""


class Unanswerable(StreammacError, ValueError):
    """A worker cannot make sense of what is asked."""


class Inquiry:
    """What is under way between the publisher and the workers.

    Parameters
    ----------
    patience_s : float
        How long answers are waited for.

    Attributes
    ----------
    meanwhile : callable
        Called again and again in the thread that waits. It must not ask.
    """

    def __init__(self, patience_s: float) -> None:
        self.meanwhile: Callable[[], object] = lambda: None
        self._patience_s = patience_s
        self._signal = threading.Condition()
        self._stored = Stored()
        self._outbox: list[tuple[str, Question]] = []
        self._expected: dict[tuple[str, int, int], Check] = {}
        self._answers: dict[tuple[str, int, int], ProbeAnswer] = {}
        self._refused = ""
        self._closed = False

    # -- the I/O loop ---------------------------------------------------------------------

    def see(self, stored: Stored) -> None:
        """Take notice of who is there now."""
        with self._signal:
            left = stored.workers.keys() != self._stored.workers.keys()
            self._stored = stored
            if left:
                self._signal.notify_all()

    def take(self) -> list[tuple[str, Question]]:
        """Return what is to be sent, and to which worker."""
        with self._signal:
            taken, self._outbox = self._outbox, []
        return taken

    def answer(self, answer: ProbeAnswer) -> str:
        """Take an answer; return why it is refused, empty if it is not. One that nobody waits for is dropped."""
        key = answer.name, answer.probe, answer.number
        with self._signal:
            check = self._expected.pop(key, None)
            if check is None:
                return ""
            try:
                if not answer.reason:
                    check(answer)
            except ValueError as error:
                self._refused = f"an answer of {answer.name} makes no sense: {error}"
                self._signal.notify_all()
                return self._refused
            self._answers[key] = answer
            self._signal.notify_all()
            return ""

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._signal:
            self._closed = True
            self._signal.notify_all()

    # -- the publisher's thread -----------------------------------------------------------

    @property
    def stored(self) -> Stored:
        """Who is there."""
        with self._signal:
            return self._stored

    def ask(
        self, questions: Sequence[Question], workers: Set[tuple[str, int]], check: Check
    ) -> list[dict[str, ProbeAnswer]]:
        """Ask all workers, who must be these; return for each question the answers by the worker's name.

        Raises
        ------
        Outdated
            If one of them is gone or replaced before it has answered all, or another one comes.
        Unanswered
            If an answer is refused, one does not come in time, or the cluster ends.
        Unanswerable
            If one of them says that it cannot answer, and why.
        """
        keys = [[(name, *numbers(one)) for name, _ in workers] for one in questions]
        with self._signal:
            self._expected = {key: check for row in keys for key in row}
            self._answers, self._refused = {}, ""
            self._outbox = [(name, one) for one in questions for name, _ in workers]
        self._wait(workers)
        with self._signal:
            missing = {name for name, *_ in self._expected}
            self._expected, self._outbox = {}, []
            for answer in self._answers.values():
                if answer.reason:
                    raise Unanswerable(f"{answer.name}: {answer.reason}")
            if missing or self._refused:
                raise self._failure(workers, missing)
            return [{key[0]: self._answers[key] for key in row} for row in keys]

    def _wait(self, workers: Set[tuple[str, int]]) -> None:
        end = time.monotonic() + self._patience_s
        while (left := end - time.monotonic()) > 0:
            with self._signal:
                if self._signal.wait_for(lambda: self._is_over(workers), min(left, TURN_S)):
                    return
            self.meanwhile()

    def _is_over(self, workers: Set[tuple[str, int]]) -> bool:
        changed = self._stored.workers.keys() != workers
        return not self._expected or changed or self._closed or bool(self._refused)

    def _failure(self, workers: Set[tuple[str, int]], missing: set[str]) -> Unanswered:
        if self._closed:
            return Unanswered("the cluster ends")
        if self._refused:
            return Unanswered(self._refused)
        if self._stored.workers.keys() != workers:
            return Outdated("workers came or left")
        names = ", ".join(sorted(missing))
        return Unanswered(f"{names} did not answer in {self._patience_s:.0f} s")


def numbers(question: Question) -> tuple[int, int]:
    """Return probe and number of a question: that of opening a probe is 0."""
    if isinstance(question, OpenProbe):
        return question.number, 0
    return question.probe, question.number
