"""Measures of codes: whether the points with the nearest codes are those that are nearest in truth.

Each shard tells the squared distances of its own nearest points to each query. From those of all shards follows how
near a point must be to be among the true 10, or 100, of all. With that a shard counts at which Hamming distances its
points are, and its true neighbours; the counts add up, and tell what a search through all shards would find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, Tensors
from streammac.models.hamming import Codes, at_distances, rows_at_distances
from streammac.models.measures import Chunks, Measures, Scores, Survey
from streammac.models.outliers import (
    BINS,
    centred,
    histogram,
    median,
    reach_of,
    squares,
    without_far,
)
from streammac.models.retrieval import entropies, found_among
from streammac.models.rotations import (
    mean_and_covariance,
    nearest_rotation,
    principal_components,
    procrustes,
    random_rotations,
)
from streammac.points.block import PointBlock

NEAR = (10, 100)
"""So many nearest points are true neighbours: for recall, and for precision."""
KEPT = 128
"""So many nearest points a shard remembers: a few more, because several may be as far as the last of them."""
ROTATIONS = 3
"""Starts of ITQ: what it finds varies from one to the next."""
STEPS = 12
"""Iterations of ITQ that a shard does by itself in one round: as good as 50 with all points at one place."""
MOST = float(np.finfo(np.float32).max)


class HashModel(Protocol):
    """What makes codes."""

    @property
    def bits(self) -> int:
        """Length of the codes, L."""
        ...

    def encode(self, params: Mapping[str, Array], x: Floats) -> Codes:
        """See `streammac.models.capabilities.Codes.encode`."""
        ...

    def linear(self, mean: Floats, weight: Floats) -> Tensors:
        """Return parameters with which `encode` gives the signs of ``(x - mean) @ weight.T``."""
        ...

    def initial(self, params: Mapping[str, Array]) -> Tensors | None:
        """Return the parameters from which training made these, if they still tell."""
        ...


@dataclass(frozen=True, slots=True)
class CodeMeasures(Measures):
    """Recall of the true 10 among the first 10, 100 and 1000; precision among the first 100 of the true 100.

    Points at the same Hamming distance are in no order: of those at the last distance that fits only in part, the
    expected share counts. Points exactly as far from a query as its 10th neighbour are all true.
    """

    model: HashModel

    names: ClassVar[Mapping[str, str]] = {
        "recall_10": "recall of the 10 true nearest among the first 10",
        "recall_100": "recall of the 10 true nearest among the first 100",
        "recall_1000": "recall of the 10 true nearest among the first 1000",
        "precision_100": "precision of the first 100 (the 100 true nearest)",
    }
    leading: ClassVar[str] = "recall_100"
    titles: ClassVar[Mapping[str, str]] = {
        "model": "this model",
        "initial": "initial model, before training",
        "itq": "ITQ",
        "pca": "principal components",
        "random": "random projections",
    }
    reference: ClassVar[str] = "itq"
    rounds: ClassVar[int] = 4

    # -- one shard ------------------------------------------------------------------------

    def survey(self, queries: PointBlock, chunks: Chunks) -> Survey:
        """Find a shard's own nearest points of each query, and its moments."""
        # about a point in their middle, or float32 loses what tells distances apart
        centre = _centre(queries.x)
        asking = queries.x - centre
        own = squares(asking)[:, None]
        distances = np.empty((len(asking), 0), np.float32)
        rows = np.empty((len(asking), 0), np.int64)
        spread, seen = np.zeros(BINS), 0
        for chunk in chunks():
            x = centred(chunk.x, centre)
            spread += histogram(x)
            with np.errstate(over="ignore", invalid="ignore"):
                new = np.maximum(own + squares(x) - 2.0 * (asking @ x.T), 0.0)
            new = np.nan_to_num(new, copy=False, nan=MOST, posinf=MOST)
            nearest = _nearest(new)
            rows = np.concatenate([rows, nearest + seen], axis=1)
            distances = np.concatenate([distances, np.take_along_axis(new, nearest, 1)], axis=1)
            nearest = _nearest(distances)
            distances = np.take_along_axis(distances, nearest, 1)
            rows = np.take_along_axis(rows, nearest, 1)
            seen += len(x)
        told: Tensors = {"distances": np.sort(distances, axis=1)[:, : NEAR[-1]]}
        reach = reach_of(spread, asking.shape[1])
        told |= _moments(chunks, centre, reach)
        return Survey(told, {"distances": distances, "rows": rows, "reach": np.array(reach)})

    def answer(
        self,
        params: Mapping[str, Array],
        queries: PointBlock,
        chunks: Chunks,
        kept: Tensors,
        key: Mapping[str, Array],
    ) -> Tensors:
        """Count points and true neighbours at each Hamming distance, and the bits that are on together."""
        bits = self.model.bits
        asked = self.model.encode(params, queries.x.copy())
        parts: list[Codes] = []
        together = np.zeros((bits, bits), np.int64)
        for chunk in chunks():
            parts.append(self.model.encode(params, chunk.x))
            on = np.unpackbits(parts[-1], axis=1, count=bits).astype(np.float32)
            together += np.rint(on.T @ on).astype(np.int64)  # exact: a chunk has few points
        codes = np.concatenate(parts) if parts else asked[:0]
        counted: Tensors = {"points": at_distances(asked, codes, bits), "together": together}
        for count, threshold in zip(NEAR, key["thresholds"].T, strict=True):
            true = kept["distances"] <= threshold[:, None]
            counted[f"near_{count}"] = rows_at_distances(asked, codes, kept["rows"], true, bits)
        return counted

    def fit(self, state: Mapping[str, Array], chunks: Chunks, kept: Tensors) -> Tensors:
        """Improve ITQ's rotations on a shard's points; return the sums from which those of all shards follow."""
        most = float(kept["reach"])
        parts = [
            without_far(centred(chunk.x, state["mean"]), most) @ state["basis"]
            for chunk in chunks()
        ]
        projected = np.concatenate(parts) if parts else np.empty((0, self.model.bits), np.float32)
        return {"procrustes": np.stack([_improve(projected, r) for r in state["rotations"]])}

    # -- all of them ----------------------------------------------------------------------

    def check_survey(self, told: Mapping[str, Array], queries: PointBlock, points: int) -> None:
        """See `Measures.check_survey`."""
        dim = queries.x.shape[1]
        shapes = {
            "distances": (len(queries), min(points, NEAR[-1])),
            "count": (),
            "sum": (dim,),
            "products": (dim, dim),
        }
        _check_shapes(told, shapes)
        if any(array.dtype.kind != "f" for array in told.values()):
            raise ValueError("expected floats")
        if told["distances"].size and told["distances"].min() < 0:
            raise ValueError("distances: negative")
        if not 0 <= told["count"] <= points:
            raise ValueError(f"count: expected at most {points}")

    def agree(self, told: Sequence[Mapping[str, Array]]) -> Tensors:
        """Return how near a point must be to be a true neighbour: ``thresholds`` (q, 2), squared distances."""
        distances = np.concatenate([one["distances"] for one in told], axis=1)
        distances.sort(axis=1)
        last = [min(count, distances.shape[1]) - 1 for count in NEAR]
        return {"thresholds": np.ascontiguousarray(distances[:, last])}

    def begin_fit(
        self, told: Sequence[Mapping[str, Array]], queries: PointBlock, seed: int
    ) -> Tensors:
        """Return mean and principal components of the surveyed points, and ITQ's first rotations."""
        names = ("count", "sum", "products")
        count, total, products = (
            sum((one[name] for one in told), start=np.zeros(())) for name in names
        )
        offset, covariance = mean_and_covariance(float(count), total, products)
        rng, bits = np.random.default_rng([seed, 2]), self.model.bits
        return {
            "mean": (_centre(queries.x) + offset).astype(np.float32),
            "basis": principal_components(covariance, bits, rng).astype(np.float32),
            "rotations": random_rotations(ROTATIONS, bits, rng).astype(np.float32),
        }

    def check_fit(self, total: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """See `Measures.check_fit`."""
        _check_shapes(total, {"procrustes": state["rotations"].shape})
        if total["procrustes"].dtype.kind != "f":
            raise ValueError("procrustes: expected floats")

    def end_round(self, state: Tensors, total: Mapping[str, Array]) -> Tensors:
        """Return the state with the rotations that suit the points of all shards."""
        return state | {"rotations": nearest_rotation(total["procrustes"]).astype(np.float32)}

    def baselines(self, state: Mapping[str, Array], seed: int) -> dict[str, tuple[Tensors, ...]]:
        """Return ITQ from several starts, the signs of principal components, and random projections."""
        mean, basis = state["mean"], state["basis"]
        rng = np.random.default_rng([seed, 4])
        random = rng.standard_normal(basis.shape[::-1]).astype(np.float32)
        rotated = [(basis @ rotation).T for rotation in state["rotations"]]
        return {
            "itq": tuple(self.model.linear(mean, weight) for weight in rotated),
            "pca": (self.model.linear(mean, basis.T),),
            "random": (self.model.linear(mean, random),),
        }

    def initial(self, params: Mapping[str, Array]) -> Tensors | None:
        """See `Measures.initial`."""
        return self.model.initial(params)

    def check_answer(
        self, answer: Mapping[str, Array], told: Mapping[str, Array], points: int
    ) -> None:
        """See `Measures.check_answer`."""
        bits, queries = self.model.bits, len(told["distances"])
        counted = ("points", *(f"near_{count}" for count in NEAR))
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(counted, (queries, bits + 1))
        _check_shapes(answer, shapes | {"together": (bits, bits)})
        if any(array.dtype.kind != "i" or array.min(initial=0) < 0 for array in answer.values()):
            raise ValueError("expected counts")
        if (answer["points"].sum(axis=1) != points).any() or (answer["together"] > points).any():
            raise ValueError(f"points: expected {points}")
        near = [answer[name] for name in counted[1:]]
        if (near[0] > near[1]).any() or (near[1] > answer["points"]).any():
            raise ValueError("more true neighbours than points")
        if (near[1].sum(axis=1) > KEPT).any():
            raise ValueError("more true neighbours than were surveyed")

    def conclude(self, total: Mapping[str, Array]) -> Scores:
        """See `Measures.conclude`."""
        points, near = total["points"], [total[f"near_{count}"] for count in NEAR]
        found = {
            f"recall_{first}": found_among(points, near[0], first) for first in (10, 100, 1000)
        }
        true = np.maximum(near[0].sum(axis=1), 1)
        shares = {name: share / true for name, share in found.items()}
        first = min(100, max(1, int(points[0].sum()))) if len(points) else 1
        shares["precision_100"] = found_among(points, near[1], first) / first
        return Scores(shares, _properties(total["together"], int(points[:1].sum())))


def _nearest(distances: Floats) -> NDArray[np.int64]:
    """Return which of each query's distances are the least, as many as are kept, unordered."""
    count = min(KEPT, distances.shape[1])
    if count == 0:
        return np.empty((len(distances), 0), np.int64)
    return np.argpartition(distances, count - 1, axis=1)[:, :count]


def _centre(queries: Floats) -> Floats:
    return median(queries).astype(np.float32)


def _improve(projected: Floats, rotation: Array) -> Array:
    """Return ITQ's sums over a shard's points after some iterations on them alone."""
    for _ in range(STEPS - 1):
        rotation = nearest_rotation(procrustes(projected, rotation))
    return procrustes(projected, rotation)


def _moments(chunks: Chunks, centre: Floats, most: float) -> Tensors:
    """Return number, sum and products, about a centre, of the points that are not further from it than ``most``."""
    dim = len(centre)
    count, total, products = 0, np.zeros(dim), np.zeros((dim, dim))
    for chunk in chunks():
        x = without_far(centred(chunk.x, centre), most)
        count += len(x)
        total += x.sum(axis=0, dtype=np.float64)
        products += x.T @ x
    return {"count": np.array(float(count)), "sum": total, "products": products}


def _check_shapes(arrays: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if set(arrays) != set(shapes):
        raise ValueError(f"expected {', '.join(shapes)}")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name}: expected the shape {shape}, got {arrays[name].shape}")


def _properties(together: NDArray[np.int64], points: int) -> dict[str, float]:
    """Return balance and correlation of bits, from how often two of them are on together."""
    shares = together / max(1, points)
    on = np.diagonal(shares)
    entropy = entropies(on)
    deviation = np.sqrt(on * (1.0 - on))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.abs((shares - np.outer(on, on)) / np.outer(deviation, deviation))
    # a bit that never changes goes with no other
    others = np.nan_to_num(correlation[~np.eye(len(on), dtype=bool)], posinf=0.0)
    return {
        "entropy": float(entropy.mean()),
        "least_entropy": float(entropy.min()),
        "correlation": float(others.mean()) if len(others) else 0.0,
        "largest_correlation": float(others.max(initial=0.0)),
    }
