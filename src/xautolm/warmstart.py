"""What a run believes before its first trial: the past trials that count, and the prior that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xautolm.config import Settings
from xautolm.experience.starter import PUBLISHED, RECORDED, Starter, Together
from xautolm.experience.store import ExperienceStore
from xautolm.pareto import COSTS
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.evidence import LIMIT, Rated, nearest
from xautolm.prior.knn import build_knn_prior
from xautolm.prior.learned import learn
from xautolm.prior.lessons import Lessons
from xautolm.prior.physics import Physicist
from xautolm.prior.reference import ReferenceOptions, build_reference_prior, cold_prior
from xautolm.prior.residuals import learn_residuals
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Objective, Prior, Profile, Task
from xautolm.search.plan import Plan
from xautolm.search.stopping import past_gains
from xautolm.space.params import Space
from xautolm.space.residuals import Residual

#: Experiences that predictors are learned from at most, nearest tasks first, so that they cost seconds.
_LEARNED_LIMIT = 5_000
#: Experiences that estimates are compared with at most.
_COMPARED_LIMIT = 500


def past_trials(settings: Settings, store: ExperienceStore | None, task: Task, profile: Profile) -> list[Rated]:
    """The experiences that a run starts from, nearest tasks first; none for a cold run.

    Those that come with the package count beside those of the store.

    This data's own earlier runs count as distance 0.
    """
    if settings.prior == "none":
        return []
    return nearest(
        evidence_of(settings, store),
        task.kind,
        profile,
        task.fingerprint,
        task.sketch,
        options=distance_of(settings),
        exclude_datasets=settings.exclude_dataset,
        limit=_LEARNED_LIMIT if settings.prior == "learned" else LIMIT,
    )


def evidence_of(settings: Settings, store: ExperienceStore | None) -> Together:
    """The user's experiences, and those that come with the package, as far as the settings count them."""
    parts = (RECORDED, PUBLISHED) if settings.published else (RECORDED,)
    return Together(store, Starter(parts) if settings.starter else None)


def make_prior(settings: Settings, space: Space, rated: Sequence[Rated], profile: Profile) -> Prior:
    """The warm prior that past trials make, or a cold one."""
    if not rated:
        return cold_prior()
    prior = build_knn_prior(space, rated, profile) if settings.prior == "knn" else build_reference_prior(space, rated)
    if settings.prior == "learned":
        prior = with_predictors(prior, space, rated, settings.parsed_objectives)
    n_starter = sum(item.experience.source == "starter" for item in rated)
    return replace(prior, n_starter=n_starter, gains=past_gains(item.experience.result for item in rated))


def learned_residuals(plan: Plan, rated: Sequence[Rated], profile: Profile) -> dict[str, Residual]:
    """How far estimates were off in the nearest past trials."""
    book = ModelBook(plan.space.models.values())
    return learn_residuals([item.experience for item in rated[:_COMPARED_LIMIT]], book, profile, plan.speed)


def distance_of(settings: Settings) -> DistanceOptions:
    """How the prior of a run compares tasks: `reference` as published, the others on the fixed scale."""
    return ReferenceOptions().distance if settings.prior == "reference" else DistanceOptions()


def with_predictors(prior: Prior, space: Space, rated: Sequence[Rated], objectives: Sequence[Objective]) -> Prior:
    """The prior with predictors of success, cost and quality, learned from past trials."""
    score = next((objective for objective in objectives if objective.name not in COSTS), Objective("f1", "maximize"))
    predictors = learn(Lessons.of(rated, Physicist(ModelBook(space.models.values())), score))
    n_experiences = max(prior.n_experiences, predictors.n_lessons)
    if n_experiences == 0:
        return prior
    return replace(prior, kind="learned", n_experiences=n_experiences, weight=1.0, learned=predictors.to_dict())
