"""Our warm search without one of its parts, to show what each contributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.replaying.ours import learned_prior, ours_warm, ranking, reversed_experiences
from benchmarks.replaying.searcher import Searcher, rated
from benchmarks.replaying.tasks import RecordedTask
from xautolm.experience.starter import PUBLISHED, read_part
from xautolm.prior.evidence import Rated
from xautolm.prior.guard import Trust
from xautolm.records import Experience, Pipeline, Prior, TrialResult
from xautolm.search.ranking import Ranking


class NearestFirst(Ranking):
    """The ranking that begins with the cheapest default and the best of the nearest tasks, unseen by the predictors."""

    def _opening(self, defaults: Sequence[Pipeline], prior: Prior) -> tuple[Pipeline, ...]:
        return self._model.starts


class Unguarded(Ranking):
    """The ranking with a prior that is believed from beginning to end as it is before the first trial."""

    def trust(self, seen: Sequence[TrialResult]) -> Trust:
        return Trust() if self._expectations.is_warm else super().trust(seen)


def no_failures(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The store holds no failed trials."""
    worked = tuple(experience for experience in others if experience.result.is_ok)
    return ranking(task, learned_prior(task, worked), worked, seed)


def no_distance(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """All past tasks count as if they were the current one."""
    near = [Rated(experience, 0.0, {}) for experience in others]
    return ranking(task, learned_prior(task, tuple(others), near, label="no distance"), others, seed)


def no_system(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Nothing is known of the machines."""
    bare = replace(task, profile=replace(task.profile, system={}))
    blind = tuple(replace(e, profile=replace(e.profile, system={})) for e in others)
    return ranking(bare, learned_prior(bare, blind, rated(bare, blind), label="no system"), blind, seed)


def no_opening(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The first trials are those of the published prior."""
    return ranking(task, learned_prior(task, tuple(others)), others, seed, NearestFirst)


def with_published(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The store holds the published evaluations of other data sets too, as the store that comes with the package."""
    published = tuple(e for e in read_part(PUBLISHED) if e.dataset_id != task.name)
    return ranking(task, learned_prior(task, (*others, *published)), others, seed)


def no_guard(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """The prior is believed whatever comes."""
    return ranking(task, learned_prior(task, tuple(others)), others, seed, Unguarded)


def no_guard_misled(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """A prior from a store in which scores and failures are reversed is believed whatever comes."""
    return ranking(task, learned_prior(task, reversed_experiences(tuple(others))), (), seed, Unguarded)


def no_stopping(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Every trial runs to its end."""
    return replace(ours_warm(task, others, seed), stopper=None)
