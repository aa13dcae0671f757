"""River's Hoeffding trees: a tree as arrays, and the tree of those arrays.

Nodes are in pre-order, so the left child of a branch is the next node. Of each leaf travels what it has counted, and of
each of its inputs and classes the Gaussian by which it looks for splits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammac.models.base import Array, Floats, Tensors
from streammac.models.learners.converter import Converter

OPTIONS = frozenset(
    {
        "grace_period", "max_depth", "split_criterion", "delta", "tau", "leaf_prediction",
        "nb_threshold", "min_branch_fraction", "max_share_to_split", "merit_preprune",
    }
)  # fmt: skip
ABSENT = -1.0
"""In the place of a count that a leaf does not have."""
GLOBALS = ("_train_weight_seen_by_model", "_n_active_leaves", "_n_inactive_leaves")


class HoeffdingTree(Converter):
    """`river.tree.HoeffdingTreeClassifier` of numbers with Gaussian splitters; `max_depth` alone limits its size."""

    def __init__(self, options: Mapping[str, Any], seed: int) -> None:
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise ValueError(f"no {', '.join(unknown)}, there is {', '.join(sorted(OPTIONS))}")
        self._options = dict(options)

    def learner(self, arrays: Mapping[str, Array]) -> Any:
        """See `Converter.learner`."""
        from river.tree import HoeffdingTreeClassifier

        # what a tree's size is estimated from is not the same on two machines
        tree: Any = HoeffdingTreeClassifier(**self._options, memory_estimate_period=sys.maxsize)
        if arrays:
            for name, value in zip(GLOBALS, arrays["counts"].tolist(), strict=True):
                setattr(tree, name, type(getattr(tree, name))(value))
            tree.classes = {0, 1}
            tree._root = _node(tree, _Reader(arrays))
        return tree

    def learn(self, learner: Any, x: Floats, bits: NDArray[np.uint8]) -> None:
        """See `Converter.learn`."""
        for row, bit in zip(x.tolist(), bits.tolist(), strict=True):
            learner.learn_one(dict(enumerate(row)), bit)

    def arrays(self, learner: Any) -> Tensors:
        """See `Converter.arrays`."""
        nodes = list(_in_order(learner._root))
        leaves = [node for node in nodes if not hasattr(node, "children")]
        inputs = 1 + max((i for leaf in leaves for i in leaf.splitters or ()), default=-1)
        branches = [getattr(node, "feature", -1) for node in nodes]
        return {
            "counts": np.array([getattr(learner, name) for name in GLOBALS], np.float64),
            "feature": np.array(branches, np.int32),
            "threshold": np.array([getattr(n, "threshold", 0.0) for n in nodes], np.float64),
            "stats": np.array([_pair(n.stats) for n in nodes]).reshape(-1, 2),
            "one_first": np.array([next(iter(n.stats), 0) for n in nodes], np.uint8),
            "depth": np.array([node.depth for node in nodes], np.int32),
            "active": np.array([leaf.is_active() for leaf in leaves], np.uint8),
            "attempt": np.array([leaf.last_split_attempt_at for leaf in leaves], np.float64),
            "correct": np.array([_correct(leaf) for leaf in leaves], np.float64),
            "observed": np.array([_observed(leaf, inputs) for leaf in leaves], np.float64),
        }

    def predict(self, arrays: Mapping[str, Array], x: Floats) -> NDArray[np.uint8]:
        """See `Converter.predict`: as River's, of all points together."""
        x = x.astype(np.float64)
        feature, right = arrays["feature"], _right(arrays["feature"])
        leaf_of = np.cumsum(feature < 0) - 1
        at = np.zeros(len(x), np.int64)
        while (inner := np.flatnonzero(feature[at] >= 0)).size:
            node = at[inner]
            low = x[inner, feature[node]] <= arrays["threshold"][node]
            at[inner] = np.where(low, node + 1, right[node])
        votes = arrays["stats"][at]
        for node in np.unique(at):
            if self._by_bayes(arrays, node, leaf := leaf_of[node]):
                here = at == node
                votes[here] = _bayes(arrays["stats"][node], arrays["observed"][leaf], x[here])
        return (votes[:, 1] > votes[:, 0]).astype(np.uint8)

    def _by_bayes(self, arrays: Mapping[str, Array], node: int, leaf: int) -> bool:
        kind = self._options.get("leaf_prediction", "nba")
        stats = arrays["stats"][node]
        if kind == "mc" or not arrays["active"][leaf] or stats.max() <= 0:
            return False
        if kind == "nb":
            weight = np.maximum(stats, 0.0).sum()
            return bool(weight >= self._options.get("nb_threshold", 0))
        majority, bayes = arrays["correct"][leaf]
        return bool(bayes >= majority)


def _in_order(node: Any) -> Iterator[Any]:
    if node is not None:
        yield node
        for child in getattr(node, "children", ()):
            yield from _in_order(child)


def _pair(stats: Mapping[int, float]) -> list[float]:
    return [stats.get(bit, ABSENT) for bit in (0, 1)]


def _correct(leaf: Any) -> tuple[float, float]:
    return (getattr(leaf, "_mc_correct_weight", 0.0), getattr(leaf, "_nb_correct_weight", 0.0))


def _observed(leaf: Any, inputs: int) -> Array:
    """Return number, mean, sum of squares, least, largest of each input and class, and which class came first."""
    seen = np.zeros((inputs, 2, 6))
    for feature, splitter in (leaf.splitters or {}).items():
        for place, (bit, gaussian) in enumerate(splitter._att_dist_per_class.items()):
            var = gaussian._var
            limits = splitter._min_per_class[bit], splitter._max_per_class[bit]
            seen[feature, bit] = (var.mean.n, var.mean._mean, var._S, *limits, place)
    return seen


class _Reader:
    """Goes through the arrays of a tree, node after node, leaf after leaf."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.node = self.leaf = 0


def _node(tree: Any, reader: _Reader) -> Any:
    """Return the next node with all that is below it."""
    from river.tree.nodes.branch import NumericBinaryBranch

    arrays, number = reader.arrays, reader.node
    reader.node += 1
    order = (1, 0) if arrays["one_first"][number] else (0, 1)
    counted = arrays["stats"][number].tolist()
    stats = {bit: counted[bit] for bit in order if counted[bit] != ABSENT}
    depth, feature = int(arrays["depth"][number]), int(arrays["feature"][number])
    if feature >= 0:
        threshold = float(arrays["threshold"][number])
        left, right = _node(tree, reader), _node(tree, reader)
        return NumericBinaryBranch(stats, feature, threshold, depth, left, right)
    leaf = tree._new_leaf(stats)
    leaf.depth = depth
    leaf.last_split_attempt_at = float(arrays["attempt"][reader.leaf])
    if hasattr(leaf, "_mc_correct_weight"):
        leaf._mc_correct_weight, leaf._nb_correct_weight = arrays["correct"][reader.leaf].tolist()
    if arrays["active"][reader.leaf]:
        leaf.splitters = _splitters(arrays["observed"][reader.leaf].tolist())
    else:
        leaf.deactivate()
    reader.leaf += 1
    return leaf


def _splitters(observed: list[list[list[float]]]) -> dict[int, Any]:
    from river.proba import Gaussian
    from river.tree.splitter import GaussianSplitter

    found = {}
    for feature, classes in enumerate(observed):
        splitter = GaussianSplitter()
        for bit in sorted((0, 1), key=lambda bit: classes[bit][5]):
            count, mean, squares, least, largest, _ = classes[bit]
            if count:
                gaussian = Gaussian()
                gaussian._var.mean.n, gaussian._var.mean._mean = count, mean
                gaussian._var._S = squares
                splitter._att_dist_per_class[bit] = gaussian
                splitter._min_per_class[bit], splitter._max_per_class[bit] = least, largest
        if splitter._att_dist_per_class:
            found[feature] = splitter
    return found


def _right(feature: Array) -> NDArray[np.int64]:
    """Return the right child of each branch; 0 of a leaf."""
    right, open_branches = np.zeros(len(feature), np.int64), []
    for number, one in enumerate(feature.tolist()):
        if one >= 0:
            open_branches.append(number)
        elif open_branches and number + 1 < len(feature):
            right[open_branches.pop()] = number + 1  # whose left side is complete
    return right


def _bayes(stats: Array, observed: Array, x: Array) -> Array:
    """Return the log-likelihood of each class, (n, 2); as in River's naive Bayes what is not known says nothing."""
    votes = np.full((len(x), 2), -np.inf)
    for bit, weight in enumerate(stats):
        if weight == ABSENT:
            continue
        votes[:, bit] = 0.0
        if weight > 0:
            count, mean, squares = observed[:, bit, :3].T
            with np.errstate(divide="ignore", invalid="ignore"):
                variance = squares / (count - 1.0)
            known = (count > 1) & (variance > 0)
            mean, variance = mean[known], variance[known]
            away = np.square(x[:, : len(observed)][:, known] - mean) / (2.0 * variance)
            level = np.log(2.0 * np.pi * variance).sum() / 2.0
            prior = np.log(weight / np.maximum(stats, 0.0).sum())
            votes[:, bit] = prior - away.sum(axis=1) - level
    return votes
