"""Small regressions with normal beliefs about their coefficients: exact, quick, and sane with no data at all.

With few observations the coefficients stay where the belief put them; with many the observations decide. So one
formula serves the first trial of a run and its thousandth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_NEWTON_STEPS = 25
_TOLERANCE = 1e-8
#: Logits beyond this are as good as certain; probabilities stay in [0.0009, 0.9991].
MAX_LOGIT = 7.0


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Normal beliefs about coefficients.

    Attributes:
        mean: (k,).
        covariance: (k, k).
    """

    mean: Array
    covariance: Array

    @classmethod
    def believed(cls, mean: Sequence[float], sd: Sequence[float]) -> Coefficients:
        """Independent beliefs."""
        return cls(np.asarray(mean, dtype=float), np.diag(np.asarray(sd, dtype=float) ** 2))

    def at(self, design: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the linear predictor, (n,) each."""
        variance = np.einsum("ij,jk,ik->i", design, self.covariance, design)
        return design @ self.mean, np.sqrt(np.maximum(variance, 0.0))


def sigmoid(logits: Array) -> Array:
    """Probabilities of logits, which are held within `MAX_LOGIT`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))))


def logit(shares: Array) -> Array:
    """Logits of probabilities, held within `MAX_LOGIT`.

    >>> logit(np.array([0.5, 1.0])).tolist()
    [0.0, 7.0]
    """
    lowest = 1.0 / (1.0 + np.exp(MAX_LOGIT))
    clipped = np.clip(shares, lowest, 1.0 - lowest)
    return np.clip(np.log(clipped / (1.0 - clipped)), -MAX_LOGIT, MAX_LOGIT)


def linear(design: Array, targets: Array, noise: Array, prior: Coefficients) -> Coefficients:
    """Bayesian linear regression (Bishop 2006, eqs. 3.50-3.51).

    Args:
        design: (n, k).
        targets: (n,).
        noise: (n,) variance of each observation.
        prior: belief before the observations.

    >>> seen = linear(np.ones((4, 1)), np.full(4, 2.0), np.ones(4), Coefficients.believed([0.0], [1.0]))
    >>> round(float(seen.mean[0]), 6)
    1.6
    """
    precision = np.linalg.inv(prior.covariance)
    weighted = design / noise[:, None]
    covariance = np.linalg.inv(precision + design.T @ weighted)
    mean = covariance @ (precision @ prior.mean + weighted.T @ targets)
    return Coefficients(mean, np.asarray(covariance, dtype=float))


def logistic(
    design: Array, successes: Array, weights: Array, prior: Coefficients, offset: Array | None = None
) -> Coefficients:
    """Bayesian logistic regression by Laplace's approximation (Bishop 2006, section 4.5).

    Args:
        design: (n, k).
        successes: (n,) 0 or 1.
        weights: (n,) how often each observation counts.
        prior: belief before the observations.
        offset: (n,) known part of the logits.

    >>> seen = logistic(np.ones((1, 1)), np.zeros(1), np.ones(1), Coefficients.believed([0.0], [1.0]))
    >>> round(float(seen.mean[0]), 3)
    -0.401
    """
    known = np.zeros(len(successes)) if offset is None else offset
    precision = np.linalg.inv(prior.covariance)
    mean = prior.mean.copy()
    for _ in range(_NEWTON_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ mean + known, -40.0, 40.0)))
        gradient = design.T @ (weights * (successes - chance)) - precision @ (mean - prior.mean)
        curvature = precision + design.T @ (design * (weights * chance * (1.0 - chance))[:, None])
        step = np.linalg.solve(curvature, gradient)
        # a step as long as the belief is wide is halved: far from the mode the curvature is too flat
        step /= max(1.0, float(np.abs(step).max()) / 2.0)
        mean = mean + step
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    chance = 1.0 / (1.0 + np.exp(-np.clip(design @ mean + known, -40.0, 40.0)))
    curvature = precision + design.T @ (design * (weights * chance * (1.0 - chance))[:, None])
    return Coefficients(mean, np.asarray(np.linalg.inv(curvature), dtype=float))
