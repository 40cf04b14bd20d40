"""Gaussian processes on encoded points: regression of a value, classification of success.

Written out in numpy because a proposal must cost milliseconds: scikit-learn's processes have no kernel of this shape
and take seconds to fit. Formulas: Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006 (GPML).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.prior.kernels import Expectation, FittingKernel, Groups, Kernel, expectation

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Evaluations of the evidence that a fit of hyperparameters may take.
MAX_EVALUATIONS = 40
#: Prior mean of the logit of success: three in four.
PRIOR_LOGIT = 1.1
_JITTER = 1e-6
_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-4
_LEAST_VARIANCE = 1e-12


class Regression:
    """A Gaussian process on standardised values with noise.

    Args:
        rows: (n, n_columns) encoded points, n > 0.
        values: (n,) finite observations.
        groups: (n_columns,) groups of columns.
        theta: logarithmic hyperparameters, from `fit` or `usual`.
    """

    def __init__(self, rows: Array, values: Array, groups: Groups, theta: Array) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self._kernel, self._theta = Kernel(rows, groups), theta
        self._mean, self._scale = _standard(values)
        noisy = self._kernel.between(theta, rows) + (math.exp(theta[-1]) + _JITTER) * np.eye(len(rows))
        self._factor = cho_factor(noisy, lower=True)
        self._weights = cho_solve(self._factor, (values - self._mean) / self._scale)

    @staticmethod
    def expected(groups: Groups) -> Expectation:
        """What is expected of the hyperparameters before any trial."""
        return expectation(_n_groups(groups), smooth=2.0, main=0.3, slopes=0.05, noise=0.003)

    @classmethod
    def usual(cls, groups: Groups) -> Array:
        """Hyperparameters where nothing was learned."""
        return cls.expected(groups).mean

    @classmethod
    def fit(cls, rows: Array, values: Array, groups: Groups) -> Array:
        """The most probable logarithmic hyperparameters (GPML eqs. 5.8, 5.9)."""
        from scipy.linalg import cho_factor, cho_solve

        kernel = FittingKernel(rows, groups)
        mean, scale = _standard(values)
        target, unit = (values - mean) / scale, np.eye(len(rows))

        def evidence(theta: Array) -> tuple[float, Array]:
            noise = math.exp(theta[-1])
            factor = cho_factor(kernel.matrix(theta) + (noise + _JITTER) * unit, lower=True)
            weights = cho_solve(factor, target)
            weight = 0.5 * (np.outer(weights, weights) - cho_solve(factor, unit))
            value = -0.5 * float(target @ weights) - float(np.log(np.diag(factor[0])).sum())
            return value, np.append(kernel.gradient(theta, weight), noise * np.trace(weight))

        return _most_probable(evidence, cls.expected(groups))

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation without noise, (n_rows,) each."""
        from scipy.linalg import solve_triangular

        cross = self._kernel.between(self._theta, rows)
        mean = self._mean + self._scale * (cross.T @ self._weights)
        half = solve_triangular(self._factor[0], cross, lower=True)
        variance = self._kernel.variances(self._theta, rows) - (half**2).sum(axis=0)
        return mean, self._scale * np.sqrt(np.maximum(variance, _LEAST_VARIANCE))


class Classification:
    """A Gaussian process on the logit of success, by Laplace's approximation (GPML 3.4).

    Main effects and slopes are a logistic regression with normal priors: a threshold on a product of a few factors
    (model x batch x length) is linear in their logarithms and learned from few trials. The smooth part takes what is
    not.

    Args:
        rows: (n, n_columns) encoded points, n > 0.
        successes: (n,) whether each succeeded.
        groups: (n_columns,) groups of columns.
        theta: logarithmic hyperparameters, from `fit` or `usual`.
    """

    def __init__(self, rows: Array, successes: Flags, groups: Groups, theta: Array) -> None:
        self._kernel, self._theta = Kernel(rows, groups), theta
        covariance = self._kernel.between(theta, rows) + _JITTER * np.eye(len(rows))
        self._mode = _mode(covariance, successes)

    @staticmethod
    def expected(groups: Groups) -> Expectation:
        """What is expected of the hyperparameters before any trial."""
        return expectation(_n_groups(groups), smooth=2.0, main=5.0, slopes=8.0, noise=None)

    @classmethod
    def usual(cls, groups: Groups) -> Array:
        """Hyperparameters where nothing was learned."""
        return cls.expected(groups).mean

    @classmethod
    def fit(cls, rows: Array, successes: Flags, groups: Groups) -> Array:
        """The most probable logarithmic hyperparameters (GPML alg. 5.1)."""
        kernel, unit = FittingKernel(rows, groups), np.eye(len(rows))

        def evidence(theta: Array) -> tuple[float, Array]:
            covariance = kernel.matrix(theta) + _JITTER * unit
            mode = _mode(covariance, successes)
            return mode.evidence, kernel.gradient(theta, _pull_on_covariance(covariance, mode, successes))

        return _most_probable(evidence, cls.expected(groups))

    def predict(self, rows: Array) -> Array:
        """Probability of success, averaged over the uncertain logit (MacKay's approximation), (n_rows,)."""
        from scipy.linalg import solve_triangular

        cross = self._kernel.between(self._theta, rows)
        mean = cross.T @ self._mode.pull + PRIOR_LOGIT
        half = solve_triangular(self._mode.factor, self._mode.root[:, None] * cross, lower=True)
        variance = np.maximum(self._kernel.variances(self._theta, rows) - (half**2).sum(axis=0), 0.0)
        return _sigmoid(mean / np.sqrt(1.0 + math.pi * variance / 8.0))


@dataclass(frozen=True, slots=True)
class _Mode:
    """The most probable logits of a classification.

    Attributes:
        logits: (n,) minus their prior mean.
        pull: (n,) covariance^-1 logits.
        chance: (n,) probabilities of success.
        root: (n,) root of the likelihood's curvature.
        factor: (n, n) Cholesky factor of 1 + root covariance root.
        evidence: log marginal likelihood.
    """

    logits: Array
    pull: Array
    chance: Array
    root: Array
    factor: Array
    evidence: float


def _mode(covariance: Array, successes: Flags) -> _Mode:
    """Newton's method (GPML alg. 3.1), with smaller steps where the posterior would fall."""
    from scipy.linalg import solve_triangular

    signs = np.where(successes, 1.0, -1.0)
    pull, logits = np.zeros(len(signs)), np.zeros(len(signs))
    best, gain = _log_likelihood(logits, signs), math.inf
    for _ in range(_NEWTON_STEPS):
        chance, root, factor = _curvature(covariance, logits)
        if gain < _NEWTON_TOLERANCE:
            break
        b = root**2 * logits + successes - chance
        inner = solve_triangular(factor, root * (covariance @ b), lower=True)
        step = b - root * solve_triangular(factor.T, inner, lower=False) - pull
        moved, size = covariance @ step, 1.0
        while (value := _posterior(pull + size * step, logits + size * moved, signs)) < best and size > 1e-3:
            size /= 2
        pull, logits = pull + size * step, logits + size * moved
        gain, best = value - best, value
    return _Mode(logits, pull, chance, root, factor, best - float(np.log(np.diag(factor)).sum()))


def _curvature(covariance: Array, logits: Array) -> tuple[Array, Array, Array]:
    """Probabilities, root of the likelihood's curvature, and the Cholesky factor of GPML alg. 3.1."""
    chance = _sigmoid(logits + PRIOR_LOGIT)
    root = np.sqrt(np.maximum(chance * (1.0 - chance), 1e-10))
    return chance, root, np.asarray(np.linalg.cholesky(np.eye(len(logits)) + root[:, None] * covariance * root))


def _posterior(pull: Array, logits: Array, signs: Array) -> float:
    return _log_likelihood(logits, signs) - 0.5 * float(pull @ logits)


def _pull_on_covariance(covariance: Array, mode: _Mode, successes: Flags) -> Array:
    """Derivative of the evidence by each covariance, the moving mode included, (n, n) and symmetric."""
    from scipy.linalg import solve_triangular

    half = solve_triangular(mode.factor, np.diag(mode.root), lower=True)
    inverse, chance = half.T @ half, mode.chance
    variances = np.diag(covariance) - ((half @ covariance) ** 2).sum(axis=0)
    third = chance * (1.0 - chance) * (2.0 * chance - 1.0)
    moved = 0.5 * variances * third
    moved -= inverse @ (covariance @ moved)
    weight = 0.5 * (np.outer(mode.pull, mode.pull) - inverse) + np.outer(moved, successes - chance)
    return np.asarray(0.5 * (weight + weight.T))


def _most_probable(evidence: Callable[[Array], tuple[float, Array]], prior: Expectation) -> Array:
    """Maximise log evidence + log prior by L-BFGS, from the prior's mean."""
    from scipy.optimize import minimize

    def loss(theta: Array) -> tuple[float, Array]:
        value, gradient = evidence(theta)
        z = (theta - prior.mean) / prior.sd
        return 0.5 * float(z @ z) - value, z / prior.sd - gradient

    limits = list(zip(prior.mean - 3.0 * prior.sd, prior.mean + 3.0 * prior.sd, strict=True))
    options = {"maxfun": MAX_EVALUATIONS}
    found = minimize(loss, prior.mean, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    return np.asarray(found.x, dtype=float)


def _n_groups(groups: Groups) -> int:
    return int(groups.max()) + 1 if len(groups) else 0


def _standard(values: Array) -> tuple[float, float]:
    """Mean and deviation; 1 for values that do not differ."""
    spread = float(values.std())
    return float(values.mean()), spread if spread > 1e-12 * max(1.0, float(np.abs(values).max())) else 1.0


def _log_likelihood(logits: Array, signs: Array) -> float:
    return -float(np.logaddexp(0.0, -signs * (logits + PRIOR_LOGIT)).sum())


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0))))
