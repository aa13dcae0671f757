"""The probe: held-out queries against the stored points, where these are.

A fixed sample of the held-out points asks, a fixed sample of the stored ones answers, and what is truly near to each
query is found once. Every model, and what it is compared with, is measured on the same until so much has changed that
it is time for another probe. Points stay with the workers (`streammac.models.measures`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streammac.models.base import Array, NestedModel, Tensors
from streammac.models.measures import Scores
from streammac.points.range import told_not_finite
from streammac.publishing.held_out import Drawn, HeldOutSample
from streammac.publishing.inquiry import Check, Inquiry, Outdated, Stored, Unanswerable, Unanswered
from streammac.publishing.measurement import Measurement, measurement
from streammac.settings.schema import HeldOut as HeldOutSettings
from streammac.wire.messages import OpenProbe, ProbeAnswer, ProbeQuestion
from streammac.wire.status import to_json

RENEW_SHARE = 0.25
"""Another probe is opened when so much of the stored or of the held-out points has changed."""
OUTDATED_SHARE = 0.5
"""One of which so much has changed tells of data that is gone: that is not put off."""
PAUSE = 9
"""Between two such probes, so many times as long passes as the first of them took to open."""
ATTEMPTS = 3
"""Each may fail because workers come or leave."""
PATIENCE_S = 60.0
"""How long a worker may take for an answer; who is lost is not waited for."""


@dataclass(slots=True)
class Probe:
    """One probe, open.

    Attributes
    ----------
    number : int
        No other one has it, not even one of a former coordinator.
    stored : Stored
        Who had which points.
    held_out : Drawn
        Queries, and the held-out points that they are of.
    told : dict
        The survey of each worker, by name.
    key : dict
        What the surveys have come to; goes with each question.
    pause_until : float
        A little that grows does not make it outdated before.
    """

    number: int
    stored: Stored
    held_out: Drawn
    told: dict[str, ProbeAnswer]
    key: Tensors
    pause_until: float
    questions: int = 0
    scores: dict[str, Scores] = field(default_factory=dict)
    """Of what models are compared with."""
    initial: Tensors = field(default_factory=dict)
    """The initial model that was measured."""

    @property
    def points(self) -> int:
        """Points that the queries look among."""
        return sum(survey.points for survey in self.told.values())


class Prober:
    """Measures models on a probe that it renews when it is time to.

    Parameters
    ----------
    settings : streammac.settings.schema.HeldOut
        Sizes, and the leading measure.
    seed : int
        Seed of all that is drawn.
    patience_s : float
        How long answers are waited for.

    Attributes
    ----------
    held_out : HeldOutSample
        Where queries come from.
    inquiry : Inquiry
        Questions and answers, for the I/O loop.
    """

    def __init__(
        self, settings: HeldOutSettings, seed: int, patience_s: float = PATIENCE_S
    ) -> None:
        self.held_out = HeldOutSample(settings, seed)
        self.inquiry = Inquiry(patience_s)
        self._settings = settings
        self._seed = seed
        self._probe: Probe | None = None

    def attempt(self, model: NestedModel, work: Callable[[Probe], object]) -> bool:
        """Do some work on one probe, from the beginning on another one if workers come or leave meanwhile.

        Return whether it is done; not while there are too few held-out points, or none to find.

        Raises
        ------
        Unanswered
            If the workers do not answer: some come and leave again and again, one is stuck, or the cluster ends.
        """
        for _ in range(ATTEMPTS):
            try:
                probe = self._current(model)
                if probe is None:
                    return False
                work(probe)
                return True
            except Unanswered as error:
                self._probe, failure = None, error
                if not isinstance(error, Outdated):
                    break
        raise failure

    def measure(self, model: NestedModel, params: Mapping[str, Array]) -> Measurement | None:
        """Measure one model; None, and errors, as of `attempt` and `measure_on`."""
        found: list[Measurement] = []
        self.attempt(model, lambda probe: found.append(self.measure_on(probe, model, params)))
        return found[0] if found else None

    def measure_on(
        self, probe: Probe, model: NestedModel, params: Mapping[str, Array]
    ) -> Measurement:
        """Measure a model on a probe, beside its baselines.

        Raises
        ------
        Unanswered
            See `attempt`.
        Unanswerable
            If these parameters are no model.
        """
        wild = told_not_finite(params)
        if wild:
            raise Unanswerable(wild)
        measures = model.measures()
        wanted: dict[str, tuple[Mapping[str, Array], ...]] = {"model": (params,)}
        if not probe.scores:
            wanted |= self._fit(probe, model)
        initial = measures.initial(params)
        if initial is not None and not _same(initial, probe.initial):
            wanted["initial"] = (initial,)
        scores = self._score(probe, model, wanted)
        probe.initial = initial or {}
        own = scores.pop("model")
        probe.scores |= scores
        known = {"model": own, **probe.scores}
        if initial is None:
            known.pop("initial", None)
        leading = self._settings.measure or measures.leading
        return measurement(known, measures, leading, probe.number, probe.points)

    # -- opening --------------------------------------------------------------------------

    def _current(self, model: NestedModel) -> Probe | None:
        """Return the probe; another one if it is outdated."""
        stored, probe = self.inquiry.stored, self._probe
        if not stored.points:
            return None
        if probe is None or self._is_outdated(probe, stored):
            held_out = self.held_out.draw()
            self._probe = None if held_out is None else self._open(model, stored, held_out)
        return self._probe

    def _is_outdated(self, probe: Probe, stored: Stored) -> bool:
        if stored.workers.keys() != probe.stored.workers.keys():
            return True
        grown = (stored.appended - probe.stored.appended) / probe.stored.points
        sample, drawn = self.held_out, probe.held_out
        changed = max(sample.changes - drawn.changes, sample.too_old(drawn)) / drawn.of
        paused = time.monotonic() < probe.pause_until
        return max(grown, changed) > (OUTDATED_SHARE if paused else RENEW_SHARE)

    def _open(self, model: NestedModel, stored: Stored, held_out: Drawn) -> Probe | None:
        measures, began = model.measures(), time.monotonic()
        most = self._settings.stored * len(stored.workers)
        order = OpenProbe(_number(), min(1.0, most / stored.points), held_out.queries.tensors())

        def check(answer: ProbeAnswer) -> None:
            measures.check_survey(answer.tensors, held_out.queries, answer.points)

        (told,) = self.inquiry.ask([order], stored.workers.keys(), check)
        if not any(survey.points for survey in told.values()):
            return None
        key = measures.agree([survey.tensors for survey in told.values()])
        now = time.monotonic()
        pause_until = now + PAUSE * (now - began)
        return Probe(order.number, stored, held_out, told, key, pause_until)

    # -- asking --------------------------------------------------------------------------

    def _fit(self, probe: Probe, model: NestedModel) -> dict[str, tuple[Tensors, ...]]:
        """Fit the baselines on the points of all shards."""
        measures = model.measures()
        told = [survey.tensors for survey in probe.told.values()]
        state = first = measures.begin_fit(told, probe.held_out.queries, self._seed)

        def check(answer: ProbeAnswer) -> None:
            measures.check_fit(answer.tensors, first)

        for _ in range(measures.rounds):
            (total,) = self._ask(probe, model, [state], check, fits=True)
            state = measures.end_round(state, total)
        return measures.baselines(state, self._seed)

    def _score(
        self,
        probe: Probe,
        model: NestedModel,
        wanted: Mapping[str, tuple[Mapping[str, Array], ...]],
    ) -> dict[str, Scores]:
        measures = model.measures()

        def check(answer: ProbeAnswer) -> None:
            survey = probe.told[answer.name]
            measures.check_answer(answer.tensors, survey.tensors, survey.points)

        flat = [params for several in wanted.values() for params in several]
        totals = iter(self._ask(probe, model, flat, check))
        return {
            method: Scores.mean([measures.conclude(next(totals)) for _ in several])
            for method, several in wanted.items()
        }

    def _ask(
        self,
        probe: Probe,
        model: NestedModel,
        states: Sequence[Mapping[str, Array]],
        check: Check,
        *,
        fits: bool = False,
    ) -> list[Tensors]:
        """Return the sums of all workers' answers to each of the questions."""

        def checked(answer: ProbeAnswer) -> None:
            points = probe.told[answer.name].points
            if answer.points != points:
                raise ValueError(f"points: expected {points}")
            check(answer)

        described = to_json({"family": model.family, **model.hyper_parameters()})
        questions = []
        for state in states:
            probe.questions += 1
            tensors = {f"model/{name}": value for name, value in state.items()}
            tensors |= {f"key/{name}": value for name, value in probe.key.items()}
            question = ProbeQuestion(probe.number, probe.questions, described, tensors, fits)
            questions.append(question)
        answers = self.inquiry.ask(questions, probe.stored.workers.keys(), checked)
        return [_sum([one.tensors for one in of_all.values()]) for of_all in answers]


def _sum(answers: list[dict[str, Array]]) -> Tensors:
    first, *others = answers
    return {name: sum((one[name] for one in others), start=first[name]) for name in first}


def _same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def _number() -> int:
    """Return a number that only grows, also from one coordinator to the next."""
    return time.time_ns() // 1000
