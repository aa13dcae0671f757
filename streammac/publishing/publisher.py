"""From finished epochs to published versions: measure on the held-out sample, write, promote or keep as candidate.

A thread of the coordinator process. Only the newest finished epoch waits; one that comes sooner than
the publishing interval takes the place of the one before it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from msgspec import structs

from streammac.coordinator.epoch_reports import EpochResult
from streammac.coordinator.verdict import Verdict
from streammac.models.base import Array, NestedModel
from streammac.publishing.held_out import HeldOutSample, Measurement
from streammac.publishing.versions import STATISTICS, VersionError, VersionStore
from streammac.settings.schema import Settings
from streammac.threads import VitalThread
from streammac.wire.status import Quality

log = logging.getLogger(__name__)

END_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Published:
    """What is published, as it is at one moment.

    Attributes
    ----------
    version, current : int
        The newest version and the promoted one, 0 before there is one.
    reason : str
        Why the newest version is or is not the current one.
    quality : Quality or None
        Of the current version.
    first_s : float
        Unix time of the first version of this process, 0 before it.
    trouble : str
        Why the newest epoch could not be published; empty if it was.
    resume : dict
        Epoch and plan that follow the newest version on disk; empty before this process has written one.
    """

    version: int
    current: int
    reason: str = ""
    quality: Quality | None = None
    first_s: float = 0.0
    resume: dict[str, Any] = field(default_factory=dict)
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
    published : Published
        What there is; the thread replaces it as a whole.
    verdict : Verdict or None
        On the newest continuation that is over; the thread replaces it as a whole.
    """

    def __init__(self, settings: Settings, versions: VersionStore) -> None:
        self._settings = settings
        self.versions = versions
        self._held_out_sample = HeldOutSample(settings.held_out, settings.cluster.seed)
        self._wanted: tuple[EpochResult, int] | None = None
        self._signal = threading.Condition()
        self._ending = False
        self._trouble: OSError | None = None
        self._thread = VitalThread("publisher", self._run)
        current = versions.retreat()
        self.published = Published(versions.newest, current)
        self.verdict: Verdict | None = None
        # new versions are held against the best one: against the last one, each a little worse than
        # the one before it, quality could creep down without end
        self._best_version = current
        self._best = versions.load(current).tensors if current else {}
        self._current = self._best

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def observe(self, tensors: dict[str, np.ndarray]) -> int:
        """Take held-out points ``x`` (n, D); return how many are refused, see `HeldOutSample.add`."""
        with self._signal:
            return self._held_out_sample.add(tensors["x"]) if "x" in tensors else 0

    def offer(self, result: EpochResult, points: int) -> None:
        """Take a finished epoch; ``points`` are stored in the cluster by now."""
        with self._signal:
            self._wanted = (result, points)
            self._signal.notify()

    def check(self) -> None:
        """Raise the OSError of which the newest epoch that was to be published was not."""
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        """Publish what still waits, and end."""
        with self._signal:
            self._ending = True
            self._signal.notify()
        if self._thread.ident is not None:
            self._thread.join(END_PATIENCE_S)

    # -- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        from streammac.models.registry import create

        spec = self._settings.model
        model = create(spec.family, bits=spec.bits, **spec.options)
        model = model.grouped_for(self._settings.cluster.workers)
        last = 0.0
        while True:
            with self._signal:
                self._signal.wait_for(lambda: self._wanted is not None or self._ending)
                pause = self._settings.publish.interval_s - (time.monotonic() - last)
                if pause > 0 and not self._ending:
                    self._signal.wait(pause)
                    continue
                wanted, self._wanted = self._wanted, None
            if wanted is None:
                return
            last = time.monotonic()
            try:
                self._publish(model, *wanted)
                self._trouble = None
            except OSError as error:  # the next epoch tries again
                log.warning("epoch %d is not published: %s", wanted[0].epoch, error)
                self._trouble = error
            except UNUSABLE as error:
                trouble = f"epoch {wanted[0].epoch}: {type(error).__name__}: {error}"
                log.error("not published: %s", trouble)
                self.published = replace(self.published, trouble=trouble)

    def _publish(self, model: NestedModel, result: EpochResult, points: int) -> None:
        # the first version is not kept waiting for neighbours and baselines to be computed
        before = self.published
        new = self._measure(model, result.params) if before.current else None
        metadata = {
            "epoch": result.epoch,
            "points": points,
            "objective": result.per_point("nested"),
            "mu": result.mu,
            "parent": before.version,
            "statistics": STATISTICS,
            "model": {"family": model.family, "hyper_parameters": model.hyper_parameters()},
            "quality": new.summary() if new else None,
        }
        version = self.versions.publish(dict(result.params), metadata)
        old = self._measure(model, self._best) if self._best and new is not None else None
        tolerance = self._settings.publish.tolerance
        promoted, reason = judge(new, old, self._best_version, tolerance)
        if promoted:
            self.versions.promote(version, reason)
            self._current = dict(result.params)
        else:
            log.info("version %d stays a candidate: %s", version, reason)
        current = version if promoted else before.current
        shown = new if promoted else self._measure(model, self._current)
        if old is None or (new is not None and new.model >= old.model):
            self._best, self._best_version = dict(result.params), version
        self.published = Published(
            version,
            current,
            reason,
            Quality(**shown.summary(), version=current) if shown else before.quality,
            before.first_s or time.time(),
            {"epoch": result.epoch + 1, "plan": structs.asdict(result.following)},
        )

    def _measure(self, model: NestedModel, params: Mapping[str, Array]) -> Measurement | None:
        with self._signal:  # points may come meanwhile, but not into the sample being copied
            task = self._held_out_sample.task(self._settings.model.bits)
        return task.measure(model, params) if task is not None else None


def judge(
    new: Measurement | None, best: Measurement | None, best_version: int, tolerance: float
) -> tuple[bool, str]:
    """Say whether a version is to be promoted, and why.

    Parameters
    ----------
    new, best : Measurement or None
        The version and the best one so far, on the same held-out sample; None where there is none.
    best_version : int
        Number of the best version, 0: there is none.
    tolerance : float
        How much worse a version may be.
    """
    if best_version == 0:
        return True, "the first version"
    if new is None or best is None:
        return True, "no held-out points to measure on"
    verdict = f"{new.model:.4f} on held-out points, version {best_version} has {best.model:.4f}"
    if new.model < best.model - tolerance:
        return False, f"{verdict}: worse by more than {tolerance}"
    return True, verdict
