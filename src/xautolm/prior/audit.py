"""Would the prior have helped? Each task in turn is left out, and its own experiences are the judge.

For each task the prior is built from the experiences of all other tasks, as for a new run on it. Every pipeline that
was tried on the task gets the prior's opinion: the log of how much likelier the warm model draws it than the cold
one. (The log-probability itself would also count how many choices a method has.) A prior helps when the fifth of the
pipelines that it likes best turned out better than the pipelines as a whole.

    for line in audit(store):                  # one `Audit` per task
        print(line.dataset_id, line.verdict)   # and `line.to_dict()` for JSON
    audit_summary(lines)                       # counts of the verdicts, mean difference in utility
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xautolm.experience.groups import ExperienceGroup
from xautolm.pareto import minimised
from xautolm.prior.evidence import LIMIT, Rated, Source, load_rated, rate_groups
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import ReferenceOptions, build_reference_prior, utilities_of
from xautolm.prior.similarity import is_same_data
from xautolm.records import FAILURES, Experience, Prior
from xautolm.space.observed import observed_space
from xautolm.space.params import Space

Array = npt.NDArray[np.float64]
Verdict = Literal["helped", "hurt", "neutral", "alone"]

#: The share of a task's pipelines that the prior is judged by.
TOP_SHARE = 0.2
#: Resamples of the bootstrap, and the share of them that an interval holds.
N_RESAMPLES = 1_000
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Audit:
    """What the prior of all other tasks would have done for one task.

    Scores are None where they cannot be told: no failure or no success to tell apart, no success among the top fifth.

    Attributes:
        n: experiences of the task that count: those with a score, and failures.
        n_ok: those with a score.
        n_learned: experiences of other tasks that changed the model.
        nearest: the other task that was nearest, and `distance` how far it was.
        auc: probability that the prior likes a success better than a failure; 0.5 = it cannot tell.
        spearman: rank correlation of the prior's opinion with F1 among the successes.
        utility: mean utility of all pipelines (half F1, half time, scaled inside their run; 0 for a failure), and
            `top_utility` of the top fifth.
        f1: mean F1 of the successes, and `top_f1` of those in the top fifth.
        failure_share: share of failures, and `top_failure_share` in the top fifth.
        gain: `top_utility` less `utility`; `low` and `high` are the ends of its bootstrap interval.
        verdict: `helped` when the whole interval is above 0, `hurt` when it is below, `neutral` between, `alone` when
            there is no other task to learn from.
    """

    dataset_id: str
    n: int
    n_ok: int
    n_learned: int
    nearest: str | None
    distance: float | None
    auc: float | None
    spearman: float | None
    utility: float | None
    top_utility: float | None
    f1: float | None
    top_f1: float | None
    failure_share: float | None
    top_failure_share: float | None
    gain: float
    low: float
    high: float
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def audit(
    store: Source,
    kind: str = "text-classification",
    *,
    options: ReferenceOptions | None = None,
    build: Callable[[Space, Sequence[Rated]], Prior] | None = None,
    limit: int = LIMIT,
    seed: int = 0,
) -> list[Audit]:
    """Leave out each task of a store in turn, with all data that overlap with it, and judge its prior.

    Args:
        store: an `ExperienceStore`.
        kind: task kind.
        options: constants of the reference prior; its distance decides what is near for any prior.
        build: makes the prior from the space and the rated experiences; None = the reference prior.
        limit: experiences that a prior reads at most, and that a task is judged by.
        seed: of the bootstrap.

    Returns:
        One line per `dataset_id`, in alphabetical order.

    Raises:
        StoreError: the database failed.
    """
    options = options or ReferenceOptions()
    build = build or (lambda space, rated: build_reference_prior(space, rated, options))
    tasks: dict[str, list[ExperienceGroup]] = {}
    for group in store.groups(kind):
        tasks.setdefault(group.dataset_id, []).append(group)
    lines = []
    for dataset_id in sorted(tasks):
        own = tasks[dataset_id]
        others = [group for name in tasks if name != dataset_id for group in tasks[name] if not _is_part(group, own)]
        judged = store.load_groups(own, limit)
        # The machine and the data of most of the task's experiences stand for the new run.
        here = max(own, key=lambda group: group.n_experiences)
        near = rate_groups(others, here.profile, here.fingerprint, here.sketch, options.distance)
        rated = load_rated(store, near, limit)
        lines.append(_judge(dataset_id, judged, rated, build, options, np.random.default_rng(seed)))
    return lines


def audit_summary(lines: Sequence[Audit]) -> dict[str, Any]:
    """How often the prior helped, over all tasks, with the mean gain of those that were not alone."""
    counts = Counter(line.verdict for line in lines)
    gains = [line.gain for line in lines if line.verdict != "alone"]
    named = {verdict: counts[verdict] for verdict in ("helped", "hurt", "neutral", "alone")}
    return {"n_tasks": len(lines), **named, "mean_gain": fmean(gains) if gains else None}


def opinions(space: Space, prior: Prior, experiences: Sequence[Experience], default_share: float) -> Array:
    """Log of how much likelier the warm model draws each pipeline than the cold one, (n,); 0 under a cold prior."""
    if prior.model is None:
        return np.zeros(len(experiences))
    warm, cold = SearchModel.from_dict(prior.model), SearchModel.informed(space, default_share)
    pipelines = [experience.result.pipeline for experience in experiences]
    return np.asarray([warm.log_probability(pipeline) - cold.log_probability(pipeline) for pipeline in pipelines])


def area_under_curve(scores: Array, is_positive: npt.NDArray[np.bool_]) -> float | None:
    """Probability that a positive scores higher than a negative, ties counting half; None without one of them.

    >>> area_under_curve(np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, False, True, True]))
    0.8333333333333334
    """
    n_positive = int(is_positive.sum())
    n_negative = len(scores) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    excess = float(_ranks(scores)[is_positive].sum()) - n_positive * (n_positive + 1) / 2
    return excess / (n_positive * n_negative)


def rank_correlation(a: Array, b: Array) -> float | None:
    """Spearman's rho with mean ranks for ties; None when one side does not vary.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
    0.5
    """
    if len(set(a.tolist())) < 2 or len(set(b.tolist())) < 2:
        return None
    ranks = np.vstack([_ranks(a), _ranks(b)])
    return round(float(np.atleast_2d(np.corrcoef(ranks))[0, 1]), 12)


def top_membership(scores: Array, share: float = TOP_SHARE, counts: Array | None = None) -> Array:
    """How much of each row belongs to the best share, (n,), from 0 to 1; equal scores share what is left.

    Args:
        scores: (n,).
        share: of the rows.
        counts: how often each row is there (a resample); None = once.

    >>> top_membership(np.array([1.0, 3.0, 2.0, 2.0]), 0.5).tolist()
    [0.0, 1.0, 0.5, 0.5]
    """
    counts = np.ones(len(scores)) if counts is None else counts
    _, place = np.unique(-scores, return_inverse=True)  # place 0 = the best score
    sizes = np.bincount(place, weights=counts)
    before = np.cumsum(sizes) - sizes
    taken = np.clip(share * counts.sum() - before, 0.0, sizes)
    return np.asarray((taken / np.where(sizes > 0, sizes, 1.0))[place])


def _is_part(group: ExperienceGroup, own: Sequence[ExperienceGroup]) -> bool:
    return any(is_same_data(group.fingerprint, group.sketch, mine.fingerprint, mine.sketch) for mine in own)


def _judge(
    dataset_id: str,
    own: Sequence[Experience],
    rated: Sequence[Rated],
    build: Callable[[Space, Sequence[Rated]], Prior],
    options: ReferenceOptions,
    rng: np.random.Generator,
) -> Audit:
    judged = [e for e in own if e.result.status in FAILURES or _has_scores(e, options)]
    space = observed_space(item.result.pipeline for item in [*own, *(item.experience for item in rated)])
    prior = build(space, rated)
    scores = opinions(space, prior, judged, options.default_share)
    is_ok = np.asarray([experience.result.is_ok for experience in judged], dtype=bool)
    f1 = np.asarray([experience.result.scores.get("f1", np.nan) for experience in judged], dtype=float)
    known = utilities_of([e for e in judged if e.result.is_ok], options)
    utility = np.asarray([known.get(id(experience), 0.0) for experience in judged])
    top = top_membership(scores)
    gain, low, high = _gain(scores, utility, rng)
    nearest = rated[0] if rated else None
    return Audit(
        dataset_id=dataset_id,
        n=len(judged),
        n_ok=int(is_ok.sum()),
        n_learned=prior.n_experiences,
        nearest=nearest.experience.dataset_id if nearest else None,
        distance=nearest.distance if nearest else None,
        auc=area_under_curve(scores, is_ok),
        spearman=rank_correlation(scores[is_ok], f1[is_ok]),
        utility=_mean(utility, np.ones(len(judged))),
        top_utility=_mean(utility, top),
        f1=_mean(f1, is_ok.astype(float)),
        top_f1=_mean(f1, top * is_ok),
        failure_share=_mean(1.0 - is_ok, np.ones(len(judged))),
        top_failure_share=_mean(1.0 - is_ok, top),
        gain=gain,
        low=low,
        high=high,
        verdict=_verdict(low, high) if rated else "alone",
    )


def _has_scores(experience: Experience, options: ReferenceOptions) -> bool:
    result = experience.result
    return result.is_ok and bool(np.isfinite(minimised([result], options.objectives)).all())


def _gain(scores: Array, utility: Array, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean utility of the top fifth less that of all, and its bootstrap interval over the pipelines."""
    n = len(scores)
    if n == 0:
        return 0.0, 0.0, 0.0
    found = []
    for _ in range(N_RESAMPLES):
        counts = np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
        found.append(_difference(scores, utility, counts))
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(found, [tail, 1 - tail]).tolist()
    return _difference(scores, utility, np.ones(n)), low, high


def _difference(scores: Array, utility: Array, counts: Array) -> float:
    top = top_membership(scores, counts=counts) * counts
    return float(top @ utility / top.sum() - counts @ utility / counts.sum())


def _verdict(low: float, high: float) -> Verdict:
    return "helped" if low > 0 else "hurt" if high < 0 else "neutral"


def _mean(values: Array, weights: Array) -> float | None:
    counted = weights > 0
    return float(np.average(values[counted], weights=weights[counted])) if counted.any() else None


def _ranks(values: Array) -> Array:
    """Ranks from 1, equal values at their mean rank, (n,)."""
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[place])
