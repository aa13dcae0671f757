"""The compute thread of a worker: jobs in, results out, and the I/O loop woken for each result.

Sockets belong to the I/O loop alone; the two threads share two queues and a pair of inproc sockets that
carries nothing but the wake-up.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import zmq

from streammac.allocator import spare_what_is_loaded
from streammac.ring.member_actions import Done, Job
from streammac.threads import VitalThread
from workers.learner import Learner, PhaseTimes

WAKE = "inproc://compute"
END_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one job, after how many seconds."""

    done: Done | None
    times: PhaseTimes
    drift: float | None = None
    seconds: float = 0.0


class ComputeThread:
    """Runs a learner's jobs one after the other.

    Parameters
    ----------
    context : zmq.Context
        The process's context, for the wake-up socket.
    build : callable
        Makes the learner; called in the thread, because it imports what is slow to import. It is given
        a function that tells whether the thread is to end.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        build: Callable[[Callable[[], bool]], Learner],
    ) -> None:
        self._context = context
        self._build = build
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self.results: queue.SimpleQueue[Result | Learner] = queue.SimpleQueue()
        self.wake = context.socket(zmq.PAIR)
        self.wake.bind(WAKE)
        self.busy_s = 0.0
        """Seconds of work since the start (written here, read by the I/O loop)."""
        self._submitted = self._done = 0
        self._thread = VitalThread("compute", self._run)

    def start(self) -> None:
        """Start the thread; its first result is the learner itself."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._submitted += 1
        self._jobs.put(job)

    @property
    def busy(self) -> bool:
        """Return whether jobs wait or one is being done."""
        return self._done < self._submitted

    def stop(self, patience_s: float, meanwhile: Callable[[], None]) -> bool:
        """End the thread after the minibatch it is at; return whether it ended in time.

        ``meanwhile`` is called while that is waited for: a Z step takes long on a busy machine.
        """
        self._ending.set()
        self._jobs.put(None)
        end = time.monotonic() + patience_s
        while self._thread.is_alive() and time.monotonic() < end:
            self._thread.join(END_POLL_S)
            meanwhile()
        self.wake.close(linger=0)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wake = self._context.socket(zmq.PAIR)
        wake.linger = 0
        wake.connect(WAKE)
        try:
            learner = self._build(self._ending.is_set)
            self._post(wake, learner)
            # in a ring that is yet to begin, all do so while they wait for points, and not one after the other where
            # the first block comes by
            learner.model.prepare()
            spare_what_is_loaded()
            while (job := self._jobs.get()) is not None and not self._ending.is_set():
                begin = time.monotonic()
                done = learner.do(job)
                seconds = time.monotonic() - begin
                self.busy_s += seconds
                self._done += 1
                drift = learner.drift.take() if learner.drift is not None else None
                self._post(wake, Result(done, replace(learner.times), drift, seconds=seconds))
        finally:
            wake.close()

    def _post(self, wake: zmq.Socket[bytes], result: Result | Learner) -> None:
        self.results.put(result)
        with contextlib.suppress(
            zmq.ContextTerminated
        ):  # the loop has ended, and waited in vain for this
            wake.send(b"")
