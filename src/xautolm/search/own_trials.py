"""Models of this run's own trials on top of what was expected of them.

What is learned depends on the trials alone, not on when it was asked for: parameters come from the first trials as
they were when there were no others, so that a proposal can be replayed without the proposals before it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xautolm.prior.gaussian import Classification, Regression
from xautolm.prior.surrogates import spread

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]

#: Trials that a model's parameters are learned from, and that it predicts from, at most.
_MAX_FIT, _MAX_POINTS, _NEWEST = 100, 200, 40
#: Trials that it takes to believe that an estimate is off by a constant factor as much as that it is right.
_OFFSET_TRIALS = 2
_LEAST_SD = 0.02
_FIRST, _GROWTH = 4, 1.12


def learned_from(n: int) -> int:
    """How many of n results the parameters of a model are learned from: they are learned anew at 12 % growth.

    >>> [learned_from(n) for n in (3, 4, 5, 6, 100)]
    [3, 4, 4, 6, 100]
    """
    done = _FIRST
    while max(done + 2, int(done * _GROWTH)) <= n:
        done = max(done + 2, int(done * _GROWTH))
    return min(done, n)


class _Cover:
    """Which trials a model predicts from: those that cover what it was learned from, and the newest ones."""

    def __init__(self) -> None:
        self._known: tuple[int, npt.NDArray[np.int64]] | None = None

    def __call__(self, own_rows: Array, n_learned: int) -> npt.NDArray[np.int64]:
        """Indices of at most `_MAX_POINTS` rows; the cover is chosen once for each number of rows learned from."""
        if self._known is None or self._known[0] != n_learned:
            self._known = n_learned, spread(own_rows[:n_learned], _MAX_POINTS - _NEWEST)
        return np.append(self._known[1], np.arange(max(n_learned, len(own_rows) - _NEWEST), len(own_rows)))


class Gap:
    """What an objective differs by from what was expected: a Gaussian process.

    Args:
        groups: group of each input (`prior.encoding`).
        is_offset: whether the expectation may be off by a constant, as a logarithm by a factor.
    """

    def __init__(self, groups: Groups, *, is_offset: bool) -> None:
        self._groups, self._is_offset, self._cover = groups, is_offset, _Cover()
        self._learned: tuple[int, Array] | None = None

    def predict(
        self, own_rows: Array, own_gaps: Array, rows: Array, first_gaps: Callable[[int], Array]
    ) -> tuple[Array, Array]:
        """Mean and standard deviation of the gap of candidates, (n,) each.

        Args:
            own_rows: inputs of this run's valid trials in the order they finished, (n_own, n_columns), n_own > 1.
            own_gaps: their gaps, (n_own,).
            rows: inputs of the candidates, (n, n_columns).
            first_gaps: gaps of the first k of them as they were when there were no others, k -> (k,).
        """
        offset = 0.0
        if self._is_offset:
            offset = len(own_gaps) * float(np.median(own_gaps)) / (len(own_gaps) + _OFFSET_TRIALS)
        gaps = own_gaps - offset
        n_learned = learned_from(len(own_rows))
        if self._learned is None or self._learned[0] != n_learned:
            chosen = spread(own_rows[:n_learned], _MAX_FIT)
            learned = Regression.fit(own_rows[:n_learned][chosen], first_gaps(n_learned)[chosen], self._groups)
            self._learned = n_learned, learned
        chosen = self._cover(own_rows, n_learned)
        process = Regression(own_rows[chosen], gaps[chosen], self._groups, self._learned[1])
        mean, deviation = process.predict(rows)
        return mean + offset, np.maximum(deviation, _LEAST_SD)


class Success:
    """Whether a trial works: a Gaussian process through a logistic function.

    Args:
        groups: group of each input.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups, self._cover = groups, _Cover()
        self._learned: tuple[int, Array] | None = None

    def predict(self, own_rows: Array, worked: Flags, rows: Array) -> Array:
        """Probability that candidates work, (n,).

        Args:
            own_rows: inputs of this run's finished trials in the order they finished, (n_own, n_columns).
            worked: whether they worked, (n_own,); not all of them.
            rows: inputs of the candidates, (n, n_columns).
        """
        n_learned = learned_from(len(own_rows))
        if self._learned is None or self._learned[0] != n_learned:
            theta = Classification.usual(self._groups)
            if not worked[:n_learned].all():
                chosen = spread(own_rows[:n_learned], _MAX_FIT)
                if not worked[:n_learned][chosen].all():
                    theta = Classification.fit(own_rows[:n_learned][chosen], worked[:n_learned][chosen], self._groups)
            self._learned = n_learned, theta
        chosen = self._cover(own_rows, n_learned)
        return Classification(own_rows[chosen], worked[chosen], self._groups, self._learned[1]).predict(rows)
