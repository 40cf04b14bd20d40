"""The memory baseline of the published comparison (`method.md` section 2), as published and repaired.

It replays the k nearest good experiences and k failures with equal learning rates, through the same model and updates
as the warm start (`reference`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.pareto import minimised
from xautolm.prior.evidence import Rated
from xautolm.prior.reference import (
    DEFECTS,
    F1_AND_TIME,
    Evidence,
    ReferenceOptions,
    cold_prior,
    neighbours,
    replay,
    teaching,
)
from xautolm.prior.utility import utilities
from xautolm.records import Objective, Prior, Profile
from xautolm.space.params import Space

Array = npt.NDArray[np.float64]

#: How much distance and goodness count in the choice of successes (published).
_DISTANCE_SHARE, _GOODNESS_SHARE = 0.7, 0.3


@dataclass(frozen=True, slots=True)
class KnnOptions:
    """Constants of the baseline.

    Attributes:
        k: successes, and failures (published 25 and 50).
        objectives: what good means.
        weights: one per objective.
        as_published: raw features and raw seconds, the farthest failures, and all defects of the warm start, instead of
            the distances of the prior, the utility inside a task, the nearest failures, and none of them.
        default_share: as in `ReferenceOptions`; without effect as published.
    """

    k: int = 25
    objectives: tuple[Objective, ...] = F1_AND_TIME
    weights: tuple[float, ...] = (0.5, 0.5)
    as_published: bool = False
    default_share: float = 0.5

    @property
    def replayed(self) -> ReferenceOptions:
        """How experiences are replayed."""
        defects = DEFECTS if self.as_published else frozenset[int]()
        return ReferenceOptions(objectives=self.objectives, default_share=self.default_share, defects=defects)


def build_knn_prior(space: Space, rated: Sequence[Rated], profile: Profile, options: KnnOptions | None = None) -> Prior:
    """Warm the cold model of a space with the nearest experiences.

    Args:
        space: the space of the run.
        rated: past experiences with the distances of their tasks.
        profile: of the current task and machine.
        options: constants of the baseline.

    Returns:
        The warm prior with its neighbours; a cold one when no experience changed the model.
    """
    options = options or KnnOptions()
    model, used = replay(space, nearest_evidence(rated, profile, options), options.replayed)
    if not used:
        return cold_prior()
    return Prior("knn", len(used), 1.0, model.to_dict(), neighbours(used))


def nearest_evidence(rated: Sequence[Rated], profile: Profile, options: KnnOptions) -> list[Evidence]:
    """The k best successes and the k failures that teach, with their learning rates; arguments as above."""
    evidence = teaching(rated, options.replayed)
    raw = _raw_distances(evidence, profile) if options.as_published else [item.distance for item in evidence]
    distance = _scaled(np.asarray(raw, dtype=float))
    return [*_successes(evidence, distance, options), *_failures(evidence, distance, options)]


def _successes(evidence: Sequence[Evidence], distance: Array, options: KnnOptions) -> list[Evidence]:
    """The k best successes by distance and goodness, each with the rate 1 / their number."""
    places = [i for i, item in enumerate(evidence) if item.is_positive]
    if not places:
        return []
    members = [evidence[i].experience for i in places]
    if options.as_published:
        badness = _scaled(_raw_badness(minimised([e.result for e in members], options.objectives), options.weights))
    else:
        utility = utilities(members, options.objectives, options.weights)
        badness = np.asarray([1.0 - utility[id(e)] for e in members])
    score = _DISTANCE_SHARE * distance[places] + _GOODNESS_SHARE * badness
    nearest = [evidence[places[i]] for i in np.argsort(score, kind="stable")[: options.k]]
    return [_with_rate(item, 1.0 / len(nearest)) for item in nearest]


def _failures(evidence: Sequence[Evidence], distance: Array, options: KnnOptions) -> list[Evidence]:
    """The k nearest failures (published: the farthest), each with the rate -1 / their number."""
    places = [i for i, item in enumerate(evidence) if not item.is_positive]
    order = np.argsort(-distance[places] if options.as_published else distance[places], kind="stable")
    chosen = [evidence[places[i]] for i in order[: options.k]]
    return [_with_rate(item, -1.0 / len(chosen)) for item in chosen]


def _with_rate(item: Evidence, alpha: float) -> Evidence:
    return Evidence(item.rated, item.handles, item.is_positive, alpha)


def _raw_distances(evidence: Sequence[Evidence], profile: Profile) -> list[float]:
    """Euclidean distance of the raw features and embeddings, one behind the other; unknown ones count as equal."""
    point = _features(profile)
    known: dict[int, float] = {}
    for item in evidence:
        other = item.experience.profile
        if id(other) not in known:
            row = _features(other)
            shared = point.keys() & row.keys()
            known[id(other)] = float(np.sqrt(sum((row[name] - point[name]) ** 2 for name in shared)))
    return [known[id(item.experience.profile)] for item in evidence]


def _features(profile: Profile) -> Mapping[str, float]:
    semantic = {f"semantic.{i}": value for i, value in enumerate(profile.semantic or ())}
    named = {**profile.task, **{f"system.{name}": value for name, value in profile.system.items()}, **semantic}
    return {name: float(value) for name, value in named.items() if np.isfinite(value)}


def _raw_badness(costs: Array, weights: Sequence[float]) -> Array:
    """Weighted distance of each objective from the best value ever seen, in raw units: seconds swamp the rest."""
    shares = np.asarray(weights, dtype=float) / float(np.sum(weights))
    return np.asarray((costs - costs.min(axis=0)) @ shares)


def _scaled(values: Array) -> Array:
    """Values on [0, 1]; equal ones become 0.

    >>> _scaled(np.array([2.0, 4.0, 3.0])).tolist(), _scaled(np.array([2.0, 2.0])).tolist()
    ([0.0, 1.0, 0.5], [0.0, 0.0])
    """
    if len(values) == 0:
        return values
    low, span = values.min(), values.max() - values.min()
    return np.asarray((values - low) / span) if span > 0 else np.zeros(len(values))
