"""The covariance of what pipelines lead to: a smooth part in which everything interacts, and main effects that add up.

Hyperparameter landscapes are mostly main effects, so that few trials teach much; what they leave is learned by the
smooth part. Each *group* of columns (one number, or all choices of one variable) has a length scale in the smooth part
and a weight among the main effects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

#: Cosines that the main effect of a number is made of.
N_WAVES = 6
#: Length scale of the main effect of a number, as a share of its range.
MAIN_LENGTH = 0.7


@dataclass(frozen=True, slots=True)
class Expectation:
    """Normal expectations of logarithmic hyperparameters, (n_hyperparameters,) each.

    The order is: length scale of each group, variance of the smooth part, weight of each group's main effect, variance
    of the slopes, and for a regression the variance of the noise.
    """

    mean: Array
    sd: Array


def expectation(n_groups: int, *, smooth: float, main: float, slopes: float, noise: float | None) -> Expectation:
    """What is expected before any trial, from the median of each kind of hyperparameter.

    Lengths grow with the root of the number of groups, or distances in many of them would make every point a stranger
    (Hvarfner et al. 2024); the constants are our own choice.

    Args:
        n_groups: groups of columns.
        smooth: variance of the smooth part.
        main: variance of all main effects together.
        slopes: variance of the slopes.
        noise: variance of the noise; None for a classification.
    """
    n = max(n_groups, 1)
    medians = [0.6 * math.sqrt(n)] * n_groups + [smooth] + [main / n] * n_groups + [slopes]
    spreads = [1.0] * n_groups + [1.5] + [1.5] * n_groups + [2.0]
    if noise is not None:
        medians, spreads = [*medians, noise], [*spreads, 1.5]
    return Expectation(np.log(medians), np.asarray(spreads))


class Kernel:
    """Covariances of rows with themselves and with others, at given logarithmic hyperparameters.

    The smooth part is a Matern 5/2 kernel (Rasmussen & Williams 2006, eq. 4.17). The main effect of a number is the
    same kernel on its range with reflecting ends, as a sum of cosines weighted by its spectral density (Solin & Särkkä
    2020), which makes it a product of features; those of choices are the choices; slopes are the columns themselves.

    Args:
        rows: (n, n_columns) encoded points.
        groups: (n_columns,) group of each column, from 0 without gaps.
    """

    def __init__(self, rows: Array, groups: Groups) -> None:
        self._rows, self._groups = rows, groups
        self._n_groups = int(groups.max()) + 1 if len(groups) else 0
        self._is_number = np.bincount(groups, minlength=self._n_groups)[groups] == 1
        kinds = [np.repeat(groups[self._is_number], N_WAVES), groups[~self._is_number]]
        self._owner = np.concatenate([*kinds, np.full(len(groups), self._n_groups)])
        frequencies = np.pi * np.arange(1, N_WAVES + 1)
        density = (1.0 + (frequencies * MAIN_LENGTH) ** 2 / 5.0) ** -3.0
        self._frequencies, self._amplitudes = frequencies, np.sqrt(2.0 * density / density.sum())
        self._features = self._featured(rows)

    def _featured(self, rows: Array) -> Array:
        """Features of which the main effects and slopes are linear functions, (n_rows, n_features)."""
        waves = np.cos(rows[:, self._is_number, None] * self._frequencies) * self._amplitudes
        return np.hstack([waves.reshape(len(rows), -1), rows[:, ~self._is_number], rows - 0.5])

    def _split(self, theta: Array) -> tuple[Array, float, Array]:
        """Inverse squared length of each group, variance of the smooth part, weight of each feature."""
        n = self._n_groups
        weights = np.exp(theta[n + 1 : 2 * n + 2])
        return np.exp(-2.0 * theta[:n]), math.exp(theta[n]), weights[self._owner]

    def between(self, theta: Array, others: Array) -> Array:
        """Covariances of the rows with others, (n, n_others)."""
        inverse, signal, weights = self._split(theta)
        scales = np.sqrt(inverse)[self._groups]
        root = np.sqrt(5.0 * squared_distances(self._rows * scales, others * scales))
        smooth = signal * (1.0 + root + root**2 / 3.0) * np.exp(-root)
        return np.asarray(smooth + (self._features * weights) @ self._featured(others).T)

    def variances(self, theta: Array, others: Array) -> Array:
        """Prior variances of other rows, (n_others,)."""
        _, signal, weights = self._split(theta)
        return np.asarray(signal + (self._featured(others) ** 2) @ weights)


class FittingKernel(Kernel):
    """The same with derivatives; keeps the distances in every group, (n_groups, n, n)."""

    def __init__(self, rows: Array, groups: Groups) -> None:
        super().__init__(rows, groups)
        parts = [squared_distances(rows[:, groups == g], rows[:, groups == g]) for g in range(self._n_groups)]
        self._distances = np.stack(parts) if parts else np.zeros((0, len(rows), len(rows)))

    def matrix(self, theta: Array) -> Array:
        """Covariances of the rows, (n, n)."""
        return self._smooth(theta)[0] + (self._features * self._split(theta)[2]) @ self._features.T

    def _smooth(self, theta: Array) -> tuple[Array, Array]:
        """The smooth part, and its derivative by minus half of the squared scaled distance."""
        inverse, signal, _ = self._split(theta)
        root = np.sqrt(5.0 * np.tensordot(inverse, self._distances, axes=1))
        decay = signal * np.exp(-root)
        return (1.0 + root + root**2 / 3.0) * decay, 5.0 / 3.0 * (1.0 + root) * decay

    def gradient(self, theta: Array, weight: Array) -> Array:
        """Sum over all pairs of weight x d(covariance) / d(theta), (2 n_groups + 2,).

        Args:
            theta: logarithmic hyperparameters, without the noise's.
            weight: (n, n), symmetric.
        """
        inverse, _, weights = self._split(theta)
        smooth, slope = self._smooth(theta)
        lengths = inverse * np.tensordot(self._distances, weight * slope, axes=2)
        by_feature = weights * ((weight @ self._features) * self._features).sum(axis=0)
        mains = np.bincount(self._owner, weights=by_feature, minlength=self._n_groups + 1)
        return np.concatenate([lengths, [np.vdot(weight, smooth)], mains])


def squared_distances(a: Array, b: Array) -> Array:
    """Squared distance of each row of `a` to each of `b`, (n_a, n_b).

    >>> squared_distances(np.array([[0.0, 3.0]]), np.array([[4.0, 0.0], [0.0, 3.0]])).tolist()
    [[25.0, 0.0]]
    """
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.maximum(squares, 0.0))
