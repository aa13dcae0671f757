"""``python -m tests.fuzzing.records --records N``: hostile records through validation, and what is taken into training.

Seeded. Records are text and arrays of every type, with numbers from the edges of what can be written down. What
passes the border is trained on by a ring in this process and measured on held-out points; half of the shards also hold
what the border refuses, as those of older releases do. Exit code 1 if a record is lost, what passes is out of range,
a step of training fails, or a tensor is not finite.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ingest.csv_lines import decode_csv
from ingest.formats import decode_json
from ingest.records import Raw
from ingest.validation import validate
from streammac.models.arrays import ArrayShard
from streammac.models.base import Tensors
from streammac.models.binary_autoencoder import BinaryAutoencoderModel
from streammac.models.local import VisitPlan
from streammac.points.block import PointBlock
from streammac.points.range import is_finite, largest, not_finite, within
from streammac.publishing.held_out import HeldOutSample
from streammac.settings.schema import HeldOut
from streammac.wire.messages import StreamSchema
from workers.inprocess import InProcessRing

CHUNK = 250
POOL = 3000
"""Points that are trained on together."""
DIMS = (1, 2, 3, 8, 33)
WORDS = (
    "NaN", "nan", "Infinity", "-Infinity", "inf", "null", "true", '"7"', "[1]", "{}", "", " ", "0x10", "1_0", "--1",
    "1e", "1e400", "-1e400", "9" * 400, "1e-400", "5e-324", "1e38", "3.4028235e38", "-3.4028235e38", "3.5e38", "1e20",
    "-1e15", "1e12", str(2**63), str(-(2**64)), "-0.0", "0", "255", "256", "١",
)  # fmt: skip
ABSURD = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4028235e38, 1e30, -1e20, 1e19], np.float32)
SCALES = (1e-42, 1e-30, 1e-10, 1.0, 1.0, 1.0, 1e3, 1e9, 1e300)
TYPES = ("f2", "f4", "f8", "i1", "i8", "u1", "u8", "?", "c8", "U3")


class Watched(BinaryAutoencoderModel):
    """Counts the tensors of every visit and lap; one that is not finite is an error."""

    seen = 0

    def visit(self, *step: Any) -> Tensors:
        """See `NestedModel.visit`."""
        return self._look(BinaryAutoencoderModel.visit(self, *step))

    def end_lap(self, *step: Any) -> Tensors:
        """See `NestedModel.end_lap`."""
        return self._look(BinaryAutoencoderModel.end_lap(self, *step))

    def _look(self, tensors: Tensors) -> Tensors:
        Watched.seen += len(tensors)
        wild = not_finite(tensors)
        assert not wild, wild
        return tensors


@dataclass
class Hunt:
    """What was seen so far; an `AssertionError` ends it."""

    seed: int
    records: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    taken: int = 0
    trained: int = 0
    left_out: int = 0
    pools: dict[int, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.rng = np.random.default_rng(self.seed)

    # -- records --------------------------------------------------------------------------

    def step(self) -> None:
        """Send one chunk through the border."""
        dim = self.random.choice(DIMS)
        dtype = self.random.choice(("float32", "float32", "float32", "uint8"))
        schema = StreamSchema(dim, dtype, self.random.choice((0, 0, 1, 2)))
        chunk = self.random.choice((self._json, self._csv, self._array))(dim, schema.targets)
        with np.errstate(all="ignore"):
            points, refused = validate(chunk, schema, record_bytes=1 << 20)
        self.records += len(chunk)
        self.taken += len(points)
        self.reasons.update(one.reason.split(":")[0] for one in refused)
        assert len(points) + len(refused) == len(chunk), "a record is lost"
        assert points.x.shape == (len(points), dim)
        assert points.x.dtype == dtype
        assert is_finite(points.x)
        assert within(points.x).all(), "out of range"
        assert schema.targets == 0 or is_finite(points.y)
        pool = self.pools.setdefault(dim, [])
        pool.append(points.x.astype(np.float32))
        if sum(map(len, pool)) >= POOL:
            self.train(dim, np.concatenate(self.pools.pop(dim)))

    def _number(self) -> str:
        if self.random.random() < 0.02:
            return self.random.choice(WORDS)
        return repr(self.random.gauss(0, self.random.choice(SCALES) if self.wild else 1.0))

    def _json(self, dim: int, targets: int) -> Raw:
        lines = []
        for _ in range(CHUNK):
            self.wild = self.random.random() < 0.1
            x = ", ".join(self._number() for _ in range(dim + (self.random.random() < 0.01)))
            y = ", ".join(self._number() for _ in range(targets))
            more = f', "y": [{y}]' if targets else ""
            lines.append(f'{{"x": [{x}]{more}}}'.encode())
        return Raw(tuple(lines), decode_json)

    def _csv(self, dim: int, _: int) -> Raw:
        lines = []
        for _ in range(CHUNK):
            self.wild = self.random.random() < 0.1
            lines.append(",".join(self._number() for _ in range(dim)).encode())
        return Raw(tuple(lines), decode_csv)

    def _array(self, dim: int, targets: int) -> PointBlock:
        x = self.rng.standard_normal((CHUNK, dim))
        x[self.rng.random(CHUNK) < 0.05] *= self.random.choice((*SCALES, largest(dim)))
        spots = self.rng.random(x.shape) < 0.01
        x[spots] = self.rng.choice([*ABSURD, largest(dim), -largest(dim)], spots.sum())
        with np.errstate(all="ignore"):
            x = x.astype(self.random.choice(TYPES))
        y = self.rng.standard_normal((CHUNK, targets)) if targets else None
        if y is not None and self.random.random() < 0.5:
            y[self.rng.random(y.shape) < 0.05] = self.rng.choice([np.nan, np.inf, 1e39, 1e300])
        return PointBlock(x, y)

    # -- training -------------------------------------------------------------------------

    def train(self, dim: int, x: np.ndarray) -> None:
        """Train a ring on points, and measure what comes of it."""
        x = self.rng.permutation(x)
        stored = x.copy()
        if self.random.random() < 0.5:  # a directory of an older release
            spots = self.rng.random(stored.shape) < self.random.choice((0.001, 0.01, 0.2)) / dim
            stored[spots] = self.rng.choice(ABSURD, spots.sum())
        bits = self.random.choice((1, 4, 12))
        options: dict[str, Any] = {
            "decay": self.random.choice((0.0, 1e-5, 1e-5, 1.0)),
            "mu_start": self.random.choice((1e-9, 0.1, 0.1, 1e9)),
            "mu_cap": self.random.choice((1e-9, 1.6, 1.6, 1e9)),
        }
        model = Watched(bits, rotations=2, starts=2, refined=1, seed=self.seed, **options)
        parts = np.array_split(stored, 2)
        shards = {
            f"w{i}": ArrayShard(part, model.coordinate_shape()) for i, part in enumerate(parts)
        }
        ring = InProcessRing(model, shards, VisitPlan(self.seed, self.random.choice((32, 512))))
        with np.errstate(all="ignore"):
            params = ring.run(4)
            sample = HeldOutSample(HeldOut(), self.seed)
            sample.add(stored[:1000])
            quality = measured(model, params, sample, parts)
            errors = model.errors(params, PointBlock(stored.copy()))
        failed = [learner.failed_step for learner in ring.learners.values() if learner.failed_steps]
        assert not failed, failed
        sent = [*params.items(), ("errors", errors), *model.export(params).items()]
        Watched.seen += len(sent)
        assert not (wild := not_finite(dict(sent))), wild
        sums = [report.objective for report in ring.reports]
        assert all(np.isfinite([s.nested, s.penalised, s.violated]).all() for s in sums)
        assert np.isfinite(quality).all(), quality
        assert sums[-1].points > 0
        self.trained += len(stored)
        self.left_out += sum(s.left_out for s in sums[-2:])


def measured(
    model: BinaryAutoencoderModel, params: Tensors, sample: HeldOutSample, parts: list[Any]
) -> list[float]:
    """Return what a probe finds of a model and its baselines, if there are enough held-out points."""
    drawn, measures = sample.draw(), model.measures()
    if drawn is None:
        return []
    whole = [partial(lambda x: [PointBlock(x.copy())], part) for part in parts]
    surveys = [measures.survey(drawn.queries, part) for part in whole]
    told = [survey.told for survey in surveys]
    key = measures.agree(told)
    found = []
    state = measures.begin_fit(told, drawn.queries, 0)
    sums = [
        measures.fit(state, part, survey.kept) for part, survey in zip(whole, surveys, strict=True)
    ]
    state = measures.end_round(state, {name: sum(one[name] for one in sums) for name in sums[0]})
    fitted = measures.baselines(state, 0)
    for one in (params, *(one for several in fitted.values() for one in several)):
        answers = [
            measures.answer(one, drawn.queries, part, survey.kept, key)
            for part, survey in zip(whole, surveys, strict=True)
        ]
        for answer, survey, part in zip(answers, surveys, parts, strict=True):
            measures.check_survey(survey.told, drawn.queries, len(part))
            measures.check_answer(answer, survey.told, len(part))
        scores = measures.conclude({n: sum(a[n] for a in answers) for n in answers[0]})
        found += [float(share.mean()) for share in scores.shares.values()]
        found += scores.properties.values()
    return found


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.records", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    hunt, began, told = Hunt(wanted.seed), time.monotonic(), 0
    try:
        while hunt.records < wanted.records:
            hunt.step()
            if hunt.records >= told + 100_000:
                told = hunt.records
                print(f"{told:,} records, {time.monotonic() - began:.0f} s", flush=True)
    except AssertionError as error:
        print(f"seed {wanted.seed}, after {hunt.records:,} records: {error}")
        return 1
    refused = ", ".join(f"{count:,} {reason}" for reason, count in hunt.reasons.most_common(5))
    print(f"{hunt.records:,} records: {hunt.taken:,} taken, refused: {refused}")
    print(
        f"{hunt.trained:,} points trained on, {hunt.left_out:,} of them left out; "
        f"0 of {Watched.seen:,} tensors not finite, 0 steps failed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
