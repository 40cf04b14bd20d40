"""What was learned from past trials, as a thing that predicts: success, time, memory and quality of pipelines.

Made by `learned.learn`, kept in a run folder as JSON. Physics first, forests for the rest: whether a trial fits its
limits follows from estimates of time and memory, of which only offset and sharpness are learned; time and memory are
the estimates times a learned factor. Both hold outside of what was tried, where a forest alone knows nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xautolm.prior.forest import Forest
from xautolm.prior.physics import INPUTS, column
from xautolm.prior.regressions import logit, sigmoid

Array = npt.NDArray[np.float64]

TIME, MEMORY = column("log_time"), column("log_memory")
TIME_RATIO, MEMORY_RATIO = column("time_ratio"), column("memory_ratio")
#: Probability that a trial works of which nothing is known, and how many trials that belief is worth.
USUALLY_WORKS, _BELIEF_TRIALS = 0.8, 2.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of n pipelines; all arrays are (n,) and finite.

    Attributes:
        p_ok: probability that the trial ends well.
        log_time: logarithm of the seconds, with its deviation.
        log_memory: logarithm of the peak memory in MiB, with its deviation.
        quality: rank among the pipelines that are usually tried, in [0, 1], with its deviation.
    """

    p_ok: Array
    log_time: Array
    log_time_sd: Array
    log_memory: Array
    log_memory_sd: Array
    quality: Array
    quality_sd: Array


@dataclass(frozen=True)
class Quantity:
    """A forest for what an estimate leaves open.

    Attributes:
        forest: None when there was too little to learn from.
        base: what is predicted without a forest.
        slope: by how much the forest's deviations from `base` count.
        sd: deviation of a prediction for a task never seen.
        inputs: columns that the forest sees; empty = all.
    """

    forest: Forest | None
    base: float
    slope: float
    sd: float
    inputs: tuple[int, ...] = ()

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, (n,) each."""
        if self.forest is None:
            return np.full(len(rows), self.base), np.full(len(rows), self.sd)
        votes = self.forest.votes(rows[:, self.inputs] if self.inputs else rows)
        mean = self.base + self.slope * (votes.mean(axis=1) - self.base)
        return mean, np.sqrt(self.sd**2 + votes.var(axis=1) / votes.shape[1])

    def votes(self, rows: Array) -> Array:
        """What may be, (n, n_votes): each tree was grown from other trials. Without a forest one vote, the base."""
        if self.forest is None:
            return np.full((len(rows), 1), self.base)
        votes = self.forest.votes(rows[:, self.inputs] if self.inputs else rows)
        return self.base + self.slope * (votes - self.base)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        forest = self.forest.to_dict() if self.forest else None
        return {"forest": forest, "base": self.base, "slope": self.slope, "sd": self.sd, "inputs": list(self.inputs)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Quantity:
        forest = Forest.from_dict(value["forest"]) if value["forest"] else None
        return cls(forest, value["base"], value["slope"], value["sd"], tuple(value["inputs"]))


@dataclass(frozen=True)
class Filling:
    """Replaces unknown inputs.

    Attributes:
        medians: (n_inputs,) of what was known in the past; 0 for what never was.
        flagged: inputs that were unknown at times; each has a column that says so.
        log_limits: usual limits of time (seconds) and memory (MiB), in logarithms, for trials whose limit is unknown.
    """

    medians: tuple[float, ...]
    flagged: tuple[int, ...]
    log_limits: tuple[float, float]

    @classmethod
    def of(cls, rows: Array) -> Filling:
        """What past rows, (n, n_inputs), say about unknown inputs."""
        limits = _usual_limits(rows)
        rows = _with_limits(rows, limits)
        known = np.isfinite(rows)
        medians = [float(np.median(v[k])) if k.any() else 0.0 for v, k in zip(rows.T, known.T, strict=True)]
        at_times = known.any(axis=0) & ~known.all(axis=0)
        return cls(tuple(medians), tuple(np.flatnonzero(at_times).tolist()), limits)

    def __call__(self, rows: Array) -> Array:
        """Finite rows with the columns of `flagged` behind, (n, n_inputs + n_flagged)."""
        rows = _with_limits(rows, self.log_limits)
        unknown = ~np.isfinite(rows)
        filled = np.where(unknown, np.asarray(self.medians), rows)
        return np.hstack([filled, unknown[:, self.flagged].astype(float)])

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        limits = [None if math.isnan(limit) else limit for limit in self.log_limits]
        return {"medians": list(self.medians), "flagged": list(self.flagged), "log_limits": limits}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Filling:
        time, memory = (math.nan if limit is None else float(limit) for limit in value["log_limits"])
        return cls(tuple(value["medians"]), tuple(value["flagged"]), (time, memory))


def _usual_limits(rows: Array) -> tuple[float, float]:
    """Median logarithms of the limits; NaN when none is known."""
    limits = []
    for cost, ratio in ((TIME, TIME_RATIO), (MEMORY, MEMORY_RATIO)):
        values = rows[:, cost] - rows[:, ratio]
        known = values[np.isfinite(values)]
        limits.append(float(np.median(known)) if len(known) else math.nan)
    return limits[0], limits[1]


def _with_limits(rows: Array, log_limits: tuple[float, float]) -> Array:
    rows = rows.copy()
    for cost, ratio, limit in zip((TIME, MEMORY), (TIME_RATIO, MEMORY_RATIO), log_limits, strict=True):
        unknown = ~np.isfinite(rows[:, ratio])
        rows[unknown, ratio] = rows[unknown, cost] - limit
    return rows


@dataclass(frozen=True, slots=True)
class Ladder:
    """What score a rank stands for, where the run has no scores of its own yet.

    Attributes:
        scores: mean scores of past tasks at equally spaced ranks from 0 to 1, larger = better.
        sd: how much a task differs from that.
    """

    scores: tuple[float, ...]
    sd: float

    def at(self, quality: Array) -> Array:
        """Scores at ranks in [0, 1], (n,)."""
        return np.interp(quality, np.linspace(0.0, 1.0, len(self.scores)), self.scores)

    @property
    def slope(self) -> float:
        """Score from the lowest to the highest rank."""
        return self.scores[-1] - self.scores[0]


@dataclass(frozen=True)
class Predictors:
    """Everything that was learned; immutable, and the same after a way through JSON.

    Attributes:
        n_lessons: trials that taught something.
        filling: of unknown inputs.
        in_time: intercept and slope of the logit of keeping the time limit: intercept - slope x log(estimate / limit).
        in_memory: the same of the memory limit.
        works: forest of success; None when there was nothing to learn from.
        n_weighed: trials that it was grown from, by their weights.
        joined: intercept and weights that make one logit of the forest's and the limits'.
        time: what the logarithm of the time differs from its estimate by, and `memory` the same.
        quality: rank inside a task.
        ladder: what score a rank stands for.
    """

    n_lessons: int
    filling: Filling
    in_time: tuple[float, ...]
    in_memory: tuple[float, ...]
    works: Forest | None
    n_weighed: float
    joined: tuple[float, ...]
    time: Quantity
    memory: Quantity
    quality: Quantity
    ladder: Ladder

    def predict(self, rows: Sequence[Sequence[float]] | Array) -> Forecast:
        """Predict for pipelines.

        Args:
            rows: (n, n_inputs) physical inputs, NaN where unknown.
        """
        filled = self.filling(np.asarray(rows, dtype=float).reshape(-1, len(INPUTS)))
        time, time_sd = self.time.predict(filled)
        memory, memory_sd = self.memory.predict(filled)
        quality, quality_sd = self.quality.predict(filled)
        return Forecast(
            p_ok=self._p_ok(filled),
            log_time=filled[:, TIME] + time,
            log_time_sd=time_sd,
            log_memory=filled[:, MEMORY] + memory,
            log_memory_sd=memory_sd,
            quality=np.clip(quality, 0.0, 1.0),
            quality_sd=quality_sd,
        )

    def votes(self, rows: Sequence[Sequence[float]] | Array) -> Array:
        """Ranks in [0, 1] that pipelines may have inside the task, (n, n_votes); their mean is `Forecast.quality`.

        Args:
            rows: as for `predict`.
        """
        filled = self.filling(np.asarray(rows, dtype=float).reshape(-1, len(INPUTS)))
        return np.clip(self.quality.votes(filled), 0.0, 1.0)

    def _p_ok(self, filled: Array) -> Array:
        limits = fits_limits(filled, self.in_time, self.in_memory)
        forest = np.full(len(filled), USUALLY_WORKS) if self.works is None else self.works.predict(filled)
        return sigmoid(opinions(forest, limits, self.n_weighed) @ np.asarray(self.joined))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        quantities = {name: getattr(self, name).to_dict() for name in ("time", "memory", "quality")}
        return {
            "inputs": list(INPUTS),
            "n_lessons": self.n_lessons,
            "filling": self.filling.to_dict(),
            "in_time": list(self.in_time),
            "in_memory": list(self.in_memory),
            "works": self.works.to_dict() if self.works else None,
            "n_weighed": self.n_weighed,
            "joined": list(self.joined),
            "ladder": {"scores": list(self.ladder.scores), "sd": self.ladder.sd},
            **quantities,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Predictors:
        """Inverse of `to_dict`.

        Raises:
            ValueError: the predictors were made for other inputs.
        """
        if tuple(value["inputs"]) != INPUTS:
            raise ValueError("the predictors were learned by another version, with other inputs")
        return cls(
            n_lessons=value["n_lessons"],
            filling=Filling.from_dict(value["filling"]),
            in_time=tuple(value["in_time"]),
            in_memory=tuple(value["in_memory"]),
            works=Forest.from_dict(value["works"]) if value["works"] else None,
            n_weighed=value["n_weighed"],
            joined=tuple(value["joined"]),
            ladder=Ladder(tuple(value["ladder"]["scores"]), value["ladder"]["sd"]),
            **{name: Quantity.from_dict(value[name]) for name in ("time", "memory", "quality")},
        )


def read_predictors(value: Mapping[str, Any] | None) -> Predictors | None:
    """The predictors of a run folder; None when there are none, and when another version or a fault made them.

    A run that is resumed under a newer version goes on without them, as after a cold start.
    """
    try:
        return None if value is None else Predictors.from_dict(value)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return None


def fits_limits(rows: Array, in_time: Sequence[float], in_memory: Sequence[float]) -> Array:
    """Probability that a trial stays within both limits, (n,)."""
    chance = np.ones(len(rows))
    for ratio, coefficients in ((TIME_RATIO, in_time), (MEMORY_RATIO, in_memory)):
        chance = chance * sigmoid(coefficients[0] - coefficients[1] * rows[:, ratio])
    return chance


def opinions(forest: Array, limits: Array, n_weighed: float) -> Array:
    """Design of the joint logit: intercept, the forest's logit, the limits' logit, (n, 3).

    A forest of few trials is sure of everything, so its opinion is mixed with what is usual.
    """
    forest = (n_weighed * forest + _BELIEF_TRIALS * USUALLY_WORKS) / (n_weighed + _BELIEF_TRIALS)
    return np.column_stack([np.ones(len(forest)), logit(forest), logit(limits)])
