"""The first model of a binary autoencoder, from statistics that add up over shards.

One block travels many laps: medians and usual distances tell which points are far from all others and are left out
(`streammac.models.outliers`); mean and covariance of the others give the principal components; random rotations of
them, and those rotations improved by iterative quantisation (ITQ; Gong & Lazebnik, CVPR 2011), are the candidates;
each shard judges how well their codes keep the neighbours among its own points, and the best one
starts the training. ITQ's Procrustes problem needs nothing but an (L, L) sum, so ITQ itself runs on the
ring, and nobody gathers data. A lap costs a hop for each shard and little else: each shard makes several iterations
on its own points before it adds its sum.

Why a contest: no rotation is best everywhere. On SIFT and word vectors ITQ is far ahead, on images of
clothes random rotations are, and from one start to the next the result varies more than anything that
training later adds (docs/decisions/0003-initialisation.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streammac.models.base import Array, Batch, Floats, Tensors
from streammac.models.least_squares import Sums, solve
from streammac.models.outliers import (
    BINS,
    MEDIAN_ROWS,
    centred,
    histogram,
    median,
    reach,
    reach_of,
    weighted_median,
    without_far,
)
from streammac.models.retrieval import precision, true_neighbours
from streammac.models.rotations import (
    mean_and_covariance,
    nearest_rotation,
    principal_components,
    procrustes,
    random_rotations,
)
from streammac.points.range import within

SMALL = 1e-12
STEPS = 5
"""Iterations of ITQ that a shard makes in one lap."""
ROTATION_POINTS, ROTATION_POINTS_IN_ALL = 3000, 12_000
"""Points of a shard, and of all shards, that one lap of ITQ uses."""
JURY_QUERIES, JURY_QUERIES_IN_ALL = 400, 1600
"""Points of a shard, and of all shards, that look for their neighbours."""
JURY_POINTS = 6000
"""Points among which they look."""
JURY_NEIGHBOURS = 1 / 300
"""Neighbours that count as true, as a share of these points: what is looked for is close by."""
JURY_LEAST = 5
"""At least so many neighbours, where there are few points."""


@dataclass(frozen=True, slots=True)
class Initialisation:
    """The laps of a fresh epoch.

    Parameters
    ----------
    bits : int
        Length of the codes, L.
    rotations : int
        Iterations of ITQ.
    starts, refined : int
        Random rotations, and how many of them ITQ improves: all of these are candidates.
    seed : int
        Seed of the random rotations.
    """

    bits: int
    rotations: int = 40
    starts: int = 24
    refined: int = 6
    seed: int = 0

    @property
    def laps(self) -> int:
        """Medians, distances, moments, rotations, contest, decoder."""
        return self._rotation_laps + 5

    @property
    def _rotation_laps(self) -> int:
        return -(-self.rotations // STEPS)

    def start(self, dim: int) -> Tensors:
        """Return the state before the first visit."""
        return {"init/centre": np.zeros(dim)}

    def visit(self, state: Tensors, lap: int, batches: Iterable[Batch]) -> Tensors:
        """Add one shard's sample to the sums of this lap."""
        state = dict(state)
        if lap == 0:
            _add_median(state, batches)
        elif lap == 1:
            for batch in batches:
                moved = centred(batch.x, state["init/centre"].astype(np.float32))
                state["init/distances"] = state["init/distances"] + histogram(moved)
        elif lap == 2:
            for batch in batches:
                _add_moments(state, batch.x)
        elif lap <= self._rotation_laps + 2:
            steps = min(STEPS, self.rotations - STEPS * (lap - 3))
            _add_procrustes(state, batches, steps)
        elif lap == self._rotation_laps + 3:
            _judge(state, self._candidates(state), batches)
        else:
            for batch in batches:
                _add_decoder(state, batch.x)
        return state

    def end_lap(self, state: Tensors, lap: int) -> Tensors:
        """Turn the sums of a lap into what the next one needs; after the last, into the model."""
        if lap == 0:
            return _centre(state)
        if lap == 1:
            return _begin_moments(state)
        if lap == 2:
            return self._project(state)
        if lap <= self._rotation_laps + 2:
            state = self._rotate(state)
            if lap < self._rotation_laps + 2:
                return state
            scores = np.zeros(self.starts + self.refined)
            return _without(state, "init/procrustes") | {"init/scores": scores}
        if lap == self._rotation_laps + 3:
            return self._choose(state)
        return self._finish(state)

    def _project(self, state: Tensors) -> Tensors:
        offset, covariance = mean_and_covariance(
            float(state["init/count"][0]), state["init/sum"], state["init/products"]
        )
        dim = len(offset)
        scale = np.sqrt(max(float(np.trace(covariance)) / dim, 0.0))
        scale = scale if scale > SMALL else 1.0
        basis = principal_components(covariance, self.bits, self._rng(dim))
        rotations = self._random(dim)[: self.refined]
        return {
            "input/mean": (state["init/centre"] + offset).astype(np.float32),
            "input/scale": np.array([scale], np.float32),
            "init/shards": state["init/shards"],
            "init/basis": basis,
            "init/rotations": rotations,
            "init/procrustes": np.zeros_like(rotations),
        }

    def _rng(self, dim: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, dim])

    def _random(self, dim: int) -> Array:
        """Return the random rotations; who needs them makes them anew, and they do not travel."""
        return random_rotations(self.starts, self.bits, self._rng(dim))

    def _candidates(self, state: Tensors) -> Array:
        return np.concatenate([self._random(len(state["init/basis"])), state["init/rotations"]])

    def _rotate(self, state: Tensors) -> Tensors:
        rotations = nearest_rotation(state["init/procrustes"])
        return state | {
            "init/rotations": rotations,
            "init/procrustes": np.zeros_like(rotations),
        }

    def _choose(self, state: Tensors) -> Tensors:
        candidates = self._candidates(state)
        dim = len(state["input/mean"])
        return {
            "input/mean": state["input/mean"],
            "input/scale": state["input/scale"],
            "init/encoder": state["init/basis"] @ candidates[int(np.argmax(state["init/scores"]))],
            "init/activation": np.zeros(self.bits),
            **Sums.empty(self.bits, dim).tensors("init/"),
        }

    def _finish(self, state: Tensors) -> Tensors:
        seen = max(1.0, float(state["init/gram"][-1, -1]))
        # rows scaled to a mean activation of 1: the SVMs' margins then begin at the right size
        activation = np.maximum(state["init/activation"] / seen, SMALL)
        weight = state["init/encoder"].T / activation[:, None]
        decoder, offset = solve(state["init/gram"], state["init/cross"])
        return {
            "input/mean": state["input/mean"],
            "input/scale": state["input/scale"],
            "init/encoder": weight.astype(np.float32),
            "init/decoder": decoder,
            "init/offset": offset,
        }


def _without(state: Tensors, name: str) -> Tensors:
    return {key: value for key, value in state.items() if key != name}


def _scaled(state: Tensors, x: Floats) -> Floats:
    """Return the points that are not far, centred and scaled."""
    scale = float(state["input/scale"][0])
    x = without_far(centred(x, state["input/mean"]), reach(scale, x.shape[1]))
    x /= np.float32(scale)
    return x


def _add_median(state: Tensors, batches: Iterable[Batch]) -> None:
    """Add the median of one shard's points, and how many points it is of."""
    parts: list[Floats] = []
    points = 0
    for batch in batches:
        x = batch.x
        parts.append(x[within(x)])
        points += len(parts[-1])
        if points >= MEDIAN_ROWS:
            break
    if points == 0:
        return
    own, weight = median(np.concatenate(parts))[None], np.array([float(points)])
    if "init/medians" in state:
        own = np.concatenate([state["init/medians"], own])
        weight = np.concatenate([state["init/weights"], weight])
    state |= {"init/medians": own, "init/weights": weight}


def _centre(state: Tensors) -> Tensors:
    centre = state["init/centre"]
    shards = np.array([len(state.get("init/weights", ()))])
    if "init/medians" in state:
        centre = weighted_median(state["init/medians"], state["init/weights"])
    # kept as it is subtracted, in float32
    centre = centre.astype(np.float32).astype(np.float64)
    return {"init/centre": centre, "init/shards": shards, "init/distances": np.zeros(BINS)}


def _begin_moments(state: Tensors) -> Tensors:
    dim = len(state["init/centre"])
    return {
        "init/centre": state["init/centre"],
        "init/shards": state["init/shards"],
        "init/reach": np.array([reach_of(state["init/distances"], dim)]),
        "init/count": np.zeros(1),
        "init/sum": np.zeros(dim),
        "init/products": np.zeros((dim, dim)),
    }


def _add_moments(state: Tensors, x: Floats) -> None:
    # sums are taken about the centre, not about 0: float32 products stay accurate then
    x = without_far(
        centred(x, state["init/centre"].astype(np.float32)), float(state["init/reach"][0])
    )
    state["init/count"] = state["init/count"] + len(x)
    state["init/sum"] = state["init/sum"] + x.sum(axis=0, dtype=np.float64)
    state["init/products"] = state["init/products"] + x.T @ x


def _share(state: Tensors, most: int, in_all: int) -> int:
    """Return how many points one of the shards looks at: with many shards less than it could."""
    return min(most, -(-in_all // max(1, int(state["init/shards"][0]))))


def _gathered(state: Tensors, batches: Iterable[Batch], most: int) -> Floats | None:
    """Return about so many points of a shard, centred and scaled; None where there are none."""
    parts: list[Floats] = []
    points = 0
    for batch in batches:
        parts.append(_scaled(state, batch.x).copy())
        points += len(parts[-1])
        if points >= most:  # every lap draws others
            break
    return np.concatenate(parts) if points else None


def _add_procrustes(state: Tensors, batches: Iterable[Batch], steps: int) -> None:
    """Add one shard's sums of ITQ, after some iterations on its own points."""
    x = _gathered(state, batches, _share(state, ROTATION_POINTS, ROTATION_POINTS_IN_ALL))
    if x is None:
        return
    projected = x @ state["init/basis"].astype(np.float32)
    rotations = state["init/rotations"].astype(np.float32)
    for _ in range(steps - 1):
        rotations = nearest_rotation(procrustes(projected, rotations)).astype(np.float32)
    state["init/procrustes"] = state["init/procrustes"] + procrustes(projected, rotations)


def _judge(state: Tensors, candidates: Array, batches: Iterable[Batch]) -> None:
    """Add to each candidate's score the neighbours that its codes keep among this shard's points."""
    most = _share(state, JURY_QUERIES, JURY_QUERIES_IN_ALL)
    x = _gathered(state, batches, most + JURY_POINTS)
    if x is None or len(x) < 4:
        return
    queries = min(most, len(x) // 4)
    database = x[queries : queries + JURY_POINTS]
    wanted = min(len(database), max(JURY_LEAST, round(JURY_NEIGHBOURS * len(database))))
    neighbours = true_neighbours(database, x[:queries], wanted)
    projected = x[: queries + JURY_POINTS] @ state["init/basis"].astype(np.float32)
    scores = state["init/scores"].copy()
    for number, rotation in enumerate(candidates.astype(np.float32)):
        codes = np.packbits(projected @ rotation > 0, axis=1)
        scores[number] += queries * precision(codes[:queries], codes[queries:], neighbours, wanted)
    state["init/scores"] = scores


def _add_decoder(state: Tensors, x: Floats) -> None:
    x = _scaled(state, x)
    activations = x @ state["init/encoder"].astype(np.float32)
    state["init/activation"] = state["init/activation"] + np.abs(activations).sum(axis=0)
    sums = Sums.of(state, "init/")
    sums.add((activations > 0).astype(np.uint8), x)
    state.update(sums.tensors("init/"))
