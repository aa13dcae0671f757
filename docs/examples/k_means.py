"""k-means as a family of its own: z is the cluster that a point belongs to, and the submodels are the centres."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from streammac.models.base import Block, NestedModel, Objective
from streammac.models.capabilities import Predictions
from streammac.models.nets.measures import NumberMeasures


@dataclass(frozen=True, slots=True)
class KMeans(NestedModel, Predictions):
    clusters: int = 10
    epochs: int = 10  # after so many the centres rest
    seed: int = 0

    family: ClassVar[str] = "k_means"
    lasting = ("clusters",)
    classes: ClassVar[int] = 0  # what it predicts is no class: it is x, as far as the centres tell

    def hyper_parameters(self):
        return asdict(self)

    def coordinate_shape(self):
        return (1,), np.dtype(np.int64)

    def initial_blocks(self, signature):
        return (Block("init", laps=1),)

    def blocks(self, signature, groups):
        return tuple(Block(name, laps=1) for name in self._names)  # each travels by itself

    def start(self, block, signature, params, age):
        if block.name == "init":
            return {"points": np.zeros((0, signature.inputs), np.float32)}
        if self.rests(age):
            return {"centre": params[block.name]}
        return {"centre": params[block.name], "sum": np.zeros(signature.inputs + 1)}

    def visit(self, block, params, state, lap, batches):
        if block.name == "init":  # the first points of a minibatch are as good as any
            first = [batch.x[: self.clusters].copy() for batch in batches]
            return {"points": np.concatenate([state["points"], *first[:1]])}
        if "sum" in state:  # of x, and of 1
            cluster = self._names.index(block.name)
            for batch in batches:
                x = batch.x[batch.z[:, 0] == cluster]
                state = state | {"sum": state["sum"] + [*x.sum(axis=0, dtype=float), len(x)]}
        return state

    def end_lap(self, block, params, state, lap):
        if block.name == "init":
            points, rng = state["points"], np.random.default_rng(self.seed)
            chosen = rng.choice(len(points), self.clusters, replace=len(points) < self.clusters)
            return dict(zip(self._names, points[chosen], strict=True))
        if "sum" in state and state["sum"][-1]:  # else it stays where it was
            return {block.name: (state["sum"][:-1] / state["sum"][-1]).astype(np.float32)}
        return {block.name: state["centre"]}

    def mu(self, age):
        return 0.0  # z is the nearest centre at any time: there is no constraint to be violated

    def rests(self, age):
        return age >= self.epochs

    def z_step(self, params, points, z, mu):
        new = self.coordinates(params, points.x)
        error = float(self.errors(params, points).sum(dtype=np.float64))
        changed = float(np.count_nonzero(new != z))
        return new, Objective(len(new), penalised=error, nested=error, changed=changed)

    def coordinates(self, params, x):
        return self._squares(params, x).argmin(axis=1)[:, None]

    def errors(self, params, points):
        return self._squares(params, points.x).min(axis=1)

    def predict(self, params, x):
        return self._centres(params)[self.coordinates(params, x)[:, 0]]

    def measures(self):
        return NumberMeasures(self)  # of x, since there is no y

    def export(self, params):
        return {"centres": self._centres(params)}

    @property
    def _names(self):
        return [f"centre/{number}" for number in range(self.clusters)]

    def _centres(self, params):
        return np.stack([params[name] for name in self._names])

    def _squares(self, params, x):
        return np.stack([np.square(x - c).sum(axis=1) for c in self._centres(params)], axis=1)
