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
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

#: Evaluations of the posterior that a fit of hyperparameters may take.
MAX_EVALUATIONS = 40
_JITTER = 1e-6
_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Normal beliefs about the logarithms of hyperparameters, (n_hyperparameters,) each.

    The order is: one length scale per group of columns, variance of the smooth part, variance of the slopes, and for a
    regression the variance of the noise.
    """

    mean: Array
    sd: Array


def beliefs(n_groups: int, smooth: float, slopes: float, noise: float | None) -> Beliefs:
    """Beliefs before any trial: lengths grow with the number of groups (Hvarfner et al. 2024, eq. 9)."""
    length = math.sqrt(2.0) + 0.5 * math.log(max(n_groups, 1))
    tail = [(math.log(smooth), 1.5), (math.log(slopes), 2.0)] + ([] if noise is None else [(math.log(noise), 1.5)])
    mean = [length] * n_groups + [m for m, _ in tail]
    sd = [math.sqrt(3.0)] * n_groups + [s for _, s in tail]
    return Beliefs(np.asarray(mean), np.asarray(sd))


class Kernel:
    """A Matern 5/2 kernel with one length scale per group of columns, plus a linear one.

    Args:
        rows: (n, n_columns) encoded points.
        groups: (n_columns,) group of each column, from 0 without gaps.
    """

    def __init__(self, rows: Array, groups: Groups) -> None:
        self.rows, self.groups = rows, groups
        self.n_groups = int(groups.max()) + 1 if len(groups) else 0
        parts = [_squared(rows[:, groups == g], rows[:, groups == g]) for g in range(self.n_groups)]
        self._distances = np.stack(parts) if parts else np.zeros((0, len(rows), len(rows)))
        self._linear = _linear(rows, rows)

    def matrix(self, theta: Array) -> Array:
        """Covariances at logarithmic hyperparameters, (n, n)."""
        return self._signal(theta)[0] + math.exp(theta[self.n_groups + 1]) * self._linear

    def _signal(self, theta: Array) -> tuple[Array, Array]:
        """The smooth part, and its derivative by minus half of the squared distance."""
        weights = np.exp(-2.0 * theta[: self.n_groups])
        root = np.sqrt(5.0 * np.tensordot(weights, self._distances, axes=1))
        decay = math.exp(theta[self.n_groups]) * np.exp(-root)
        return (1.0 + root + root**2 / 3.0) * decay, 5.0 / 3.0 * (1.0 + root) * decay

    def gradient(self, theta: Array, weight: Array) -> Array:
        """Sum of weight * d(matrix)/d(theta), (n_groups + 2,)."""
        signal, slope = self._signal(theta)
        lengths = np.exp(-2.0 * theta[: self.n_groups]) * np.tensordot(self._distances, weight * slope, axes=2)
        tail = [np.vdot(weight, signal), np.vdot(weight, math.exp(theta[self.n_groups + 1]) * self._linear)]
        return np.concatenate([lengths, tail])

    def between(self, theta: Array, others: Array) -> Array:
        """Covariances of the rows with other rows, (n, n_others)."""
        scales = np.exp(theta[: self.n_groups])[self.groups]
        root = np.sqrt(5.0 * _squared(self.rows / scales, others / scales))
        smooth = math.exp(theta[self.n_groups]) * (1.0 + root + root**2 / 3.0) * np.exp(-root)
        return np.asarray(smooth + math.exp(theta[self.n_groups + 1]) * _linear(self.rows, others))

    def variances(self, theta: Array, others: Array) -> Array:
        """Prior variance of other rows, (n_others,)."""
        slopes = math.exp(theta[self.n_groups + 1]) * ((others - 0.5) ** 2).sum(axis=1)
        return np.asarray(math.exp(theta[self.n_groups]) + slopes)


def _squared(a: Array, b: Array) -> Array:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))


def _linear(a: Array, b: Array) -> Array:
    return np.asarray((a - 0.5) @ (b - 0.5).T)


def _fitted(objective: Callable[[Array], tuple[float, Array]], prior: Beliefs) -> Array:
    """The most probable hyperparameters: maximise log evidence + log prior by L-BFGS, from the prior's mean."""

    def loss(theta: Array) -> tuple[float, Array]:
        value, gradient = objective(theta)
        z = (theta - prior.mean) / prior.sd
        return -value + 0.5 * float(z @ z), -gradient + z / prior.sd

    limits = list(zip(prior.mean - 3.0 * prior.sd, prior.mean + 3.0 * prior.sd, strict=True))
    options = {"maxfun": MAX_EVALUATIONS}
    found = minimize(loss, prior.mean, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    return np.asarray(found.x, dtype=float)


class Regression:
    """A Gaussian process on standardised values with noise.

    Args:
        rows: (n, n_columns) encoded points.
        values: (n,) finite observations.
        groups: (n_columns,) groups of columns.
        theta: from `Regression.fit`.
    """

    def __init__(self, rows: Array, values: Array, groups: Groups, theta: Array) -> None:
        self._kernel, self._theta = Kernel(rows, groups), theta
        self._mean, self._scale = _standard(values)
        noisy = self._kernel.matrix(theta) + (math.exp(theta[-1]) + _JITTER) * np.eye(len(rows))
        self._factor = cho_factor(noisy, lower=True)
        self._weights = cho_solve(self._factor, (values - self._mean) / self._scale)

    @staticmethod
    def fit(rows: Array, values: Array, groups: Groups) -> Array:
        """The most probable logarithmic hyperparameters (GPML eqs. 5.8, 5.9)."""
        kernel = Kernel(rows, groups)
        mean, scale = _standard(values)
        target = (values - mean) / scale
        prior = beliefs(kernel.n_groups, smooth=0.5, slopes=0.5, noise=0.02)

        def evidence(theta: Array) -> tuple[float, Array]:
            noise = math.exp(theta[-1])
            factor = cho_factor(kernel.matrix(theta) + (noise + _JITTER) * np.eye(len(rows)), lower=True)
            weights = cho_solve(factor, target)
            weight = 0.5 * (np.outer(weights, weights) - cho_solve(factor, np.eye(len(rows))))
            value = -0.5 * float(target @ weights) - float(np.log(np.diag(factor[0])).sum())
            return value, np.append(kernel.gradient(theta, weight), noise * np.trace(weight))

        return _fitted(evidence, prior)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation without noise, (n_rows,) each."""
        cross = self._kernel.between(self._theta, rows)
        mean = self._mean + self._scale * (cross.T @ self._weights)
        half = solve_triangular(self._factor[0], cross, lower=True)
        variance = self._kernel.variances(self._theta, rows) - (half**2).sum(axis=0)
        return mean, self._scale * np.sqrt(np.maximum(variance, 1e-12))


def _standard(values: Array) -> tuple[float, float]:
    spread = float(values.std())
    return float(values.mean()), spread if spread > 1e-12 * max(1.0, float(np.abs(values).max())) else 1.0


@dataclass(frozen=True, slots=True)
class _Mode:
    """The Laplace approximation of a classification (GPML alg. 3.1), all for logits minus their prior mean."""

    logits: Array
    pull: Array
    root: Array
    factor: Array
    evidence: float


#: Prior mean of the logit of success: three in four.
PRIOR_LOGIT = 1.1


def _mode(kernel: Array, signs: Array, start: Array | None = None) -> _Mode:
    """Newton's method, with halved steps where the posterior would fall."""
    pull = np.zeros(len(signs)) if start is None else start
    logits = kernel @ pull
    best = _log_likelihood(logits, signs) - 0.5 * float(pull @ logits)
    for _ in range(_NEWTON_STEPS):
        chance = _sigmoid(logits + PRIOR_LOGIT)
        root = np.sqrt(np.maximum(chance * (1 - chance), 1e-10))
        factor = np.linalg.cholesky(np.eye(len(signs)) + root[:, None] * kernel * root[None, :])
        b = root**2 * logits + (signs > 0) - chance
        inner = solve_triangular(factor, root * (kernel @ b), lower=True)
        step = b - root * solve_triangular(factor.T, inner, lower=False) - pull
        size = 1.0
        while size > 1e-3:
            tried = pull + size * step
            moved = kernel @ tried
            value = _log_likelihood(moved, signs) - 0.5 * float(tried @ moved)
            if value >= best - 1e-10:
                break
            size /= 2
        gain, best, pull, logits = value - best, value, tried, moved
        if gain < _NEWTON_TOLERANCE:
            break
    chance = _sigmoid(logits + PRIOR_LOGIT)
    root = np.sqrt(np.maximum(chance * (1 - chance), 1e-10))
    lower: Array = np.asarray(np.linalg.cholesky(np.eye(len(signs)) + root[:, None] * kernel * root[None, :]), float)
    return _Mode(logits, pull, root, lower, best - float(np.log(np.diag(lower)).sum()))


def _log_likelihood(logits: Array, signs: Array) -> float:
    return -float(np.logaddexp(0.0, -signs * (logits + PRIOR_LOGIT)).sum())


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0))))


class Classification:
    """A Gaussian process on the logit of success, by Laplace's approximation (GPML 3.4).

    The linear part is a logistic regression with normal priors, so that a threshold on a product of a few factors is
    learned from few trials; the smooth part takes what is not linear.

    Args:
        rows: (n, n_columns) encoded points.
        successes: (n,) whether each succeeded.
        groups: (n_columns,) groups of columns.
        theta: from `Classification.fit`.
    """

    def __init__(self, rows: Array, successes: npt.NDArray[np.bool_], groups: Groups, theta: Array) -> None:
        self._kernel, self._theta = Kernel(rows, groups), theta
        covariance = self._kernel.matrix(theta) + _JITTER * np.eye(len(rows))
        self._mode = _mode(covariance, np.where(successes, 1.0, -1.0))

    @staticmethod
    def fit(rows: Array, successes: npt.NDArray[np.bool_], groups: Groups) -> Array:
        """The most probable logarithmic hyperparameters (GPML alg. 5.1)."""
        kernel = Kernel(rows, groups)
        signs = np.where(successes, 1.0, -1.0)
        prior = beliefs(kernel.n_groups, smooth=2.0, slopes=20.0, noise=None)
        state: dict[str, Array] = {}

        def evidence(theta: Array) -> tuple[float, Array]:
            covariance = kernel.matrix(theta) + _JITTER * np.eye(len(rows))
            mode = _mode(covariance, signs)
            chance = _sigmoid(mode.logits + PRIOR_LOGIT)
            slope = (signs > 0) - chance
            third = -chance * (1 - chance) * (1 - 2 * chance)
            half = solve_triangular(mode.factor, np.diag(mode.root), lower=True)
            inverse = half.T @ half
            c = half @ covariance
            s2 = 0.5 * (np.diag(covariance) - (c**2).sum(axis=0)) * third
            u = s2 - inverse @ (covariance @ s2)
            weight = 0.5 * (np.outer(mode.pull, mode.pull) - inverse) + np.outer(u, slope)
            return mode.evidence, kernel.gradient(theta, 0.5 * (weight + weight.T))

        del state
        return _fitted(evidence, prior)

    def predict(self, rows: Array) -> Array:
        """Probability of success, averaged over the uncertain logit (MacKay's approximation), (n_rows,)."""
        cross = self._kernel.between(self._theta, rows)
        mean = cross.T @ self._mode.pull + PRIOR_LOGIT
        half = solve_triangular(self._mode.factor, self._mode.root[:, None] * cross, lower=True)
        variance = np.maximum(self._kernel.variances(self._theta, rows) - (half**2).sum(axis=0), 0.0)
        return _sigmoid(mean / np.sqrt(1.0 + math.pi * variance / 8.0))
