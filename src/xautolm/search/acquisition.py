"""Which of many candidates to try: expected improvement of the front x probability of success / expected cost.

Everything is to be minimised. `Beliefs` (what is expected of points) come from this run's own trials, from experience,
or from both; this module only ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.pareto import fronts
from xautolm.prior.beliefs import Beliefs, Prediction
from xautolm.search.improvement import expected_improvement

__all__ = ["Beliefs", "Prediction", "Standing", "away_from", "likely", "worth"]

Array = npt.NDArray[np.float64]

#: The reference of the hypervolume lies this share of the front's extent beyond its worst coordinates (Ishibuchi et al.
#: 2018 show why not on them: the ends of the front would count for nothing).
_BEYOND = 0.1
#: Improvements below this are all the same, so that the logarithm is finite.
_LEAST = 1e-300


@dataclass(frozen=True, slots=True)
class Standing:
    """What candidates have to beat.

    Attributes:
        front: (m, k) non-dominated objectives, m > 0.
        reference: (k,) the corner up to which hypervolume counts.
    """

    front: Array
    reference: Array

    @classmethod
    def of(cls, points: Array) -> Standing:
        """The standing that some results make.

        Args:
            points: (n, k) objectives of what works, n > 0.
        """
        front = points[next(fronts(points))]
        worst, extent = front.max(axis=0), front.max(axis=0) - front.min(axis=0)
        # A front of one point, or one that is flat in some objective, takes the extent of all results there.
        extent = np.where(extent > 0.0, extent, np.maximum(points.max(axis=0) - points.min(axis=0), 1e-9))
        return cls(front, worst + _BEYOND * extent)


def worth(prediction: Prediction, standing: Standing | None, *, optimism: float = 1.0, least_p: float = 0.0) -> Array:
    """How much each candidate is worth trying, as a logarithm; -inf for those that are too likely to fail.

    Args:
        prediction: of the candidates.
        standing: what is to be beaten; None while nothing works: then what is likely to work is worth most.
        optimism: factor on the deviations. Models of few trials are too sure of themselves, and a search that believes
            them stops looking; a larger factor looks farther away.
        least_p: probability of success below which a candidate is only taken when all are below.
    """
    sd = prediction.sd * optimism
    gain = np.ones(len(sd))
    if standing is not None:
        gain = expected_improvement(prediction.mean, sd, standing.front, standing.reference)
    value = np.log(np.maximum(gain, _LEAST)) + np.log(np.maximum(prediction.p_ok, 1e-12)) - np.log(prediction.cost)
    is_likely = prediction.p_ok >= least_p
    return np.where(is_likely, value, -np.inf) if is_likely.any() else value


def away_from(rows: Array, others: Array, groups: npt.NDArray[np.int64], radius: float) -> Array:
    """Factor on a candidate's worth that keeps it away from trials that are running, (n,) in [0, 1].

    Args:
        rows: (n, n_columns) encoded candidates.
        others: (m, n_columns) encoded running trials.
        groups: (n_columns,) groups of columns.
        radius: distance, as a root mean square over the groups, at which a factor of 0.4 is lost.

    >>> groups = np.array([0, 1])
    >>> away_from(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0]]), groups, 0.1).round(3).tolist()
    [0.0, 1.0]
    """
    n_groups = int(groups.max()) + 1 if len(groups) else 1
    factor = np.ones(len(rows))
    for other in others:
        squared = ((rows - other) ** 2).sum(axis=1) / n_groups
        factor *= 1.0 - np.exp(-0.5 * squared / radius**2)
    return factor


def likely(p_ok: Array, least_p: float, least_share: float) -> Sequence[int]:
    """Indices of candidates that are likely to work, in their order: a share of them at least, the likeliest."""
    limit = min(least_p, float(np.quantile(p_ok, 1.0 - least_share)))
    return [int(i) for i in np.flatnonzero(p_ok >= limit)]
