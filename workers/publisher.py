"""From finished epochs to published versions: measure on the probe, write, promote or keep as candidate.

A thread of the coordinator process. Only the newest finished epoch waits; one that comes sooner than
the publishing interval takes the place of the one before it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from streammac.config import Settings
from streammac.models.base import NestedModel
from streammac.ring.epochs import EpochResult
from streammac.versions import VersionStore
from workers.probe import Measurement, Probe

log = logging.getLogger(__name__)

END_PATIENCE_S = 10.0


class Publisher:
    """Publishes versions of the model.

    Parameters
    ----------
    settings : Settings
        Probe and publishing settings, and what the model is.
    versions : VersionStore
        Where versions go.
    """

    def __init__(self, settings: Settings, versions: VersionStore) -> None:
        self._settings = settings
        self._versions = versions
        self._probe = Probe(settings.probe, settings.cluster.seed)
        self._wanted: tuple[EpochResult, int] | None = None
        self._signal = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.version = versions.newest
        self.current = versions.current
        self.quality: dict[str, Any] | None = None
        self.reason = ""
        """Why the newest version is or is not the current one."""
        self.resume: dict[str, Any] | None = None
        """Epoch and plan that follow the newest version on disk."""
        self.first_model_s = 0.0
        """Unix time of the first version of this process, 0 before it."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def observe(self, tensors: dict[str, np.ndarray]) -> None:
        """Take held-out points ``x`` (n, D)."""
        if "x" in tensors and tensors["x"].ndim == 2:
            with self._signal:
                self._probe.add(tensors["x"])

    def offer(self, result: EpochResult, points: int) -> None:
        """Take a finished epoch; ``points`` are stored in the cluster by now."""
        with self._signal:
            self._wanted = (result, points)
            self._signal.notify()

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
        last = 0.0
        while True:
            with self._signal:
                self._signal.wait_for(lambda: self._wanted is not None or self._ending)
                pause = self._settings.publish.interval_s - (time.monotonic() - last)
                if pause > 0 and not self._ending:
                    self._signal.wait(pause)
                    continue
                wanted, self._wanted = self._wanted, None
                x = self._probe.points()
            if wanted is None:
                return
            last = time.monotonic()
            self._publish(model, *wanted, x)

    def _publish(self, model: NestedModel, result: EpochResult, points: int, x: np.ndarray) -> None:
        measured = self._probe.measure(model, result.params, x)
        count = max(1.0, result.sums.get("points", 0.0))
        metadata = {
            "epoch": result.epoch,
            "points": points,
            "objective": result.sums.get("nested", 0.0) / count,
            "mu": result.mu,
            "parent": self.version,
            "model": {"family": model.family, "hyper_parameters": model.hyper_parameters()},
            "quality": asdict(measured) if measured else None,
        }
        version = self._versions.publish(dict(result.params), metadata)
        promoted, self.reason = self._judge(model, measured, x)
        if promoted:
            self._versions.promote(version, self.reason)
            self.current = version
        else:
            log.info("version %d stays a candidate: %s", version, self.reason)
        self.resume = {"epoch": result.epoch + 1, "plan": asdict(result.following)}
        self.version = version
        self.first_model_s = self.first_model_s or time.time()
        if measured is not None:
            self.quality = asdict(measured) | {"version": version, "current": self._of_current}

    _of_current: float | None = None
    """Quality of the promoted version on the probe as it is now."""

    def _judge(
        self, model: NestedModel, new: Measurement | None, x: np.ndarray
    ) -> tuple[bool, str]:
        """Say whether a version is to be promoted, and why."""
        if self.current == 0:
            self._of_current = new.model if new else None
            return True, "the first version"
        if new is None:
            return True, "no probe to measure on"
        old = self._probe.measure(model, self._versions.load(self.current).tensors, x)
        assert old is not None, "what can be measured for one version can be for another"
        tolerance = self._settings.publish.tolerance
        verdict = f"{new.metric} {new.model:.4f}, version {self.current} has {old.model:.4f}"
        if new.model < old.model - tolerance:
            self._of_current = old.model
            return False, f"{verdict}: worse by more than {tolerance}"
        self._of_current = new.model
        return True, verdict
