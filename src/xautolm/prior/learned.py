"""Learns predictors from past trials: will a pipeline work here, how long will it take, how good will it be.

Probabilities and deviations are taken from predictions for tasks that the forests had not seen, so that they mean what
they say on a new task.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xautolm.prior.forest import Forest, ForestOptions
from xautolm.prior.lessons import Lessons
from xautolm.prior.physics import INPUTS, MACHINE_INPUTS
from xautolm.prior.predictors import (
    MEMORY,
    MEMORY_RATIO,
    TIME,
    TIME_RATIO,
    Filling,
    Ladder,
    Predictors,
    Quantity,
    fits_limits,
    opinions,
)
from xautolm.prior.regressions import Coefficients, linear, logistic

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: What quality depends on: not the machine and its limits.
_OF_QUALITY = tuple(i for i, name in enumerate(INPUTS) if name not in {"time_ratio", "memory_ratio", *MACHINE_INPUTS})
#: More of the training rows never make a model worse, all else equal.
_SIGNS_OF_QUALITY = np.asarray([int(INPUTS[i] == "train_fraction") for i in _OF_QUALITY], dtype=np.int64)
#: Belief that a trial keeps a limit: the logit is intercept - slope x log(estimate / limit). Estimates are right within
#: a factor of about two (`space.feasibility`): a logistic of slope 2.4 is about as wide as a normal of deviation log 2.
_KEEPS = Coefficients.believed([0.0, 2.4], [1.5, 0.8])
#: Belief about how the two opinions on success, forest and limits, make one logit: intercept, and half of each.
_JOINED = Coefficients.believed([0.0, 0.5, 0.5], [1.0, 0.25, 0.25])
#: Deviations of predictions for a task never seen, before anything is known, and how many trials that is worth: time
#: and memory within a factor of about two, a rank anywhere in (0, 1).
_TIME_SD, _MEMORY_SD, _QUALITY_SD, _SD_TRIALS = 0.7, 0.5, 0.29, 5
#: How far forests of ranks are believed to be sharp enough as they are.
_SHARPNESS = Coefficients.believed([1.0], [0.3])
#: Times that a forest of times is grown anew with better guesses of the censored ones.
_CENSORED_ROUNDS = 2
_MIN_ROWS = 2
#: Steps of the ladder, and the scores that are expected of a task of which nothing is known.
_N_STEPS, _WORST, _BEST, _LADDER_SD = 11, 0.3, 0.8, 0.25


@dataclass(frozen=True, slots=True)
class LearnedOptions:
    """Constants of the predictors.

    Attributes:
        forest: how the forests grow.
        ranks: how the forest of quality grows while trials are few (up to `max_rows`): ranks are noisy, and with 100
            trees their order changes from seed to seed.
        checks: how those grow that are only to tell how good the forests are.
        n_folds: groups of tasks that are left out in turn for that.
        beta_scale: strength of the decay with the distance of a task.
        seed: of the forests.
    """

    forest: ForestOptions = field(default_factory=ForestOptions)
    ranks: ForestOptions = field(default_factory=lambda: ForestOptions(n_trees=300, feature_share=1.0))
    checks: ForestOptions = field(default_factory=lambda: ForestOptions(n_trees=40, max_rows=800))
    n_folds: int = 5
    beta_scale: float = 0.5
    seed: int = 0


def learn(lessons: Lessons, options: LearnedOptions | None = None) -> Predictors:
    """Learn from past trials; with none of them the estimates are taken at their word."""
    options = options or LearnedOptions()
    filling = Filling.of(lessons.rows)
    rows, folds = filling(lessons.rows), _folds(lessons.tasks, options)
    worked = lessons.worked == 1.0
    in_time = _learn_limit(rows[:, TIME_RATIO], lessons.timed_out, worked, lessons.weights)
    in_memory = _learn_limit(rows[:, MEMORY_RATIO], lessons.out_of_memory, worked | lessons.timed_out, lessons.weights)
    keeps = fits_limits(rows, in_time, in_memory)
    works, n_weighed, joined = _learn_success(rows, lessons, folds, keeps, options)
    return Predictors(
        n_lessons=int((np.isfinite(lessons.worked) | np.isfinite(lessons.log_time)).sum()),
        filling=filling,
        in_time=in_time,
        in_memory=in_memory,
        works=works,
        n_weighed=n_weighed,
        joined=joined,
        time=_learn_time(rows, lessons, folds, options),
        memory=_learn_factor(rows, lessons.log_memory - rows[:, MEMORY], lessons.weights, folds, options, _MEMORY_SD),
        quality=_learn_quality(rows, lessons, folds, options),
        ladder=learn_ladder(lessons),
    )


def _folds(tasks: Indices, options: LearnedOptions) -> Indices:
    """Fold of each trial: whole tasks, the largest first into the smallest fold; a single task is cut at random."""
    names, sizes = np.unique(tasks, return_counts=True)
    if len(names) < 2:
        return np.random.default_rng(options.seed).permutation(len(tasks)) % options.n_folds
    filled = np.zeros(min(options.n_folds, len(names)))
    fold_of: dict[int, int] = {}
    for name, size in sorted(zip(names.tolist(), sizes.tolist(), strict=True), key=lambda pair: -pair[1]):
        fold_of[name] = int(filled.argmin())
        filled[fold_of[name]] += size
    return np.asarray([fold_of[task] for task in tasks.tolist()], dtype=np.int64)


def _left_out(
    rows: Array, targets: Array, weights: Array, folds: Indices, options: LearnedOptions, signs: Indices | None = None
) -> Array:
    """Prediction of each trial by a forest that saw none of its task, (n,); NaN where nothing is left."""
    predicted = np.full(len(rows), np.nan)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        if train.sum() >= _MIN_ROWS:
            forest = Forest.grown(
                rows[train], targets[train], weights[train], options.checks, seed=options.seed, signs=signs
            )
            predicted[test] = forest.predict(rows[test])
    return predicted


def _learn_limit(ratio: Array, exceeded: Flags, kept: Flags, weights: Array) -> tuple[float, float]:
    """Intercept and slope of keeping a limit, from trials that exceeded it and trials that kept it."""
    seen = exceeded | kept
    design = np.column_stack([np.ones(int(seen.sum())), -ratio[seen]])
    found = logistic(design, kept[seen].astype(float), weights[seen], _KEEPS).mean
    return float(found[0]), max(float(found[1]), 0.0)


def _learn_success(
    rows: Array, lessons: Lessons, folds: Indices, keeps: Array, options: LearnedOptions
) -> tuple[Forest | None, float, tuple[float, ...]]:
    """The forest of success, what it weighs, and how its opinion and that of the limits are joined."""
    known = np.isfinite(lessons.worked)
    x, y, weights = rows[known], lessons.worked[known], lessons.weights[known]
    if len(y) < _MIN_ROWS:
        return None, 0.0, tuple(_JOINED.mean.tolist())
    signs = np.zeros(rows.shape[1], dtype=np.int64)
    signs[[TIME_RATIO, MEMORY_RATIO]] = -1
    opinion = _left_out(x, y, weights, folds[known], options, signs)
    told, n_weighed = np.isfinite(opinion), float(weights.sum())
    design = opinions(opinion[told], keeps[known][told], n_weighed)
    joined = logistic(design, y[told], weights[told], _JOINED).mean
    forest = Forest.grown(x, y, weights, options.forest, seed=options.seed, signs=signs)
    return forest, n_weighed, (float(joined[0]), max(float(joined[1]), 0.0), max(float(joined[2]), 0.0))


def _learn_factor(
    rows: Array, factors: Array, weights: Array, folds: Indices, options: LearnedOptions, sd: float
) -> Quantity:
    """A forest for the logarithm of actual over estimated, with the deviation that it has on tasks it has not seen."""
    known = np.isfinite(factors)
    x, y, w = rows[known], factors[known], weights[known]
    if len(y) < _MIN_ROWS:
        return Quantity(None, float(y.sum()) / 2, 1.0, sd)  # a single trial is believed by half
    errors = y - _left_out(x, y, w, folds[known], options)
    forest = Forest.grown(x, y, w, options.forest, seed=options.seed)
    return Quantity(forest, float(np.average(y, weights=w)), 1.0, _spread(errors, w, sd))


def _spread(errors: Array, weights: Array, usual: float) -> float:
    """Deviation of errors, pulled towards the usual one while they are few."""
    told = np.isfinite(errors)
    squares = float((weights[told] * errors[told] ** 2).sum()) + _SD_TRIALS * usual**2
    return math.sqrt(squares / (float(weights[told].sum()) + _SD_TRIALS))


def _learn_time(rows: Array, lessons: Lessons, folds: Indices, options: LearnedOptions) -> Quantity:
    """Time above its estimate; a time-out took longer than its limit, by how much follows from the others.

    A censored value is replaced by its expectation above the limit under the current prediction (Buckley & James 1979).
    """
    factors = lessons.log_time - rows[:, TIME]
    known = np.isfinite(factors)
    censored = lessons.timed_out & known
    found = _learn_factor(rows, np.where(censored, np.nan, factors), lessons.weights, folds, options, _TIME_SD)
    for _ in range(_CENSORED_ROUNDS if censored.any() else 0):
        expected = factors.copy()
        expected[censored] = mean_above(found.predict(rows[censored])[0], found.sd, factors[censored])
        forest = Forest.grown(rows[known], expected[known], lessons.weights[known], options.forest, seed=options.seed)
        found = Quantity(forest, found.base, 1.0, found.sd)
    return found


def mean_above(mean: Array, sd: float, limit: Array) -> Array:
    """Mean of a normal variable that is known to be above a limit, (n,).

    >>> mean_above(np.array([0.0]), 1.0, np.array([0.0])).round(3).tolist()
    [0.798]
    """
    from scipy.special import log_ndtr

    z = (limit - mean) / sd
    hazard = np.exp(-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - log_ndtr(-z))
    return np.asarray(np.maximum(mean + sd * hazard, limit))


def _learn_quality(rows: Array, lessons: Lessons, folds: Indices, options: LearnedOptions) -> Quantity:
    """Ranks; a task with few scores says less about them, and forests that boast are flattened."""
    known = np.isfinite(lessons.quality)
    y = lessons.quality[known]
    if len(y) < _MIN_ROWS:
        return Quantity(None, 0.5, 1.0, _QUALITY_SD)
    counts = np.bincount(lessons.tasks[known])[lessons.tasks[known]]
    x, w = rows[known][:, _OF_QUALITY], lessons.weights[known] * counts / (counts + _SD_TRIALS)
    guessed = _left_out(x, y, w, folds[known], options, _SIGNS_OF_QUALITY) - 0.5
    told = np.isfinite(guessed)
    noise = _QUALITY_SD**2 / w[told]
    slope = float(np.clip(linear(guessed[told][:, None], y[told] - 0.5, noise, _SHARPNESS).mean[0], 0.0, 1.5))
    grow = options.ranks if len(y) <= options.forest.max_rows else options.forest
    forest = Forest.grown(x, y, w, grow, seed=options.seed, signs=_SIGNS_OF_QUALITY)
    return Quantity(forest, 0.5, slope, _spread(y - 0.5 - slope * guessed, w, _QUALITY_SD), _OF_QUALITY)


def learn_ladder(lessons: Lessons) -> Ladder:
    """Mean scores of the tasks at equally spaced ranks; tasks with few scores, and far ones, count less."""
    steps = np.linspace(0.0, 1.0, _N_STEPS)
    usual = np.linspace(_WORST, _BEST, _N_STEPS)
    rungs, weights = [usual], [1.0]
    for task in np.unique(lessons.tasks):
        members = (lessons.tasks == task) & np.isfinite(lessons.scores)
        if members.any():
            rungs.append(np.quantile(lessons.scores[members], steps))
            n = float(members.sum())
            weights.append(float(lessons.weights[members].mean()) * n / (n + _SD_TRIALS) * len(usual))
    table, shares = np.asarray(rungs), np.asarray(weights) / np.sum(weights)
    mean = shares @ table
    between = float(shares[1:] @ ((table[1:] - mean) ** 2).mean(axis=1)) + float(shares[0]) * _LADDER_SD**2
    return Ladder(tuple(mean.tolist()), math.sqrt(between))
