"""The published warm start (`method.md` 1.3-1.10), by default with its defects repaired.

Experiences of similar tasks push the cold model: successes towards their decisions, by their utility inside
their own run; failures away from the decisions that caused them; both less with growing distance of the task.
Which of the published defects are kept is an option, so that what they cost can be measured one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from xautolm.pareto import minimised
from xautolm.prior.blame import blamed
from xautolm.prior.evidence import Rated
from xautolm.prior.model import SearchModel
from xautolm.prior.portfolio import SIZE as PORTFOLIO_SIZE
from xautolm.prior.portfolio import portfolio
from xautolm.prior.published import COLLAPSING, SHARED_MODELS, UNBOUNDED
from xautolm.prior.similarity import DistanceOptions
from xautolm.prior.utility import Utility, utilities
from xautolm.records import Experience, Neighbour, Objective, Prior
from xautolm.space.params import Space

#: Published defects by their numbers in `method.md` section 8, besides those of `prior.published`: decisions that do
#: not resolve are drawn at random and reinforced; any failure speaks against every decision; fronts mix tasks.
REINFORCES_NOISE, BLAMES_ALL, POOLS_FRONTS = 4, 6, 8
#: All defects that the warm start can be run with. (2, rates that grow with the number of experiences, are the fixed
#: rates of the options; 13 and 16 belong to the search, `search.nspe`.)
DEFECTS = frozenset({UNBOUNDED, COLLAPSING, REINFORCES_NOISE, BLAMES_ALL, SHARED_MODELS, POOLS_FRONTS})

#: What the utility of a success is made of (published default), each with half of the weight.
F1_AND_TIME = (Objective("f1", "maximize"), Objective("time", "minimize"))


@dataclass(frozen=True, slots=True)
class ReferenceOptions:
    """Constants of the published warm start; defaults are the published adaptive configuration (presets: `presets`).

    A rate is fixed with an infinite mass, and adaptive with an infinite largest rate.

    Attributes:
        distance: how profiles are compared when experiences are read for it (`evidence.nearest`).
        k_positive: successes used, nearest first; None = all.
        k_negative: failures used, nearest first; None = all.
        objectives: what the utility of a success is made of.
        utility_weights: one per objective, relative to their sum.
        utility: formula of the utility.
        beta_scale: strength of the decay with distance; 0 = distance does not count.
        beta: the decay itself; None = from `beta_scale`.
        positive_mass: learning rates of all successes sum to at most this (published limit L+ = 1).
        negative_mass: learning rates of all failures sum to at most this (published limit L- = -1).
        max_positive_alpha: largest rate of one success (published fixed rate): a few cannot decide alone.
        max_negative_alpha: largest rate of one failure (published fixed rate).
        n_starts: pipelines of the nearest tasks that are tried first (published 0).
        default_share: weight that the cold model gives to known-good values before it is warmed (published 0); without
            effect on beliefs that are as published.
        defects: published defects to keep, of `DEFECTS`.
        seed: of the random decisions of defect 4.
    """

    distance: DistanceOptions = field(default_factory=DistanceOptions.published)
    k_positive: int | None = None
    k_negative: int | None = None
    objectives: tuple[Objective, ...] = F1_AND_TIME
    utility_weights: tuple[float, ...] = (0.5, 0.5)
    utility: Utility = "weighted_sum"
    beta_scale: float = 0.5
    beta: float | None = None
    positive_mass: float = 1.0
    negative_mass: float = 1.0
    max_positive_alpha: float = 0.05
    max_negative_alpha: float = 0.02
    n_starts: int = PORTFOLIO_SIZE
    default_share: float = 0.5
    defects: frozenset[int] = frozenset()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.defects <= DEFECTS:
            raise ValueError(f"`defects` must be among {sorted(DEFECTS)}, got {sorted(self.defects)}")

    @property
    def has_published_beliefs(self) -> bool:
        return bool(self.defects & {UNBOUNDED, COLLAPSING, SHARED_MODELS})


@dataclass(frozen=True, slots=True)
class Evidence:
    """An experience that teaches something: with which learning rate, and about which decisions.

    Attributes:
        rated: the experience and how far its task is.
        handles: the decisions that it speaks about; None = all of them.
        is_positive: whether it is a success.
        alpha: learning rate: positive for a success, negative for a failure.
    """

    rated: Rated
    handles: frozenset[str] | None
    is_positive: bool
    alpha: float = 0.0

    @property
    def experience(self) -> Experience:
        return self.rated.experience

    @property
    def distance(self) -> float:
        return self.rated.distance


def cold_prior() -> Prior:
    """The prior of a run that starts from nothing."""
    return Prior(kind="none", n_experiences=0, weight=0.0)


def build_reference_prior(space: Space, rated: Sequence[Rated], options: ReferenceOptions | None = None) -> Prior:
    """Warm the cold model of a space with past experience.

    Args:
        space: the space of the run; decisions of an experience that it does not offer are skipped.
        rated: past experiences with the distances of their tasks (`evidence.nearest`); leaving out data sets is the
            caller's choice.
        options: constants of the method.

    Returns:
        The warm prior with its neighbours; a cold one when no experience changed the model.
    """
    options = options or ReferenceOptions()
    model, used = replay(space, weighed(rated, options), options)
    if not used:
        return cold_prior()
    successes = [(item.experience, item.distance) for item in used if item.is_positive]
    starts = portfolio(space, successes, options.objectives[0], options.n_starts)
    return Prior("reference", len(used), 1.0, model.to_dict(), neighbours(used), starts)


def weighed(rated: Sequence[Rated], options: ReferenceOptions | None = None) -> list[Evidence]:
    """The experiences that teach something, with their learning rates, largest first (the published order).

    Experiences with the same rate come in the order in which they were made.
    """
    options = options or ReferenceOptions()
    selected = _select(teaching(rated, options), options)
    alphas = _alphas(selected, options)
    evidence = [replace(item, alpha=alpha) for item, alpha in zip(selected, alphas, strict=True)]
    return sorted(evidence, key=lambda item: (-item.alpha, *_made(item.experience)))


def replay(space: Space, evidence: Sequence[Evidence], options: ReferenceOptions) -> tuple[SearchModel, list[Evidence]]:
    """Move the cold model by one piece of evidence after the other.

    Returns:
        The warm model, and the evidence that changed it.
    """
    model, used = cold_model(space, options), list[Evidence]()
    rng = np.random.default_rng(options.seed) if REINFORCES_NOISE in options.defects else None
    for item in evidence:
        pipeline = item.experience.result.pipeline
        if rng is not None:
            pipeline = model.completed(pipeline, rng)
        warmer = model.updated([pipeline], item.alpha, item.handles)
        if warmer is not model:
            model = warmer
            used.append(item)
    return model, used


def cold_model(space: Space, options: ReferenceOptions) -> SearchModel:
    """The model before any experience."""
    if options.has_published_beliefs:
        return SearchModel.published(space, options.defects)
    return SearchModel.informed(space, options.default_share)


def teaching(rated: Sequence[Rated], options: ReferenceOptions) -> list[Evidence]:
    """Successes with all metrics, and failures that are the pipeline's own."""
    evidence = []
    for item in rated:
        result = item.experience.result
        has_metrics = bool(np.isfinite(minimised([result], options.objectives)).all())
        if result.is_ok and has_metrics:
            evidence.append(Evidence(item, None, is_positive=True))
        elif BLAMES_ALL in options.defects:
            evidence.append(Evidence(item, None, is_positive=False))
        elif handles := blamed(result):
            evidence.append(Evidence(item, handles, is_positive=False))
    return evidence


def _select(evidence: Sequence[Evidence], options: ReferenceOptions) -> list[Evidence]:
    """The nearest successes and the nearest failures."""
    nearest = sorted(evidence, key=lambda item: (item.distance, *_made(item.experience)))
    positive = [item for item in nearest if item.is_positive][: options.k_positive]
    return positive + [item for item in nearest if not item.is_positive][: options.k_negative]


def _alphas(evidence: Sequence[Evidence], options: ReferenceOptions) -> list[float]:
    """Learning rate of each piece of evidence, (n,)."""
    n_positive = sum(item.is_positive for item in evidence)
    n_negative = len(evidence) - n_positive
    rise = min(options.positive_mass / max(n_positive, 1), options.max_positive_alpha)
    fall = min(options.negative_mass / max(n_negative, 1), options.max_negative_alpha)
    utility = utilities_of([item.experience for item in evidence if item.is_positive], options)
    weights = decay(np.asarray([item.distance for item in evidence]), options.beta_scale, options.beta)
    rates = [rise * utility[id(item.experience)] if item.is_positive else -fall for item in evidence]
    return [rate * weight for rate, weight in zip(rates, weights.tolist(), strict=True)]


def _made(experience: Experience) -> tuple[str, str, int]:
    return experience.created_at, experience.run_id, experience.result.trial_id


def decay(distance: npt.NDArray[np.float64], beta_scale: float, beta: float | None = None) -> npt.NDArray[np.float64]:
    """Weight of each experience, exp(-beta d) with beta = beta_scale / (max(std, 1e-6) + mean) if not given, (n,).

    >>> decay(np.array([2.0, 2.0]), 0.5).round(3).tolist()
    [0.607, 0.607]
    """
    if len(distance) == 0:
        return distance
    if beta is None:
        beta = beta_scale / (max(float(distance.std()), 1e-6) + float(distance.mean()))
    return np.asarray(np.exp(-beta * distance))


def utilities_of(experiences: Sequence[Experience], options: ReferenceOptions) -> dict[int, float]:
    """Utility of each success: id() of the experience -> value in [0, 1]."""
    is_pooled = POOLS_FRONTS in options.defects and options.utility != "weighted_sum"
    return utilities(experiences, options.objectives, options.utility_weights, options.utility, is_pooled=is_pooled)


def neighbours(used: Sequence[Evidence]) -> tuple[Neighbour, ...]:
    """One line per data set, nearest first."""
    by_dataset: dict[str, list[Evidence]] = {}
    for item in used:
        by_dataset.setdefault(item.experience.dataset_id, []).append(item)
    lines = []
    for dataset_id, items in by_dataset.items():
        closest = min(items, key=lambda item: item.distance)
        n_positive = sum(item.is_positive for item in items)
        lines.append(Neighbour(dataset_id, closest.distance, n_positive, len(items) - n_positive, closest.rated.groups))
    return tuple(sorted(lines, key=lambda n: (n.distance, n.dataset_id)))
