"""The default search: candidates from the probabilistic model, ranked by what they are expected to gain for their cost.

A candidate's worth is the expected improvement of the front, times the probability that the trial works, over a power
of its expected cost. Expectations come from past experience (`search.expectations`) as far as it is believed
(`prior.guard`); Gaussian processes on this run's own trials learn what is left. A cold run ranks the same way, with
estimates in the place of experience.

A proposal is a pure function of (seed, trial id, prior, the finished results it was shown, the pipelines that were
running), so that a run can be replayed. What is kept between proposals only saves time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from xautolm.pareto import COSTS, non_dominated_sort, quantity, satisfies
from xautolm.prior.costs import Setting
from xautolm.prior.encoding import Encoder, tree_of_space
from xautolm.prior.guard import COLD, Trust, standardised, trust
from xautolm.prior.model import SearchModel
from xautolm.prior.predictors import read_predictors
from xautolm.records import FAILURES, Constraint, Objective, Pipeline, Prior, Profile, TrialResult
from xautolm.search.expectations import N_EXPECTED, Expectations, Expected
from xautolm.search.improvement import expected_improvement
from xautolm.search.opening import opening
from xautolm.search.own_trials import Gap, Success
from xautolm.search.plan import FitCheck, Plan
from xautolm.search.proposals import Fits, Proposer, cheapest_first

Array = npt.NDArray[np.float64]

#: How far below the worst score the reference of the hypervolume lies, in standard deviations of the scores.
_BELOW_WORST = 0.3
#: Gain of a candidate that cannot improve anything: then the likely and cheap come first.
_LEAST_GAIN = 1e-12
#: Smallest scale of what a constraint bounds.
_LEAST_SCALE = 1e-3
#: Stands for the number of the trial in the random numbers of the opening.
_OPENING = 2**32 - 1
#: Scored trials from which on it is told whether the prior helped.
_MIN_AGREEMENT = 5


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """Constants of the search.

    Attributes:
        n_model: candidates drawn from the warm, updated model, at most: the less it is believed, the fewer.
        n_uniform: candidates drawn uniformly, at least.
        n_near: candidates near the pipelines of the front.
        n_opening: candidates drawn from the model, and as many drawn uniformly, for the first trials of a warm search.
        exploration: share of proposals that are uniform draws, not predicted to fail.
        cost_power: power of the expected cost that the gain is divided by. 1 spends a budget in trials on what is
            cheap; 0 forgets the cost.
        least_p: probability of success below which an exploring proposal is not made.
        own_trials: trials of this run whose opinion on success weighs as much as what was expected.
        liar_sd: how near to a running trial, in inputs scaled to 1, a candidate loses its worth.
        repeat_sd: the same for finished trials: another try of what is known but for a hair teaches nothing.
    """

    n_model: int = 40
    n_uniform: int = 40
    n_near: int = 40
    n_opening: int = 100
    exploration: float = 0.1
    cost_power: float = 0.5
    least_p: float = 0.5
    own_trials: int = 10
    liar_sd: float = 0.3
    repeat_sd: float = 0.03


@dataclass(frozen=True, slots=True)
class _Facts:
    """A finished trial: keys of its pipelines (what ran and what was asked for), expectations, row of inputs."""

    result: TrialResult
    keys: tuple[str, ...]
    expected: Expected
    row: Array


class Ranking:
    """Proposes pipelines.

    Args:
        plan: space, sizes, limits, speed and known-good defaults of the run.
        prior: what is believed before the first trial.
        profile: of the task and the machine.
        objectives: what the run optimises; the first one decides the recommendation.
        constraints: bounds that a pipeline should keep.
        seed: seed of the run.
        fits: feasibility of a pipeline, a pure function; None = by the estimates of the plan.
        options: constants of the search.
    """

    def __init__(
        self,
        plan: Plan,
        prior: Prior,
        profile: Profile,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        seed: int = 0,
        fits: Fits | None = None,
        options: RankingOptions | None = None,
    ) -> None:
        self.space, self.objectives = plan.space, tuple(objectives)
        self.options = options or RankingOptions()
        self._constraints, self._limits, self._seed = tuple(constraints), plan.limits, seed
        self._fits = fits or FitCheck(plan)
        predictors = read_predictors(prior.learned)
        setting = Setting(profile, plan.limits.time_s, plan.limits.memory_mib)
        self._expectations = Expectations(plan.space, self._fits, predictors, setting)
        self._model = Proposer(plan.space, prior, objectives, seed, self._fits, defaults=plan.defaults)
        self._uniform = SearchModel.uniform(plan.space)
        self._encoder = Encoder(tree_of_space(plan.space))
        n_own = int(self._encoder.groups.max()) + 1
        self._groups = np.concatenate([self._encoder.groups, n_own + np.arange(N_EXPECTED)])
        self._success = Success(self._groups)
        self._gaps: dict[str, Gap] = {}
        self._known: dict[int, _Facts] = {}
        self._order: tuple[TrialResult, ...] = ()
        self._trusted: tuple[Sequence[TrialResult], Trust] | None = None
        #: What is tried first, as trials 0, 1, ...
        self.starts = self._opening(plan.defaults, prior) if self._expectations.is_warm else self._model.starts

    def _opening(self, defaults: Sequence[Pipeline], prior: Prior) -> tuple[Pipeline, ...]:
        """The opening of a warm search, out of known-good pipelines and draws from the model and from everywhere.

        The cheapest default follows: whatever the prior says, one pipeline is tried that is known to work.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, _OPENING]))
        model = self._model.model_after(())
        drawn = [source.sample(rng) for source in (model, self._uniform) for _ in range(self.options.n_opening)]
        known = [pipeline for pipeline in (*defaults, *prior.starts) if self.space.contains(pipeline)]
        distinct = {pipeline.key: pipeline for pipeline in map(self._repaired, (*known, *drawn))}
        pool = [pipeline for pipeline in distinct.values() if self._fits(pipeline, ()).fits]
        told = self._expectations.of(pool), self._expectations.votes(pool)
        chosen = opening(pool, *told, self.options.cost_power)
        safe = cheapest_first(defaults, self._fits)[:1]
        return tuple({pipeline.key: pipeline for pipeline in (*chosen, *safe)}.values()) or self._model.starts

    def propose(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        """The pipeline to try as trial `trial_id`.

        Args:
            trial_id: number of the trial.
            seen: finished results in the order they finished.
            running: pipelines of the trials that run now.
        """
        if trial_id < len(self.starts):
            return self.starts[trial_id]
        self._follow(seen)
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, trial_id]))
        explores = rng.random() < self.options.exploration
        candidates = self._candidates(seen, running, rng, explores)
        if not candidates:  # every draw was tried before: the space is (nearly) used up
            return self._uniform.sample(rng)
        expected = self._expectations.of(candidates)
        rows = self._rows(candidates, expected)
        believed = self.trust(seen)
        p_ok = self._p_ok(rows, expected, seen, believed)
        if explores:
            order: list[int] = [i for i in rng.permutation(len(candidates)).tolist() if p_ok[i] >= self.options.least_p]
            order += [int(i) for i in np.argsort(-p_ok) if p_ok[i] < self.options.least_p]
        else:
            worth = self._worth(rows, expected, p_ok, seen, believed)
            if seen:
                worth *= apart(rows, self._own_rows(seen)[0], self.options.repeat_sd)
            if running:
                beside = self._rows(running, self._expectations.of(running))
                worth *= apart(rows, beside, self.options.liar_sd)
            order = [int(i) for i in np.argsort(-worth, kind="stable")]
        fitting = (i for i in order if self._fits(candidates[i], seen).fits)
        return candidates[next(fitting, order[0])]

    def trust(self, seen: Sequence[TrialResult]) -> Trust:
        """How far the prior is believed after some results."""
        if not self._expectations.is_warm:
            return COLD
        if self._trusted is None or self._trusted[0] is not seen:
            self._trusted = seen, self._trust_after(seen)
        return self._trusted[1]

    def _trust_after(self, seen: Sequence[TrialResult]) -> Trust:
        counted = [r for r in seen if r.status in FAILURES or r.status in ("ok", "stopped")]
        expected = Expected.joined([self._facts(result).expected for result in counted])
        values = np.asarray([self._score(r) if r.is_ok else math.nan for r in counted], dtype=float)
        has_score = np.isfinite(values)
        worked = [r.status not in FAILURES for r in counted]
        return trust(expected.rank[has_score], values[has_score], expected.p_ok, worked)

    def _follow(self, seen: Sequence[TrialResult]) -> None:
        """Forget what was learned from other results, or from these in another order."""
        if any(known is not result for known, result in zip(self._order, seen, strict=False)):
            self._order, self._success, self._gaps = (), Success(self._groups), {}
        if len(seen) > len(self._order):
            self._order = tuple(seen)

    def transfer(self, seen: Sequence[TrialResult]) -> dict[str, float | None]:
        """What the prior was worth so far, for `run.json`.

        Returns:
            `weight`: how far it is believed, in [0, 1]; `agreement`: rank correlation (Spearman) of expected and real
            quality of this run's trials, None without experience or below five scored trials; above 0 = it helped.
        """
        if not self._expectations.is_warm:
            return {}
        scored = [result for result in seen if result.is_ok and not math.isnan(self._score(result))]
        agreement = None
        if len(scored) >= _MIN_AGREEMENT:
            expected = [float(self._facts(result).expected.rank[0]) for result in scored]
            agreement = _spearman(expected, [self._score(result) for result in scored])
        return {"weight": round(self.trust(seen).weight, 4), "agreement": agreement}

    def _score(self, result: TrialResult) -> float:
        """The first objective that is a metric, larger = better; NaN without one."""
        score = next((o for o in self.objectives if o.name not in COSTS), None)
        if score is None:
            return math.nan
        return quantity(result, score.name) * (1.0 if score.direction == "maximize" else -1.0)

    def _candidates(
        self, seen: Sequence[TrialResult], running: Sequence[Pipeline], rng: np.random.Generator, explores: bool
    ) -> list[Pipeline]:
        """Distinct new pipelines with a pooling that their model has."""
        options = self.options
        drawn = [self._uniform.sample(rng) for _ in range(options.n_uniform)]
        if not explores:
            share = self.trust(seen).weight if self._expectations.is_warm else 1.0
            model = self._model.model_after(seen)
            n_model = round(options.n_model * share)
            drawn += [model.sample(rng) for _ in range(n_model)]
            drawn += [self._uniform.sample(rng) for _ in range(options.n_model - n_model)]
            drawn += self._near(seen, rng)
        tried = {key for result in seen for key in self._facts(result).keys}
        tried |= {pipeline.key for pipeline in (*running, *self.starts)}
        new = {pipeline.key: pipeline for pipeline in map(self._repaired, drawn)}
        return [pipeline for key, pipeline in new.items() if key not in tried]

    def _near(self, seen: Sequence[TrialResult], rng: np.random.Generator) -> list[Pipeline]:
        """Variations of the pipelines on the front, every second one of the best by the first objective."""
        points, results = self._points(seen)
        if not results:
            return []
        front = [results[i].pipeline for i in non_dominated_sort(points)[0]]
        best = results[int(points[:, 0].argmin())].pipeline
        found = []
        for i in range(self.options.n_near):
            base = best if i % 2 else front[int(rng.integers(len(front)))]
            if base.method in self.space.methods:
                found.append(self._uniform.varied(base, rng))
        return found

    def _repaired(self, pipeline: Pipeline) -> Pipeline:
        """The pipeline with its model's first pooling in place of one that the model does not have."""
        poolings = self.space.models[pipeline.model].poolings
        if pipeline.params.get("pooling", poolings[0]) in poolings:
            return pipeline
        return Pipeline(pipeline.model, pipeline.method, {**pipeline.params, "pooling": poolings[0]})

    def _rows(self, pipelines: Sequence[Pipeline], expected: Expected) -> Array:
        """Inputs of the models of this run's own trials: decisions, and what was expected, (n, n_columns)."""
        return np.hstack([self._encoder.encode([p.to_dict() for p in pipelines]), expected.columns])

    def _facts(self, result: TrialResult) -> _Facts:
        """What is needed of a finished trial at every proposal, computed once."""
        known = self._known.get(result.trial_id)
        if known is None or known.result is not result:
            pipelines = [result.pipeline] if result.requested is None else [result.pipeline, result.requested]
            expected = self._expectations.of([result.pipeline])
            row = self._rows([result.pipeline], expected)[0]
            known = _Facts(result, tuple(pipeline.key for pipeline in pipelines), expected, row)
            self._known[result.trial_id] = known
        return known

    def _own_rows(self, results: Sequence[TrialResult]) -> tuple[Array, Expected]:
        facts = [self._facts(result) for result in results]
        return np.stack([fact.row for fact in facts]), Expected.joined([fact.expected for fact in facts])

    def _p_ok(self, rows: Array, expected: Expected, seen: Sequence[TrialResult], believed: Trust) -> Array:
        """Probability that a trial works, from the prior and from this run's trials, by their weights."""
        share = believed.success if self._expectations.is_warm else 1.0
        counted = [r for r in seen if r.status in FAILURES or r.status in ("ok", "stopped")]
        worked = np.asarray([r.status not in FAILURES for r in counted], dtype=bool)
        prior = share * _logit(expected.p_ok)
        if worked.all():
            return _sigmoid(prior)
        own_rows, _ = self._own_rows(counted)
        own = _logit(self._success.predict(own_rows, worked, rows))
        own_share = len(counted) / (len(counted) + self.options.own_trials * share)
        return _sigmoid((1.0 - own_share) * prior + own_share * own)

    def _points(self, seen: Sequence[TrialResult]) -> tuple[Array, list[TrialResult]]:
        """Minimised objectives of the valid results, costs as logarithms, (n_valid, n_objectives)."""
        valid, rows = [], []
        for result in seen:
            values = [_minimised(result, objective) for objective in self.objectives]
            if result.is_ok and np.isfinite(values).all():
                valid.append(result)
                rows.append(values)
        return np.asarray(rows, dtype=float).reshape(len(rows), len(self.objectives)), valid

    def _worth(
        self, rows: Array, expected: Expected, p_ok: Array, seen: Sequence[TrialResult], believed: Trust
    ) -> Array:
        """Expected improvement x probability of success / cost^power, (n_candidates,)."""
        points, valid = self._points(seen)
        if len(valid) < 2:
            # Nothing to improve on yet: what ranks high is likely to work and is cheap.
            gain = np.exp(0.5 * believed.quality * expected.rank)
            return np.asarray(gain * p_ok / self._cost(expected.log_time))
        own_rows, own_expected = self._own_rows(valid)
        mean, deviation = np.empty((len(rows), points.shape[1])), np.empty((len(rows), points.shape[1]))
        log_time = expected.log_time
        for column, objective in enumerate(self.objectives):
            points[:, column] = _scaled(points[:, column], objective)
            gaps = points[:, column] - self._base(objective, own_expected, believed)
            gap = self._gaps.setdefault(objective.name, Gap(self._groups, is_offset=objective.name in COSTS))
            shift, deviation[:, column] = gap.predict(own_rows, gaps, rows, partial(self._first_gaps, column, seen))
            mean[:, column] = self._base(objective, expected, believed) + shift
            if objective.name == "time":
                log_time = mean[:, column]
        kept = [satisfies(result, self._constraints) for result in valid]
        gain = expected_improvement(mean, deviation, points[kept] if any(kept) else points, self._reference(points))
        if self._constraints:
            gain = gain * self._p_kept(rows, own_rows, valid)
        return np.asarray(np.maximum(gain, _LEAST_GAIN) * p_ok / self._cost(log_time))

    def _first_gaps(self, column: int, seen: Sequence[TrialResult], n: int) -> Array:
        """What an objective of the first n valid results differed by, when nothing was seen after them, (n,)."""
        last = self._points(seen)[1][n - 1]
        past = seen[: next(i for i, result in enumerate(seen) if result is last) + 1]
        points, valid = self._points(past)
        believed = self._trust_after(past) if self._expectations.is_warm else COLD
        objective = self.objectives[column]
        return _scaled(points[:, column], objective) - self._base(objective, self._own_rows(valid)[1], believed)

    def _p_kept(self, rows: Array, own_rows: Array, valid: Sequence[TrialResult]) -> Array:
        """Probability that candidates keep all constraints, each by a process of its own, (n_candidates,)."""
        chance = np.ones(len(rows))
        for constraint in self._constraints:
            values = np.asarray([_bounded(result, constraint) for result in valid], dtype=float)
            known = np.isfinite(values)
            if known.sum() < 2:
                continue
            scale = max(float(values[known].std()), _LEAST_SCALE)
            gap = self._gaps.setdefault(f"bound of {constraint.name}", Gap(self._groups, is_offset=True))
            mean, deviation = gap.predict(own_rows[known], values[known] / scale, rows, partial(_first, values[known]))
            chance *= ndtr(-mean / deviation)
        return np.asarray(chance)

    def _cost(self, log_time: Array) -> Array:
        """What a gain is divided by; below a second a trial costs its start, whatever its own time."""
        return np.asarray(np.exp(self.options.cost_power * np.maximum(log_time, 0.0)))

    def _reference(self, points: Array) -> Array:
        """Worst corner of the front's volume: a little worse than any score, the limit of a cost, (n_objectives,)."""
        worst = points.max(axis=0)
        for column, objective in enumerate(self.objectives):
            if objective.name not in COSTS:
                worst[column] += _BELOW_WORST
            limit = {"time": self._limits.time_s, "memory": self._limits.memory_mib}.get(objective.name)
            if limit is not None:
                worst[column] = max(worst[column], math.log(limit))
        return np.asarray(worst)

    def _base(self, objective: Objective, expected: Expected, believed: Trust) -> Array:
        """What is expected of an objective before this run's own trials count, minimised and scaled as they are."""
        if objective.name == "time":
            return expected.log_time
        if objective.name == "memory":
            return expected.log_memory
        if objective.name in COSTS:
            return np.zeros(len(expected.rank))
        return -(believed.intercept + believed.slope * expected.rank)


def apart(rows: Array, others: Array, sd: float) -> Array:
    """Share of each row's worth that is left beside the nearest of some others, (n,) in [0, 1].

    >>> apart(np.array([[0.0], [0.1], [1.0]]), np.array([[0.0], [5.0]]), 0.1).round(2).tolist()
    [0.0, 0.39, 1.0]
    """
    squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2.0 * rows @ others.T
    nearest = np.maximum(squares.min(axis=1), 0.0) / rows.shape[1]
    return np.asarray(1.0 - np.exp(-0.5 * nearest / sd**2))


def _first(values: Array, n: int) -> Array:
    return values[:n]


def _spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Rank correlation; None when one side does not vary."""
    ranks = [np.argsort(np.argsort(values, kind="stable")).astype(float) for values in (a, b)]
    if len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return round(float(np.corrcoef(ranks[0], ranks[1])[0, 1]), 4)


def _minimised(result: TrialResult, objective: Objective) -> float:
    value = quantity(result, objective.name)
    if objective.name in COSTS:
        value = math.log(max(value, 1e-3)) if math.isfinite(value) else math.nan
    return -value if objective.direction == "maximize" else value


def _bounded(result: TrialResult, constraint: Constraint) -> float:
    """By how much a result breaks a constraint, costs as logarithms; not positive when it keeps it."""
    value, bound = quantity(result, constraint.name), constraint.bound
    if constraint.name in COSTS:
        value, bound = (math.log(max(x, 1e-3)) if math.isfinite(x) else x for x in (value, bound))
    return bound - value if constraint.is_minimum else value - bound


def _scaled(values: Array, objective: Objective) -> Array:
    """Minimised values as the models see them: scores standardised, costs (logarithms) from one second or MiB up."""
    if objective.name in COSTS:
        return np.asarray(np.maximum(values, 0.0))
    return -standardised(-values)


def _logit(p: Array) -> Array:
    clipped = np.clip(p, 0.01, 0.99)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
