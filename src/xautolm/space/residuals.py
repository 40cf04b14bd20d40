"""How far estimates are off: a factor and a spread, from pairs of what was measured and what was estimated."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xautolm.records import Cost, Pipeline


@dataclass(frozen=True, slots=True)
class Residual:
    """What log(measured / estimated) is expected to be.

    Attributes:
        log_factor: its centre; estimates are corrected by exp(log_factor).
        log_sd: its standard deviation.
        weight: trials that this belief is worth.
    """

    log_factor: float
    log_sd: float
    weight: float

    @property
    def factor(self) -> float:
        """What a measurement is expected to be, over its estimate."""
        return math.exp(self.log_factor)

    def upper(self, estimate: float, quantile_sds: float) -> float:
        """What a corrected estimate stays below.

        Args:
            estimate: corrected by `factor` already.
            quantile_sds: standard deviations above the centre, e.g. 1.645 for 95 %.
        """
        return estimate * math.exp(quantile_sds * self.log_sd)

    def after(self, logs: Sequence[float], *, max_weight: float = math.inf) -> Residual:
        """The belief after more pairs: their median and squares join in proportion to the trials behind each.

        The median ignores outliers; the spread does not.

        Args:
            logs: log(measured / estimated), finite.
            max_weight: what the result is worth at most, so that later trials can still correct it.

        >>> usual = Residual(0.0, 0.35, 3)
        >>> usual.after([]) == usual
        True
        >>> learned = usual.after([0.7] * 27)
        >>> round(learned.log_factor, 2), round(learned.log_sd, 2), learned.weight
        (0.63, 0.24, 30)
        """
        if not logs:
            return self
        weight = self.weight + len(logs)
        centre = (len(logs) * statistics.median(logs) + self.weight * self.log_factor) / weight
        squares = sum((value - centre) ** 2 for value in logs)
        own = self.log_sd**2 + (self.log_factor - centre) ** 2
        return Residual(centre, math.sqrt((squares + self.weight * own) / weight), min(weight, max_weight))


#: Before anything is known. Memory: 17 development pipelines of `benchmarks.estimates` (0.08; docs/log.md, 2026-11-28).
#: Time: on a shared two-core machine log-deviations were 0.3 to 0.4.
USUAL_MEMORY = Residual(0.0, 0.12, 6)
USUAL_TIME = Residual(0.0, 0.35, 3)
#: What experience is worth at most, in trials of the run.
MAX_WEIGHT = 20.0


def log_ratios(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """log(measured / estimated) of pairs; those that are not positive and finite are left out.

    >>> log_ratios([(2.0, 1.0), (0.0, 1.0), (1.0, math.inf)])
    [0.6931471805599453]
    """
    return [math.log(a / e) for a, e in pairs if 0 < a < math.inf and 0 < e < math.inf]


def is_whole(pipeline: Pipeline, cost: Cost) -> bool:
    """Whether a trial's peak is that of its pipeline: a head on features that an earlier one cached needs far less."""
    return "learning_rate" in pipeline.params or cost.cached_s <= 0


def memory_key(method: str, dominant: str) -> str:
    """The group of trials whose memory is off by the same factor: of a method, by what needs most."""
    return f"memory {method} {dominant}"


def time_key(method: str) -> str:
    """The group of trials whose time is off by the same factor."""
    return f"time {method}"
