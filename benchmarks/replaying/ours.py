"""Our search as strategies of the replay: cold, warm, and warm from a store that lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from benchmarks.replaying.searcher import Searcher, rated
from benchmarks.replaying.simulate import OBJECTIVES
from benchmarks.replaying.tasks import RecordedTask
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.evidence import Rated
from xautolm.prior.knn import build_knn_prior
from xautolm.prior.learned import learn
from xautolm.prior.lessons import Lessons
from xautolm.prior.physics import Physicist
from xautolm.prior.reference import build_reference_prior, cold_prior
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience, Pipeline, Prior, TrialError, TrialResult
from xautolm.search.experience_sampler import ExperienceSampler
from xautolm.search.ranking import Ranking
from xautolm.search.samplers import Proposing, StudyAsker
from xautolm.search.stopping import FrontStopper, past_gains


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


def any_study(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """`ExperienceSampler` on the unfiltered space, cold: it knows nothing of costs or models."""
    sampler = ExperienceSampler(space=task.plan.space, seed=seed)
    return Searcher(StudyAsker(sampler, task.plan.space, OBJECTIVES))


def ours_cold(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search without experience."""
    return ranking(task, cold_prior(), (), seed)


def ours_warm(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the learned prior."""
    return ranking(task, learned_prior(task, tuple(others)), others, seed)


def ours_reference(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the published warm start of its model, without predictors."""
    prior = build_reference_prior(task.plan.space, rated(task, others, DistanceOptions.published()))
    return ranking(task, prior, others, seed)


def ours_misled(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with a store in which scores and failures are reversed."""
    return ranking(task, learned_prior(task, reversed_experiences(tuple(others))), (), seed)


def ours_misled_reference(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the published warm start of its model from such a store, without predictors."""
    return ours_reference(task, reversed_experiences(tuple(others)), seed)


def ours_misled_knn(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Our search with the repaired kNN warm start from such a store, without predictors."""
    lies = reversed_experiences(tuple(others))
    return ranking(task, build_knn_prior(task.plan.space, rated(task, lies), task.profile), (), seed)


def ranking(
    task: RecordedTask, prior: Prior, others: Sequence[Experience], seed: int, kind: type[Ranking] = Ranking
) -> Searcher:
    """Our search from a prior; curves of `others` tell the stopper how scores grow."""
    past = past_gains(e.result for e in others)
    proposing = kind(task.plan, prior, task.profile, OBJECTIVES, seed=seed)
    return Searcher(Direct(proposing), FrontStopper(OBJECTIVES, (), past))


_PRIORS: dict[tuple[str, str, int], Prior] = {}


def learned_prior(
    task: RecordedTask, others: tuple[Experience, ...], near: Sequence[Rated] | None = None, *, label: str = ""
) -> Prior:
    """The prior as a run builds it; made once per task, set of experiences and label.

    Args:
        task: to search.
        others: experiences of other tasks.
        near: the same with distances of another kind; None = as a run measures them.
        label: names that kind.
    """
    key = (label, task.name, hash(tuple((e.run_id, e.result.trial_id, e.result.status) for e in others)))
    if key not in _PRIORS:
        near = rated(task, others) if near is None else near
        predictors = learn(Lessons.of(near, Physicist(ModelBook(task.plan.space.models.values())), OBJECTIVES[0]))
        prior = build_reference_prior(task.plan.space, near)
        _PRIORS[key] = replace(prior, kind="learned", learned=predictors.to_dict())
    return _PRIORS[key]


def _subset(experience: Experience) -> tuple[str, str]:
    return experience.dataset_id, experience.fingerprint


@lru_cache(maxsize=8)
def _lie(name: str) -> Any:
    return TrialError("oom_train", f"made up for {name}")


def reversed_experiences(experiences: tuple[Experience, ...]) -> tuple[Experience, ...]:
    """What worked well failed, what failed worked, and the order of the scores is turned round inside each task."""
    by_task: dict[tuple[str, str], list[float]] = {}
    for experience in experiences:
        if experience.result.is_ok:
            by_task.setdefault(_subset(experience), []).append(experience.result.scores["f1"])
    found = []
    for experience in experiences:
        result, scores = experience.result, sorted(by_task[_subset(experience)])
        if not result.is_ok:
            lie = replace(result, status="ok", error=None, scores={"f1": scores[-1], "accuracy": scores[-1]})
        elif result.scores["f1"] >= scores[len(scores) // 2]:
            lie = replace(result, status="oom", error=_lie(experience.dataset_id), scores={}, curve=())
        else:
            turned = scores[0] + scores[-1] - result.scores["f1"]
            lie = replace(result, scores={"f1": turned, "accuracy": turned}, curve=())
        found.append(replace(experience, result=lie))
    return tuple(found)
