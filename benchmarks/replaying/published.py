"""The published search and warm starts as strategies of the replay, as they were and repaired."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.replaying.searcher import Searcher, Strategy, rated
from benchmarks.replaying.simulate import OBJECTIVES
from benchmarks.replaying.tasks import RecordedTask
from xautolm.prior.knn import KnnOptions, build_knn_prior
from xautolm.prior.presets import PRESETS
from xautolm.prior.reference import build_reference_prior, cold_prior
from xautolm.records import Experience
from xautolm.search.nspe import SEARCH_DEFECTS, Nspe, NspeOptions
from xautolm.search.plan import FitCheck


def published_cold(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The published search from nothing, on the unfiltered space."""
    return Searcher(Nspe(task.plan.space, cold_prior(), OBJECTIVES, seed))


def published_filtered(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The published search from nothing, with our estimates of what fits."""
    return Searcher(Nspe(task.plan.space, cold_prior(), OBJECTIVES, seed, fits=FitCheck(task.plan)))


def published_warm(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The published warm start at its tuned "high" setting, with its defects."""
    options = PRESETS["liar", "high", "liar"].options()
    prior = build_reference_prior(task.plan.space, rated(task, others, options.distance), options)
    return Searcher(Nspe(task.plan.space, prior, OBJECTIVES, seed, options=NspeOptions(defects=SEARCH_DEFECTS)))


def _knn(options: KnnOptions) -> Strategy:
    def strategy(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
        prior = build_knn_prior(task.plan.space, rated(task, others), task.profile, options)
        return Searcher(Nspe(task.plan.space, prior, OBJECTIVES, seed))

    return strategy


knn_published = _knn(KnnOptions(as_published=True))
knn_repaired = _knn(KnnOptions())
