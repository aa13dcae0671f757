"""From finished epochs to published versions: written, measured on held-out points, promoted or kept as candidates.

A thread of the coordinator process. A version is published when the hash functions have changed; what makes it the
current one is in `streammac.publishing.promotion`. At the end of a continuation, when its hash functions rest, there is
a verdict: training goes on from its best epoch, or from the current version if that is better.

Measuring takes as long as the workers take to answer. Where points must not wait (``training.refresh``), the epochs
that come meanwhile are written, too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streammac.coordinator.epoch_reports import EpochResult
from streammac.coordinator.verdict import Verdict
from streammac.models.registry import configured
from streammac.publishing.inquiry import Unanswered
from streammac.publishing.probe import Probe, Prober
from streammac.publishing.promotion import Decision, is_not_worse, judge
from streammac.publishing.standing import Change, Leader, Standing
from streammac.publishing.versions import VersionError, VersionStore
from streammac.publishing.writing import Writer, Written, following
from streammac.settings.schema import Settings
from streammac.threads import VitalThread
from streammac.wire.status import Quality

log = logging.getLogger(__name__)

END_PATIENCE_S = 10.0
RETRY_S = 1.0
"""An epoch that could not be written is tried again after so long."""
MOST_WAITING = 8
"""Epochs that wait to be published; of more, those that came first give way."""


@dataclass(frozen=True, slots=True)
class Published:
    """What is published, as it is at one moment.

    Attributes
    ----------
    version, current : int
        The newest version and the promoted one, 0 before there is one.
    judged : int
        The newest version of which it was decided whether it is promoted.
    reason : str
        Why that one is or is not the current one.
    pinned : bool
        The current one was pinned by hand: no other is promoted.
    quality : Quality or None
        Of the current version.
    first_s : float
        Unix time of the first version of this process, 0 before it.
    examined : int
        Newest epoch that was looked at; -1 before it.
    examined_s : float
        Unix time at which an epoch was looked at last: published, or its hash functions were those of a version.
    trouble : str
        Why the newest epoch could not be published; empty if it was.
    """

    version: int
    current: int
    judged: int = 0
    reason: str = ""
    pinned: bool = False
    quality: Quality | None = None
    first_s: float = 0.0
    examined: int = -1
    examined_s: float = 0.0
    trouble: str = ""


UNUSABLE = (
    VersionError,
    ArithmeticError,
    np.linalg.LinAlgError,
    LookupError,
    ValueError,
    TypeError,
)
"""What a model is answered with that is none: its numbers, or arrays that a member made up."""


class Publisher:
    """Publishes versions of the model.

    Parameters
    ----------
    settings : Settings
        Held-out and publishing settings, and what the model is.
    versions : VersionStore
        Where versions go.

    Attributes
    ----------
    prober : Prober
        Measures them.
    published : Published
        What there is; the thread replaces it as a whole.
    verdict : Verdict or None
        On the newest continuation that is over; the thread replaces it as a whole.
    """

    def __init__(self, settings: Settings, versions: VersionStore) -> None:
        self._settings = settings
        self.versions = versions
        self.prober = Prober(settings.held_out, settings.cluster.seed)
        spec = settings.model
        model = configured(spec.family, spec.options, spec.bits, settings.stream.classes)
        hurries = settings.training.refresh is not None
        # where points must not wait, only the newest epoch counts
        self._waiting: deque[tuple[EpochResult, int]] = deque(maxlen=1 if hurries else MOST_WAITING)
        if hurries:
            self.prober.inquiry.meanwhile = self._write_ahead
        self._signal = threading.Condition()
        self._writing = threading.RLock()  # the thread and whoever pins: one at a time
        self._ending = False
        self._trouble: OSError | None = None
        self._thread = VitalThread("publisher", self._run)
        current = versions.retreat()
        self._current = Standing.of(versions.load(current)) if current else None
        self._leader = Leader()
        self._writer = Writer(model, versions, self.prober.held_out, self._current)
        self._written: Written | None = None
        """What is not judged yet."""
        newest = versions.newest
        self.published = Published(newest, current, newest, pinned=versions.pinned)
        self.verdict: Verdict | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def observe(self, tensors: dict[str, np.ndarray]) -> int:
        """Take held-out points ``x`` (n, D), ``y``; return how many are refused, see `HeldOutSample.add`."""
        return self.prober.held_out.add(tensors["x"], tensors.get("y")) if "x" in tensors else 0

    def offer(self, result: EpochResult, points: int) -> None:
        """Take a finished epoch; ``points`` are stored in the cluster by now."""
        with self._signal:
            if self._waiting and self._rests(result) and self._rests(self._waiting[-1][0]):
                self._waiting.pop()
            self._waiting.append((result, points))
            self._signal.notify()

    def pin(self, version: int) -> None:
        """Make a version the current one, and promote no other before `unpin`.

        Raises
        ------
        VersionError
            If it is not there or not usable.
        OSError
            If the disk takes nothing.
        """
        with self._writing:
            self.versions.pin(version)
            self._current = Standing.of(self.versions.load(version))
            self._tell(current=version, pinned=True, quality=None)

    def unpin(self) -> None:
        """Let better versions become the current one again.

        Raises
        ------
        OSError
            If the disk takes nothing.
        """
        with self._writing:
            self.versions.unpin()
            self._tell(pinned=False)

    def check(self) -> None:
        """Raise the OSError of which the newest epoch that was to be published was not."""
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        """Publish the newest epoch that waits, unmeasured, and end."""
        self.prober.inquiry.close()
        with self._signal:
            self._ending = True
            self._signal.notify()
        if self._thread.ident is not None:
            self._thread.join(END_PATIENCE_S)

    # -- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        last = 0.0
        while (wanted := self._next(last)) is not None:
            last = time.monotonic()
            try:
                self._take(*wanted)
                self._trouble = None
            except OSError as error:
                log.warning("epoch %d is not published: %s", wanted[0].epoch, error)
                self._trouble = error
                self._keep(wanted)
            except UNUSABLE as error:
                trouble = f"epoch {wanted[0].epoch}: {type(error).__name__}: {error}"
                log.error("not published: %s", trouble)
                self._tell(trouble=trouble)

    def _keep(self, wanted: tuple[EpochResult, int]) -> None:
        """Have an epoch tried again, unless a newer one waits: where the ring rests there is none to come."""
        with self._signal:
            if not self._waiting and not self._ending:
                self._waiting.append(wanted)

    def _next(self, last: float) -> tuple[EpochResult, int] | None:
        """Wait for an epoch that is to be looked at; None: there is none, and it is time to end.

        Between two of them is the publishing interval, unless the continuation is over, and a pause where the disk
        takes nothing.
        """
        with self._signal:
            while True:
                self._signal.wait_for(lambda: self._waiting or self._ending)
                if self._ending:
                    newest = self._waiting[-1] if self._waiting else None
                    self._waiting.clear()
                    return newest
                over = self._rests(self._waiting[-1][0])
                over &= len(self._waiting) > 1 or not self._leader.over
                pause = self._settings.publish.interval_s
                if self._trouble is not None:
                    over, pause = False, max(pause, RETRY_S)
                pause -= time.monotonic() - last
                if over or pause <= 0:
                    return self._waiting.popleft()
                self._signal.wait(pause)

    def _rests(self, result: EpochResult) -> bool:
        return not result.plan.fresh and self._writer.model.rests(result.plan.age)

    def _write(self, result: EpochResult, points: int) -> Written:
        """Write an epoch, unless that is done."""
        written = self._written
        if written is not None and written.result is result:
            return written
        with self._writing:
            parent = self.published.version
            written = self._written = self._writer.write(result, points, self._current, parent)
        now = time.time()
        if written.new is not None:
            self._tell(version=written.version, first_s=self.published.first_s or now)
        self._tell(examined=result.epoch, examined_s=now, trouble="")
        return written

    def _write_ahead(self) -> None:
        """Write the epoch that waits while another one is measured; a failure is told of when its turn comes."""
        with self._signal:
            if self._ending or not self._waiting:
                return
            result, points = self._waiting[-1]
        if time.time() >= self.published.examined_s + self._settings.publish.interval_s:
            with contextlib.suppress(OSError, *UNUSABLE):
                self._write(result, points)

    def _take(self, result: EpochResult, points: int) -> None:
        """Publish an epoch with new hash functions; pass the verdict on a continuation that is over."""
        written = self._write(result, points)
        if result.plan.restart != self._leader.restart:
            self._leader = Leader(result.plan.restart, written.parent)
        if written.new is not None:
            self._assess(written.new, written.change)
        elif self._rests(result) and not self._leader.over:
            self._conclude(result, written.version)
        self._show()

    def _assess(self, new: Standing, change: Change | None) -> None:
        """Measure a version, and decide whether it is promoted."""
        current, best = self._current, self._leader.best
        self.versions.spared |= {new.version}
        # the first version is not kept waiting for neighbours and baselines to be computed
        if current is not None and not self._ending:
            self._measure(new, current, *(() if best is None else (best,)))
        with self._writing:
            decision = self._judge(new, change)
            quality = new.measured.summary() if new.measured else None
            self.versions.amend(new.version, reason=decision.reason, quality=quality)
            self._promote(new, decision)
        self._leader.consider(new)
        best = self._leader.best
        self.versions.spared = set() if best is None else {best.version}
        self._tell(judged=new.version, reason=decision.reason)

    def _conclude(self, result: EpochResult, version: int) -> None:
        """Say what training goes on from after a continuation, now that its hash functions rest.

        ``version`` has those of this epoch.
        """
        self._leader.over = True
        current, best = self._current, self._leader.best
        if best is None and current is not None and version != current.version:
            # a former process has seen the continuation
            best = Standing.of(self.versions.load(version))
            best.raw = result.params
        chosen = None
        if best is not None and current is not None:
            if self._measure(best, current):
                chosen = best if is_not_worse(best.measured, current.measured) else current
            if chosen is best and best.version != current.version:
                with self._writing:
                    self._promote(best, self._judge(best))
        if chosen is not None:
            self.verdict = Verdict(
                result.plan.restart,
                chosen.version,
                better=chosen.version > self._leader.since,
                tensors=chosen.raw,
                newest=version,
            )
        with self._writing:
            self.versions.resume_from(chosen.version if chosen else version, following(result))

    def _judge(self, new: Standing, change: Change | None = None) -> Decision:
        current = self._current
        if current is None:
            return Decision(True, "the first version")
        if new.measured is None and not current.was_measured and not self._ending:
            decision = Decision(True, "no held-out points to measure on")
        else:
            decision = judge(new.measured, current.measured, current.then, current.version)
        reason = f"{decision.reason}, {change}" if change else decision.reason
        if decision.promoted and self.published.pinned:
            return Decision(False, f"version {current.version} is pinned: {reason}")
        return replace(decision, reason=reason)

    def _promote(self, version: Standing, decision: Decision) -> None:
        if not decision.promoted:
            log.info("version %d stays a candidate: %s", version.version, decision.reason)
            return
        self.versions.promote(version.version, decision.reason)
        version.then = version.measured
        self._current = version
        self._tell(current=version.version, reason=decision.reason)

    def _tell(self, **changes: Any) -> None:
        with self._writing:
            self.published = replace(self.published, **changes)

    # -- measuring ------------------------------------------------------------------------

    def _measure(self, *versions: Standing) -> bool:
        """Measure versions on one probe, the newest; return whether they are."""

        def measure(probe: Probe) -> None:
            due = [v for v in versions if v.measured is None or v.measured.probe != probe.number]
            found = [self.prober.measure_on(probe, one.model, one.tensors) for one in due]
            for one, measured in zip(due, found, strict=True):
                one.see(measured)

        try:
            return self.prober.attempt(self._writer.model, measure)
        except Unanswered as error:
            log.warning("not measured: %s", error)
            return False

    def _show(self) -> None:
        """Tell the quality of the current version, on the newest probe."""
        current = self._current
        if current is None or self._ending or not self._measure(current):
            return
        with self._writing:
            if current is self._current and current.measured is not None:
                quality = current.measured.quality(current.version)
                self._tell(quality=quality)
