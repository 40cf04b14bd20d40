"""The strategies that a replay compares. Each is made anew for every search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.replaying.opponents import Opponent, any_study, nsga_penalised, tpe_caught, tpe_penalised
from benchmarks.replaying.simulate import OBJECTIVES
from benchmarks.replaying.tasks import RecordedTask
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.evidence import Rated, rate
from xautolm.prior.knn import KnnOptions, build_knn_prior
from xautolm.prior.learned import learn
from xautolm.prior.lessons import Lessons
from xautolm.prior.model import SearchModel
from xautolm.prior.physics import Physicist
from xautolm.prior.presets import PRESETS
from xautolm.prior.reference import build_reference_prior, cold_prior
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience, Pipeline, Prior, TrialError, TrialResult
from xautolm.search.loop import Asker, Stopper
from xautolm.search.nspe import SEARCH_DEFECTS, Nspe, NspeOptions
from xautolm.search.plan import FitCheck
from xautolm.search.ranking import Ranking
from xautolm.search.samplers import Proposing
from xautolm.search.stopping import FrontStopper, past_gains
from xautolm.space.params import Space


@dataclass(frozen=True, slots=True)
class Searcher:
    """A strategy at work on one task: who proposes, and who stops running trials (None = nobody)."""

    asker: Asker
    stopper: Stopper | None = None


#: (task, experiences of the other tasks, seed) -> a searcher.
Strategy = Callable[[RecordedTask, Sequence[Experience], int], Searcher]


class Uniform:
    """Draws every decision uniformly."""

    def __init__(self, space: Space, seed: int) -> None:
        self._model, self._seed = SearchModel.uniform(space), seed

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        return self._model.sample(np.random.default_rng([self._seed, trial_id]))

    def tell(self, result: TrialResult) -> None: ...


class Direct:
    """Our proposals without a study around them.

    Args:
        proposing: makes them.
    """

    def __init__(self, proposing: Proposing) -> None:
        self.proposing = proposing

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        return self.proposing.propose(trial_id, seen, running)

    def tell(self, result: TrialResult) -> None: ...


def rated(task: RecordedTask, others: Sequence[Experience], options: DistanceOptions | None = None) -> list[Rated]:
    """The experiences of the other tasks with their distances."""
    options = options or DistanceOptions()
    return rate(others, task.profile, task.fingerprint, task.sketch, options=options)


def random_search(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Uniform draws, nothing checked."""
    return Searcher(Uniform(task.plan.space, seed))


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


def _alone(opponent: Opponent) -> Strategy:
    def strategy(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
        return Searcher(opponent(task, others, seed))

    return strategy


def ours_cold(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search without experience."""
    return _ranking(task, cold_prior(), (), seed)


def ours_warm(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the learned prior."""
    return _ranking(task, learned_prior(task, tuple(others)), others, seed)


def ours_reference(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the published warm start of its model, without predictors."""
    prior = build_reference_prior(task.plan.space, rated(task, others, DistanceOptions.published()))
    return _ranking(task, prior, others, seed)


def ours_misled(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with a store in which scores and failures are reversed."""
    return _ranking(task, learned_prior(task, reversed_experiences(tuple(others))), (), seed)


def ours_misled_reference(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the published warm start of its model from such a store, without predictors."""
    return ours_reference(task, reversed_experiences(tuple(others)), seed)


def ours_misled_knn(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the repaired kNN warm start from such a store, without predictors."""
    lies = reversed_experiences(tuple(others))
    return _ranking(task, build_knn_prior(task.plan.space, rated(task, lies), task.profile), (), seed)


def _ranking(task: RecordedTask, prior: Prior, others: Sequence[Experience], seed: int) -> Searcher:
    ranking = Ranking(task.plan, prior, task.profile, OBJECTIVES, seed=seed)
    past = past_gains(e.result for e in others)
    return Searcher(Direct(ranking), FrontStopper(OBJECTIVES, (), past))


_PRIORS: dict[tuple[str, int], Prior] = {}


def learned_prior(task: RecordedTask, others: tuple[Experience, ...]) -> Prior:
    """The prior as a run builds it; made once per task and set of experiences."""
    key = (task.name, hash(tuple((e.run_id, e.result.trial_id, e.result.status) for e in others)))
    if key not in _PRIORS:
        near, score = rated(task, others), OBJECTIVES[0]
        predictors = learn(Lessons.of(near, Physicist(ModelBook(task.plan.space.models.values())), score))
        prior = build_reference_prior(task.plan.space, near)
        _PRIORS[key] = replace(prior, kind="learned", learned=predictors.to_dict())
    return _PRIORS[key]


@lru_cache(maxsize=8)
def _lie(name: str) -> Any:
    return TrialError("oom_train", f"made up for {name}")


def reversed_experiences(experiences: tuple[Experience, ...]) -> tuple[Experience, ...]:
    """What worked well failed, what failed worked, and the order of the scores is turned round inside each task."""
    by_task: dict[str, list[float]] = {}
    for experience in experiences:
        if experience.result.is_ok:
            by_task.setdefault(experience.dataset_id, []).append(experience.result.scores["f1"])
    found = []
    for experience in experiences:
        result, scores = experience.result, sorted(by_task[experience.dataset_id])
        if not result.is_ok:
            lie = replace(result, status="ok", error=None, scores={"f1": scores[-1], "accuracy": scores[-1]})
        elif result.scores["f1"] >= scores[len(scores) // 2]:
            lie = replace(result, status="oom", error=_lie(experience.dataset_id), scores={}, curve=())
        else:
            turned = scores[0] + scores[-1] - result.scores["f1"]
            lie = replace(result, scores={"f1": turned, "accuracy": turned}, curve=())
        found.append(replace(experience, result=lie))
    return tuple(found)


#: Name -> strategy, in the order of the table.
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "random": random_search,
        "TPE caught": _alone(tpe_caught),
        "TPE penalised": _alone(tpe_penalised),
        "NSGA-II penalised": _alone(nsga_penalised),
        "published cold": published_cold,
        "published cold + filter": published_filtered,
        "published warm (high)": published_warm,
        "knn-25 published": _knn(KnnOptions(as_published=True)),
        "knn-25 repaired": _knn(KnnOptions()),
        "ours for any study": _alone(any_study),
        "ours cold": ours_cold,
        "ours warm (reference)": ours_reference,
        "ours warm": ours_warm,
        "ours (adversarial store)": ours_misled,
    }
)
