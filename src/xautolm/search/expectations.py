"""What is expected of a pipeline before this run tried anything like it: from experience, else from estimates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from xautolm.prior.anatomy import ModelBook
from xautolm.prior.costs import Setting
from xautolm.prior.physics import Physicist
from xautolm.prior.predictors import Predictors
from xautolm.records import Pipeline, TrialResult
from xautolm.search.proposals import Fits
from xautolm.space.params import Space

Array = npt.NDArray[np.float64]

#: Columns of `Expected.columns`.
N_EXPECTED = 4
#: Expected ranks are kept this far from the ends, whose normal scores are infinite.
_EDGE = 0.02
#: Probability of success where nothing is known but that the estimates fit.
_FITS_WORKS = 0.9
_NO_RESULTS: tuple[TrialResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of n pipelines.

    Attributes:
        rank: normal score of the expected rank in quality, larger is better; 0 without experience.
        p_ok: probability that the trial ends well.
        log_time: logarithm of the seconds.
        log_memory: logarithm of the peak memory in MiB.
    """

    rank: Array
    p_ok: Array
    log_time: Array
    log_memory: Array

    @classmethod
    def joined(cls, parts: Sequence[Expected]) -> Expected:
        """Expectations one after the other."""
        names = ("rank", "p_ok", "log_time", "log_memory")
        joined = [np.concatenate([getattr(part, name) for part in parts] or [np.zeros(0)]) for name in names]
        return cls(*joined)

    @property
    def columns(self) -> Array:
        """As inputs of the models of this run's own trials, all of the order of 1, (n, 4)."""
        p_ok = np.clip(self.p_ok, 0.01, 0.99)
        success = np.log(p_ok / (1.0 - p_ok))
        return np.column_stack([self.rank / 2.0, success / 4.0, self.log_time / 4.0, self.log_memory / 4.0])


class Expectations:
    """Expectations of one run.

    Args:
        space: of the run.
        fits: estimates of time and memory.
        predictors: learned from experience; None = cold.
        setting: of the run; needed with predictors.
    """

    def __init__(
        self, space: Space, fits: Fits, predictors: Predictors | None = None, setting: Setting | None = None
    ) -> None:
        self._fits, self._predictors, self._setting = fits, predictors, setting
        self._physicist = Physicist(ModelBook(space.models.values()))

    @property
    def is_warm(self) -> bool:
        """Whether they rest on experience."""
        return self._predictors is not None

    def of(self, pipelines: Sequence[Pipeline]) -> Expected:
        """What is expected of pipelines."""
        if self._predictors is None or self._setting is None:
            rows = [self._estimated(pipeline) for pipeline in pipelines]
            table = np.asarray(rows, dtype=float).reshape(-1, N_EXPECTED)
            return Expected(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
        forecast = self._predictors.predict([self._physicist.row(pipeline, self._setting) for pipeline in pipelines])
        rank = np.asarray(ndtri(np.clip(forecast.quality, _EDGE, 1.0 - _EDGE)), dtype=float)
        return Expected(rank, forecast.p_ok, forecast.log_time, forecast.log_memory)

    def votes(self, pipelines: Sequence[Pipeline]) -> Array:
        """Ranks in [0, 1] that pipelines may have by experience, (n, n_votes); all the same without experience."""
        if self._predictors is None or self._setting is None:
            return np.full((len(pipelines), 1), 0.5)
        return self._predictors.votes([self._physicist.row(pipeline, self._setting) for pipeline in pipelines])

    def _estimated(self, pipeline: Pipeline) -> tuple[float, float, float, float]:
        verdict = self._fits(pipeline, _NO_RESULTS)
        return 0.0, _FITS_WORKS, _log(verdict.time_s), _log(verdict.memory_mib)


def _log(value: float) -> float:
    """Logarithm of a positive figure, of what an estimate can be at most for an infinite one."""
    return math.log(min(max(value, 1e-2), 1e7))
