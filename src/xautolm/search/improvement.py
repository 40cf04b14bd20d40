"""Expected improvement of a front by points whose objectives are known up to a normal error."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from xautolm.pareto import non_dominated_sort

Array = npt.NDArray[np.float64]

#: Points that the hypervolume is integrated over with three objectives or more.
_N_POINTS = 1024


def expected_improvement(mean: Array, deviation: Array, points: Array, reference: Array) -> Array:
    """Expected gain of each candidate over the points known; everything is to be minimised.

    One objective: expected improvement on the best (Jones et al. 1998). Two: expected growth of the hypervolume, exact
    (Emmerich et al. 2011). More: the same as an integral over points, the same ones at each call.

    Args:
        mean: (n, k) expected objectives.
        deviation: (n, k) standard deviations, positive.
        points: (n_points, k) known objectives, at least one.
        reference: (k,) the worst corner of the hypervolume.

    Returns:
        (n,) gains, not negative.
    """
    if mean.shape[1] == 1:
        return improvement(mean[:, 0], deviation[:, 0], float(points[:, 0].min()))
    front = points[non_dominated_sort(points)[0]]
    return (_area_improvement if mean.shape[1] == 2 else _volume_improvement)(mean, deviation, front, reference)


def improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E[max(best - x, 0)] of normal x, (n,).

    >>> improvement(np.array([0.0]), np.array([1.0]), 0.0).round(4).tolist()
    [0.3989]
    """
    z = (best - mean) / deviation
    return np.asarray((best - mean) * ndtr(z) + deviation * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def _area_improvement(mean: Array, deviation: Array, front: Array, reference: Array) -> Array:
    """Expected growth of the area that two objectives dominate.

    Between two neighbours of the front the first objective gains independently of the second, so the area splits into
    strips whose expected width and height multiply.
    """
    front = front[np.argsort(front[:, 0], kind="stable")]
    ends = np.append(front[:, 0], reference[0])
    heights = np.concatenate([[reference[1]], front[:, 1]])
    total, below = np.zeros(len(mean)), np.zeros(len(mean))
    for end, height in zip(ends.tolist(), heights.tolist(), strict=True):
        width = improvement(mean[:, 0], deviation[:, 0], end)
        total += np.maximum(width - below, 0.0) * improvement(mean[:, 1], deviation[:, 1], height)
        below = width
    return total


def _volume_improvement(mean: Array, deviation: Array, front: Array, reference: Array) -> Array:
    """Expected growth of the volume: the mean probability that a candidate dominates a point not dominated yet.

    Points are drawn from the box that holds all that candidates can reach within two deviations.
    """
    best = np.minimum(front.min(axis=0), (mean - 2.0 * deviation).min(axis=0))
    span = np.maximum(reference - best, 1e-12)
    points = best + span * np.random.default_rng(0).random((_N_POINTS, mean.shape[1]))
    beaten = (front[:, None, :] <= points[None, :, :]).all(axis=2).any(axis=0)
    free = points[~beaten]
    chance = np.ones((len(mean), len(free)))
    for j in range(mean.shape[1]):
        chance *= ndtr((free[None, :, j] - mean[:, None, j]) / deviation[:, None, j])
    return np.asarray(chance.sum(axis=1) * span.prod() / _N_POINTS)
