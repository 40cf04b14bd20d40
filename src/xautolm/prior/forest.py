"""A random forest as plain arrays: grown by scikit-learn, kept as numbers, evaluated here.

A forest that is kept in a run folder must predict the same under any release of scikit-learn and must not be a pickle;
and a proposal has milliseconds, which scikit-learn's own checks and threads would use up.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_ARRAYS = {"feature": "<i2", "threshold": "<f8", "left": "<i4", "right": "<i4", "value": "<f4", "roots": "<i4"}


@dataclass(frozen=True, slots=True)
class ForestOptions:
    """How a forest is grown.

    Attributes:
        n_trees: trees.
        max_leaves: leaves of a tree at most, about: a leaf holds at least the rows of the tree over this number.
        feature_share: inputs that a split may choose among.
        max_rows: rows that a tree sees at most, drawn with replacement; bounds the time and the size.
        max_depth: splits on the way to a leaf at most.
    """

    n_trees: int = 100
    max_leaves: int = 500
    feature_share: float = 1 / 3
    max_rows: int = 1500
    max_depth: int = 12


@dataclass(frozen=True)
class Forest:
    """Trees side by side in flat arrays; a node goes left when its input is at most the threshold.

    Attributes:
        feature: (n_nodes,) input that a node looks at; of a leaf any.
        threshold: (n_nodes,); infinite at a leaf, whose children are itself.
        left: (n_nodes,) index of a child, and `right` of the other one.
        value: (n_nodes,) mean of the targets below a node.
        roots: (n_trees,) index of each tree's first node.
        depth: longest way from a root to a leaf.
    """

    feature: npt.NDArray[np.int16]
    threshold: Array
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    roots: npt.NDArray[np.int32]
    depth: int

    @classmethod
    def grown(
        cls,
        rows: Array,
        targets: Array,
        weights: Array,
        options: ForestOptions,
        *,
        seed: int,
        signs: npt.NDArray[np.int64] | None = None,
    ) -> Forest:
        """Grow a forest.

        Args:
            rows: (n, n_inputs) finite inputs.
            targets: (n,) finite values; 0 and 1 for a probability.
            weights: (n,) positive weights of the rows.
            options: how.
            seed: of everything random.
            signs: (n_inputs,) +1 where the prediction may only rise with the input, -1 where it may only fall.
        """
        from sklearn.ensemble import RandomForestRegressor

        n_rows = min(len(rows), options.max_rows)
        forest = RandomForestRegressor(
            n_estimators=options.n_trees,
            min_samples_leaf=max(1, n_rows // options.max_leaves),
            max_features=options.feature_share,
            max_depth=options.max_depth,
            max_samples=n_rows,
            monotonic_cst=signs,
            random_state=seed,
            n_jobs=1,
        ).fit(rows, targets, sample_weight=weights / weights.mean())
        return cls._joined([estimator.tree_ for estimator in forest.estimators_])

    @classmethod
    def _joined(cls, trees: list[Any]) -> Forest:
        sizes = [tree.node_count for tree in trees]
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
        feature, threshold, left, right, value = [], [], [], [], []
        for tree, root in zip(trees, roots.tolist(), strict=True):
            is_leaf = tree.children_left < 0
            own = root + np.arange(tree.node_count)
            feature.append(np.where(is_leaf, 0, tree.feature))
            threshold.append(np.where(is_leaf, np.inf, tree.threshold))
            left.append(np.where(is_leaf, own, root + tree.children_left))
            right.append(np.where(is_leaf, own, root + tree.children_right))
            value.append(tree.value.reshape(tree.node_count))
        return cls(
            feature=np.concatenate(feature).astype(np.int16),
            threshold=np.concatenate(threshold).astype(float),
            left=np.concatenate(left).astype(np.int32),
            right=np.concatenate(right).astype(np.int32),
            value=np.concatenate(value).astype(np.float32),
            roots=roots,
            depth=max(tree.max_depth for tree in trees),
        )

    def votes(self, rows: Array) -> Array:
        """What each tree says, (n, n_trees)."""
        rows = rows.astype(np.float32)  # as scikit-learn compared when it grew the trees
        n_rows, n_inputs = rows.shape
        flat = rows.ravel()
        start = np.repeat(np.arange(n_rows, dtype=np.int64) * n_inputs, len(self.roots))
        node = np.tile(self.roots.astype(np.int64), n_rows)
        for _ in range(self.depth):
            goes_left = flat[start + self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node]).astype(np.int64)
        return self.value[node].astype(float).reshape(n_rows, len(self.roots))

    def predict(self, rows: Array) -> Array:
        """Mean of the trees, (n,)."""
        return np.asarray(self.votes(rows).mean(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """JSON form: every array as base64 of its compressed little-endian bytes."""
        arrays = {name: _packed(getattr(self, name), dtype) for name, dtype in _ARRAYS.items()}
        return {"depth": self.depth, **arrays}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Forest:
        arrays = {name: _unpacked(value[name], dtype) for name, dtype in _ARRAYS.items()}
        return cls(depth=int(value["depth"]), **arrays)


def _packed(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(zlib.compress(array.astype(dtype).tobytes())).decode("ascii")


def _unpacked(text: str, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=dtype).copy()
