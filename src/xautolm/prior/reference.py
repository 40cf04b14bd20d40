"""The published warm start (`method.md` 1.3-1.10), with its defects repaired.

Experiences of similar tasks push the cold model: successes towards their decisions, by their utility inside
their own run; failures away from the decisions that caused them; both less with growing distance of the task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xautolm.pareto import minimised
from xautolm.prior.blame import blamed
from xautolm.prior.model import SearchModel
from xautolm.prior.portfolio import SIZE as PORTFOLIO_SIZE
from xautolm.prior.portfolio import portfolio
from xautolm.prior.similarity import DistanceOptions, distances, is_same_data
from xautolm.records import Experience, Neighbour, Objective, Prior, Profile
from xautolm.space.params import Space

#: What the utility of a success is made of (published default), each with half of the weight.
F1_AND_TIME = (Objective("f1", "maximize"), Objective("time", "minimize"))


@dataclass(frozen=True, slots=True)
class ReferenceOptions:
    """Constants of the published warm start; defaults are the published adaptive configuration.

    Attributes:
        distance: how profiles are compared.
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

    distance: DistanceOptions = field(default_factory=DistanceOptions)
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
class _Evidence:
    """An experience that may teach something, its distance, and the decisions that it speaks about."""

    experience: Experience
    distance: float
    handles: frozenset[str] | None  # None = all decisions, of a success

    @property
    def is_positive(self) -> bool:
        return self.handles is None


def cold_prior() -> Prior:
    """The prior of a run that starts from nothing."""
    return Prior(kind="none", n_experiences=0, weight=0.0)


def build_reference_prior(
    space: Space,
    experiences: Sequence[Experience],
    profile: Profile,
    *,
    fingerprint: str,
    sketch: Sequence[int],
    options: ReferenceOptions | None = None,
) -> Prior:
    """Warm the cold model of a space with past experience.

    Args:
        space: the space of the run; decisions of an experience that it does not offer are skipped.
        experiences: everything the store offers; leaving out data sets is the caller's choice.
        profile: meta-features of the current task and machine.
        fingerprint: of the current data; experiences of the same data count as distance 0.
        sketch: bottom-k sketch of the current data, for recognising its subsets.
        options: constants of the method.

    Returns:
        The warm prior with its neighbours; a cold one when no experience changed the model.
    """
    options = options or ReferenceOptions()
    evidence = _select(_gather(experiences, profile, fingerprint, sketch, options), options)
    model, used = SearchModel.informed(space, options.default_share), list[_Evidence]()
    for alpha, item in _by_alpha(evidence, options):
        warmer = model.updated([item.experience.result.pipeline], alpha, item.handles)
        if warmer is not model:
            model = warmer
            used.append(item)
    if not used:
        return cold_prior()
    successes = [(item.experience, item.distance) for item in used if item.is_positive]
    starts = portfolio(space, successes, options.objectives[0], options.n_starts)
    return Prior("reference", len(used), 1.0, model.to_dict(), _neighbours(used), starts)


def _gather(
    experiences: Sequence[Experience],
    profile: Profile,
    fingerprint: str,
    sketch: Sequence[int],
    options: ReferenceOptions,
) -> list[_Evidence]:
    """Experiences that teach something, with their distance (a run has one profile: measured once)."""
    runs = {experience.run_id: experience for experience in experiences}
    measured = distances(profile, [e.profile for e in runs.values()], options.distance)
    distance = {
        run_id: 0.0 if is_same_data(fingerprint, sketch, e.fingerprint, e.sketch) else float(value)
        for (run_id, e), value in zip(runs.items(), measured, strict=True)
    }
    evidence = []
    for experience in experiences:
        result = experience.result
        handles = None if result.is_ok else blamed(result)
        has_metrics = bool(np.isfinite(minimised([result], options.objectives)).all())
        if handles or (handles is None and has_metrics):
            evidence.append(_Evidence(experience, distance[experience.run_id], handles))
    return evidence


def _select(evidence: Sequence[_Evidence], options: ReferenceOptions) -> list[_Evidence]:
    """The nearest successes and the nearest failures."""
    nearest = sorted(evidence, key=lambda item: item.distance)
    positive = [item for item in nearest if item.is_positive][: options.k_positive]
    return positive + [item for item in nearest if not item.is_positive][: options.k_negative]


def _by_alpha(evidence: Sequence[_Evidence], options: ReferenceOptions) -> list[tuple[float, _Evidence]]:
    """Learning rate of each piece of evidence, largest first (the published order of replay)."""
    n_positive = sum(item.is_positive for item in evidence)
    n_negative = len(evidence) - n_positive
    rise = min(options.positive_mass / max(n_positive, 1), options.max_positive_alpha)
    fall = min(options.negative_mass / max(n_negative, 1), options.max_negative_alpha)
    utility = _utilities([item.experience for item in evidence if item.is_positive], options)
    weights = decay(np.asarray([item.distance for item in evidence]), options.beta_scale)
    rated = []
    for item, weight in zip(evidence, weights.tolist(), strict=True):
        rate = rise * utility[id(item.experience)] if item.is_positive else -fall
        rated.append((rate * weight, item))
    return sorted(rated, key=lambda pair: -pair[0])


def decay(distance: npt.NDArray[np.float64], beta_scale: float) -> npt.NDArray[np.float64]:
    """Weight of each experience, exp(-beta d) with beta = beta_scale / (max(std, 1e-6) + mean), (n,).

    >>> decay(np.array([2.0, 2.0]), 0.5).round(3).tolist()
    [0.607, 0.607]
    """
    if len(distance) == 0:
        return distance
    beta = beta_scale / (max(float(distance.std()), 1e-6) + float(distance.mean()))
    return np.asarray(np.exp(-beta * distance))


def _utilities(experiences: Sequence[Experience], options: ReferenceOptions) -> dict[int, float]:
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


def _neighbours(used: Sequence[_Evidence]) -> tuple[Neighbour, ...]:
    """One line of evidence per data set, nearest first."""
    by_dataset: dict[str, list[_Evidence]] = {}
    for item in used:
        by_dataset.setdefault(item.experience.dataset_id, []).append(item)
    neighbours = [
        Neighbour(
            dataset_id=dataset_id,
            distance=min(item.distance for item in items),
            n_positive=sum(item.is_positive for item in items),
            n_negative=sum(not item.is_positive for item in items),
        )
        for dataset_id, items in by_dataset.items()
    ]
    return tuple(sorted(neighbours, key=lambda n: (n.distance, n.dataset_id)))
