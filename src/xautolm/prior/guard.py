"""Guard against negative transfer: past experience is believed as far as it foretold this run's own results.

Two opinions are watched. On quality: the slope of this run's scores on the expected ranks, a Bayesian regression that
begins at what a useful prior has and falls to 0 when the ranks are wrong. On success: the odds that the prior's
probabilities, and not this run's own success rate alone, made the results seen (Bayesian model averaging).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Slope of standardised scores on expected normal scores that a useful prior has, and how sure that is. A rank
#: correlation of 0.5 between expected and real quality, as leaving one task out gives, is a slope of about 0.6.
SLOPE, SLOPE_SD = 0.6, 0.3
#: Variance of standardised scores that a useful prior leaves open.
_RESIDUAL = 0.5
_INTERCEPT_SD = 2.0
#: Odds, as a logarithm, that the prior knows more about success than the run's own rate; and what one trial can add.
_ODDS, _MOST_PER_TRIAL = 2.0, 1.0
#: The run's own success rate before its first trial, in trials that worked and failed.
_WORKED, _FAILED = 1.0, 1.0
_LEAST_SD = 1e-3


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the prior is believed.

    Attributes:
        intercept: of standardised scores at an expected rank in the middle.
        slope: of standardised scores on expected normal scores, not negative; `SLOPE` before the first result.
        success: share of the prior's opinion on success, in [0, 1].
    """

    intercept: float = 0.0
    slope: float = SLOPE
    success: float = 1.0 / (1.0 + math.exp(-_ODDS))

    @property
    def quality(self) -> float:
        """The slope as a share of a useful prior's, in [0, 1]."""
        return min(self.slope / SLOPE, 1.0)

    @property
    def weight(self) -> float:
        """One figure for people: the mean of both shares, 1 = fully believed, 0 = cold."""
        return 0.5 * (self.quality + self.success)


#: Nothing is known of the past, so nothing of it is believed.
COLD = Trust(0.0, 0.0, 0.0)


def trust(expected: Array, scores: Array, p_ok: Array, worked: Sequence[bool]) -> Trust:
    """How far the prior is believed after some results.

    Args:
        expected: normal scores of the expected ranks of the trials that have a score, (n_scored,).
        scores: their scores, larger is better, (n_scored,).
        p_ok: expected probability of success of every finished trial, (n,), in the order they finished.
        worked: whether it succeeded, (n,).

    >>> ranks = np.array([-1.0, 0.0, 1.0, 0.5, -0.5] * 4)
    >>> good = trust(ranks, 0.8 + 0.1 * ranks, np.full(20, 0.9), [True] * 20)
    >>> bad = trust(ranks, 0.8 - 0.1 * ranks, np.full(20, 0.9), [False] * 20)
    >>> good.quality, bad.quality, good.success > 0.9, bad.success < 0.01
    (1.0, 0.0, True, True)
    """
    intercept, slope = _regression(expected, standardised(scores))
    return Trust(intercept, max(slope, 0.0), _odds(p_ok, worked))


def standardised(scores: Array) -> Array:
    """Scores with mean 0 and deviation 1; all 0 when they do not differ."""
    if len(scores) == 0:
        return scores
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), _LEAST_SD))


def _regression(expected: Array, scores: Array) -> tuple[float, float]:
    """Posterior means of intercept and slope (normal prior, known noise)."""
    design = np.column_stack([np.ones(len(expected)), expected])
    precision = design.T @ design / _RESIDUAL + np.diag([1 / _INTERCEPT_SD**2, 1 / SLOPE_SD**2])
    evidence = design.T @ scores / _RESIDUAL + np.asarray([0.0, SLOPE / SLOPE_SD**2])
    intercept, slope = np.linalg.solve(precision, evidence)
    return float(intercept), float(slope)


def _odds(p_ok: Array, worked: Sequence[bool]) -> float:
    """Posterior probability that the prior's probabilities made the results."""
    log_odds, n_worked, n_failed = _ODDS, _WORKED, _FAILED
    for p, success in zip(np.clip(p_ok, 0.01, 0.99).tolist(), worked, strict=True):
        own = n_worked / (n_worked + n_failed)
        gain = math.log(p / own) if success else math.log((1 - p) / (1 - own))
        log_odds += min(max(gain, -_MOST_PER_TRIAL), _MOST_PER_TRIAL)
        n_worked, n_failed = n_worked + success, n_failed + (not success)
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -30.0), 30.0)))
