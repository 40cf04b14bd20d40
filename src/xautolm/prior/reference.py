"""The published warm start (`method.md` 1.3-1.10), with its defects repaired.

Experiences of similar tasks push the cold model: successes towards their decisions, by their utility inside
their own run; failures away from the decisions that caused them; both less with growing distance of the task.
"""

from __future__ import annotations

import math
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
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience, Neighbour, Objective, Prior
from xautolm.space.params import Space

#: What the utility of a success is made of (published default), each with half of the weight.
F1_AND_TIME = (Objective("f1", "maximize"), Objective("time", "minimize"))


@dataclass(frozen=True, slots=True)
class ReferenceOptions:
    """Constants of the published warm start; defaults are the published adaptive configuration.

    Attributes:
        distance: how profiles are compared when experiences are read for it (`evidence.nearest`).
        k_positive: successes used, nearest first; None = all.
        k_negative: failures used, nearest first; None = all.
        objectives: what the utility of a success is made of.
        utility_weights: one per objective, relative to their sum.
        beta_scale: strength of the decay with distance; 0 = distance does not count.
        positive_mass: learning rates of all successes sum to at most this (published limit L+ = 1).
        negative_mass: learning rates of all failures sum to at most this (published limit L- = -1).
        max_positive_alpha: largest rate of one success (published fixed rate): a few cannot decide alone.
        max_negative_alpha: largest rate of one failure (published fixed rate).
        n_starts: pipelines of the nearest tasks that are tried first (published 0).
        default_share: weight that the cold model gives to known-good values before it is warmed (published 0).
    """

    distance: DistanceOptions = field(default_factory=DistanceOptions.published)
    k_positive: int | None = None
    k_negative: int | None = None
    objectives: tuple[Objective, ...] = F1_AND_TIME
    utility_weights: tuple[float, ...] = (0.5, 0.5)
    beta_scale: float = 0.5
    positive_mass: float = 1.0
    negative_mass: float = 1.0
    max_positive_alpha: float = 0.05
    max_negative_alpha: float = 0.02
    n_starts: int = PORTFOLIO_SIZE
    default_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """An experience that teaches something: with which learning rate, and about which decisions.

    Attributes:
        rated: the experience and how far its task is.
        handles: the decisions that a failure speaks against; None = all decisions, of a success.
        alpha: learning rate: positive for a success, negative for a failure.
    """

    rated: Rated
    handles: frozenset[str] | None
    alpha: float = 0.0

    @property
    def is_positive(self) -> bool:
        return self.handles is None

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
    return Prior("reference", len(used), 1.0, model.to_dict(), _neighbours(used), starts)


def weighed(rated: Sequence[Rated], options: ReferenceOptions | None = None) -> list[Evidence]:
    """The experiences that teach something, with their learning rates, largest first (the published order).

    Experiences with the same rate come in the order in which they were made.
    """
    options = options or ReferenceOptions()
    selected = _select(_gather(rated, options), options)
    alphas = _alphas(selected, options)
    evidence = [replace(item, alpha=alpha) for item, alpha in zip(selected, alphas, strict=True)]
    return sorted(evidence, key=lambda item: (-item.alpha, *_made(item.experience)))


def replay(space: Space, evidence: Sequence[Evidence], options: ReferenceOptions) -> tuple[SearchModel, list[Evidence]]:
    """Move the cold model by one piece of evidence after the other.

    Returns:
        The warm model, and the evidence that changed it.
    """
    model, used = SearchModel.informed(space, options.default_share), list[Evidence]()
    for item in evidence:
        warmer = model.updated([item.experience.result.pipeline], item.alpha, item.handles)
        if warmer is not model:
            model = warmer
            used.append(item)
    return model, used


def _gather(rated: Sequence[Rated], options: ReferenceOptions) -> list[Evidence]:
    """Successes with all metrics, and failures that are the pipeline's own."""
    evidence = []
    for item in rated:
        result = item.experience.result
        handles = None if result.is_ok else blamed(result)
        has_metrics = bool(np.isfinite(minimised([result], options.objectives)).all())
        if handles or (handles is None and has_metrics):
            evidence.append(Evidence(item, handles))
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
    utility = utilities([item.experience for item in evidence if item.is_positive], options)
    weights = decay(np.asarray([item.distance for item in evidence]), options.beta_scale)
    rates = [rise * utility[id(item.experience)] if item.is_positive else -fall for item in evidence]
    return [rate * weight for rate, weight in zip(rates, weights.tolist(), strict=True)]


def _made(experience: Experience) -> tuple[str, str, int]:
    return experience.created_at, experience.run_id, experience.result.trial_id


def decay(distance: npt.NDArray[np.float64], beta_scale: float) -> npt.NDArray[np.float64]:
    """Weight of each experience, exp(-beta d) with beta = beta_scale / (max(std, 1e-6) + mean), (n,).

    >>> decay(np.array([2.0, 2.0]), 0.5).round(3).tolist()
    [0.607, 0.607]
    """
    if len(distance) == 0:
        return distance
    beta = beta_scale / (max(float(distance.std()), 1e-6) + float(distance.mean()))
    return np.asarray(np.exp(-beta * distance))


def utilities(experiences: Sequence[Experience], options: ReferenceOptions) -> dict[int, float]:
    """Published `weighted_sum`: each objective scaled to [0, 1] inside its run, so that tasks are comparable.

    Returns:
        id() of the experience -> utility; 0.5 where a run's values do not differ.
    """
    runs: dict[str, list[Experience]] = {}
    for experience in experiences:
        runs.setdefault(experience.run_id, []).append(experience)
    weights = np.asarray(options.utility_weights) / math.fsum(options.utility_weights)
    utility: dict[int, float] = {}
    for members in runs.values():
        costs = minimised([e.result for e in members], options.objectives)
        worst, best = costs.max(axis=0), costs.min(axis=0)
        span = np.where(worst > best, worst - best, 1.0)
        shares = np.where(worst > best, (worst - costs) / span, 0.5)
        values = np.clip(shares @ weights, 0.0, 1.0)
        utility |= {id(e): float(u) for e, u in zip(members, values, strict=True)}
    return utility


def _neighbours(used: Sequence[Evidence]) -> tuple[Neighbour, ...]:
    """One line of evidence per data set, nearest first."""
    by_dataset: dict[str, list[Evidence]] = {}
    for item in used:
        by_dataset.setdefault(item.experience.dataset_id, []).append(item)
    neighbours = []
    for dataset_id, items in by_dataset.items():
        closest = min(items, key=lambda item: item.distance)
        n_positive = sum(item.is_positive for item in items)
        neighbours.append(
            Neighbour(dataset_id, closest.distance, n_positive, len(items) - n_positive, closest.rated.groups)
        )
    return tuple(sorted(neighbours, key=lambda n: (n.distance, n.dataset_id)))
