"""Expected improvement of a front by points whose objectives are known up to a normal error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from xautolm.pareto import non_dominated_sort

Array = npt.NDArray[np.float64]


def expected_improvement(mean: Array, deviation: Array, points: Array, reference: Array) -> Array:
    """Expected gain of each candidate over the points known; everything is to be minimised.

    One objective: expected improvement on the best (Jones et al. 1998). Two: expected growth of the hypervolume, exact
    (Emmerich et al. 2011). More: the mean over the objectives' pairs with the first one, which ranks candidates alike
    at a fraction of the cost of the exact volume.

    Args:
        mean: (n, k) expected objectives.
        deviation: (n, k) standard deviations, positive.
        points: (n_points, k) known objectives, at least one.
        reference: (k,) the worst corner of the hypervolume.

    Returns:
        (n,) gains, not negative.
    """
    n_objectives = mean.shape[1]
    if n_objectives == 1:
        return improvement(mean[:, 0], deviation[:, 0], float(points[:, 0].min()))
    gains = [
        _area_improvement(mean[:, [0, j]], deviation[:, [0, j]], points[:, [0, j]], reference[[0, j]])
        for j in range(1, n_objectives)
    ]
    return np.asarray(np.mean(gains, axis=0))


def improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E[max(best - x, 0)] of normal x, (n,).

    >>> improvement(np.array([0.0]), np.array([1.0]), 0.0).round(4).tolist()
    [0.3989]
    """
    z = (best - mean) / deviation
    return np.asarray((best - mean) * ndtr(z) + deviation * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def _area_improvement(mean: Array, deviation: Array, points: Array, reference: Array) -> Array:
    """Expected growth of the area that two objectives dominate.

    Between two neighbours of the front the first objective gains independently of the second, so the area splits into
    strips whose expected width and height multiply.
    """
    front = points[non_dominated_sort(points)[0]]
    front = front[np.argsort(front[:, 0], kind="stable")]
    ends = np.append(front[:, 0], reference[0])
    heights = np.concatenate([[reference[1]], front[:, 1]])
    total, below = np.zeros(len(mean)), np.zeros(len(mean))
    for end, height in zip(ends.tolist(), heights.tolist(), strict=True):
        width = improvement(mean[:, 0], deviation[:, 0], end)
        total += np.maximum(width - below, 0.0) * improvement(mean[:, 1], deviation[:, 1], height)
        below = width
    return total
