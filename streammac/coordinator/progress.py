"""How far training has come: what the newest complete epoch left, and what a restarted cluster goes on from."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from msgspec import structs

from streammac.coordinator.continuation import Continuation
from streammac.coordinator.epoch_reports import EpochResult
from streammac.coordinator.freshness import Freshness
from streammac.coordinator.verdict import Verdict
from streammac.models.base import Array
from streammac.models.renewal import Renewal
from streammac.settings.schema import Training
from streammac.wire.messages import EpochPlan, Resume


class Progress:
    """The next epoch, its plan and parameters.

    Parameters
    ----------
    training : Training
        When the continuation begins anew.
    state : mapping, optional
        What `durable` returned when the cluster last ran. Without it, or without parameters to go on from,
        training begins at epoch 0, and only the numbers that must not be used twice count.
    params : mapping, optional
        Tensors of the newest model version.

    Attributes
    ----------
    epoch : int
        The next epoch that is not known to be complete.
    plan : EpochPlan
        What it is to be.
    params : dict of str to array
        What it begins with.
    result : EpochResult or None
        The newest complete epoch.
    published : tuple of (int, int, bool)
        The newest model version that is known of, the current one, and whether that is pinned.
    continuation : Continuation
        When the penalty begins anew.
    adoption : Verdict or None
        What the ring is to go on from, as soon as it is brought to a stop.
    freshness : Freshness
        How long points wait for a version that was trained with them.
    unpublished : str
        Why the newest epoch could not be published; empty if it was.
    """

    def __init__(
        self,
        training: Training,
        state: Mapping[str, Any] | None = None,
        params: Mapping[str, Array] | None = None,
    ) -> None:
        state = state or {}
        old = state if params and "plan" in state else {}
        self.params = dict(params or {}) if old else {}
        self.epoch = int(old.get("epoch", 0))
        self.plan = EpochPlan(fresh=True)
        if old:
            self.plan = EpochPlan(**_known(old["plan"], EpochPlan.__struct_fields__))
        self.result: EpochResult | None = None
        self.published = (0, 0, False)
        self.adoption: Verdict | None = None
        self.unpublished = ""
        self.freshness = Freshness()
        self._judged: Verdict | None = None
        self._outliers = 0.0
        memory = _known(old.get("renewal", {}), Renewal().memory)
        self.continuation = Continuation(
            Renewal(training.growth, training.renewal, **memory),
            enabled=not training.deterministic,
            number=int(state.get("restart", 0)),
            drifts=int(state.get("drifts", 0)),
        )

    def advance(self, result: EpochResult) -> bool:
        """Take a complete epoch; return whether its model came with it, so that the next one is to begin."""
        self.result = result
        if not result.params:
            return False  # whose turn it was to send the model is gone
        self.epoch, self.plan = result.epoch + 1, result.following
        if self.adoption is None or self.adoption.restart != self.plan.restart:
            self.params = dict(result.params)
        return True

    def judge(self, verdict: Verdict | None) -> bool:
        """Take the newest verdict; return whether the ring is to go on from other parameters than it has.

        Where a newer continuation has begun meanwhile, the verdict on that one is waited for.
        """
        if verdict is None or verdict is self._judged:
            return False
        self._judged = verdict
        if verdict.restart != self.plan.restart or verdict.version == verdict.newest:
            return False
        self.adoption, self.params = verdict, dict(verdict.tensors)
        return True

    def resumed(self, resume: Resume) -> Verdict | None:
        """Take notice of how the ring goes on; return what it has adopted."""
        adopted, self.adoption = self.adoption, None
        is_adopted = adopted and resume.cold and resume.plan.restart == adopted.restart
        return adopted if is_adopted else None

    def has_more_outliers(self, result: EpochResult) -> bool:
        """Say whether an epoch left out points for the first time, or twice as many as were told of."""
        left_out = result.sums.get("left_out", 0.0)
        if left_out < max(1.0, 2 * self._outliers):
            return False
        self._outliers = left_out
        return True

    def durable(self) -> dict[str, Any]:
        """Return what must survive a restart, JSON-serialisable; the parameters are in the newest version."""
        return {
            "epoch": self.epoch,
            "plan": structs.asdict(self.plan),
            "restart": self.continuation.number,
            "renewal": self.continuation.rule.memory,
            "drifts": self.continuation.drifts,
        }


def _known(values: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    """Return what this release knows of what another one may have written."""
    return {name: value for name, value in values.items() if name in names}


def resumed(state: dict[str, Any], following: Mapping[str, Any]) -> dict[str, Any]:
    """Return a durable state that goes on after the version whose parameters there are.

    Numbers of epochs and restarts only grow, also where the newest ones are not on disk.

    Parameters
    ----------
    state : dict
        What `Progress.durable` returned; empty where it is lost: then training begins anew.
    following : mapping
        Epoch and plan that follow the version; empty where it does not say.
    """
    if not state or not following:
        return state
    plan: Mapping[str, Any] = following["plan"]
    epoch = max(state.get("epoch", 0), following["epoch"])
    restart = max(state.get("restart", 0), plan["restart"])
    return state | {"epoch": epoch, "plan": plan, "restart": restart}
