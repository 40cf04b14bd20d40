"""What to try next: the published search (`method.md` 1.11), steady-state and with its defects repaired.

A proposal is a pure function of (seed, trial id, prior, the finished results it was shown), so that any run
can be replayed. It knows nothing of Optuna, of devices or of running trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xautolm.pareto import best_first, comparable
from xautolm.prior.blame import blamed
from xautolm.prior.model import SearchModel
from xautolm.records import Objective, Pipeline, Prior, TrialResult
from xautolm.space.feasibility import Verdict
from xautolm.space.params import Space

#: Whether a pipeline fits the limits of a trial, given the results so far.
Fits = Callable[[Pipeline, Sequence[TrialResult]], Verdict]


@dataclass(frozen=True, slots=True)
class ProposerOptions:
    """Constants of the search.

    Attributes:
        first_update: finished results from which on the model learns from successes.
        elite_share: share of the valid results that the model moves towards (published 0.2).
        max_elite: elite results at most, so that a step costs the same however long a run is (published 4 of 20).
        learning_factor: rate of a move towards an elite result (published 0.05).
        failure_factor: rate of a move away from a failure of this run (published 0.02).
        exploration: share of proposals that ignore the model (published 0.1).
        max_draws: candidates drawn before the least bad one is taken.
        default_share: weight that a cold search moves to the known-good value of each categorical hyperparameter
            (published 0): a cut encoder read through its first token, say, is mostly a waste of a trial.
    """

    first_update: int = 6
    elite_share: float = 0.2
    max_elite: int = 20
    learning_factor: float = 0.05
    failure_factor: float = 0.02
    exploration: float = 0.1
    max_draws: int = 200
    default_share: float = 0.5


class Proposer:
    """Proposes pipelines from a prior and the results of this run.

    Args:
        space: where pipelines come from.
        prior: what is believed before the first trial.
        objectives: what the run optimises; the first one decides the recommendation.
        seed: seed of the run.
        fits: feasibility of a pipeline; must be a pure function.
        defaults: known-good pipelines, one per method, adapted by the caller so that they fit; those that do
            not are left out. None = the space's own, each with its method's first model.
        options: constants of the search.
    """

    def __init__(
        self,
        space: Space,
        prior: Prior,
        objectives: Sequence[Objective],
        seed: int,
        fits: Fits,
        *,
        defaults: Sequence[Pipeline] | None = None,
        options: ProposerOptions | None = None,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.options = options or ProposerOptions()
        self._seed = seed
        self._fits = fits
        self._cold = SearchModel.uniform(space)
        is_warm = prior.model is not None and prior.weight > 0
        self._prior = SearchModel.informed(space, self.options.default_share)
        if prior.model is not None and is_warm:
            self._prior = SearchModel.from_dict(prior.model).aligned(space)
        defaults = space_defaults(space) if defaults is None else defaults
        for default in defaults:
            if not space.contains(default):
                raise ValueError(f"`defaults` must be points of the space, got {default.to_dict()!r}")
        starts = cheapest_first(defaults, fits)
        if is_warm:
            # One safe start gives a working model early; then what did best on the nearest tasks.
            known = [start for start in prior.starts if space.contains(start) and fits(start, ()).fits]
            starts = list({start.key: start for start in [*starts[:1], *known]}.values())
        self.starts = tuple(starts)
        self._learned: list[TrialResult] = []
        self._model = self._prior

    def propose(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        """The pipeline to try as trial `trial_id`, knowing the results `seen` in the order they finished."""
        del running  # draws are random enough to stay apart
        if trial_id < len(self.starts):
            return self.starts[trial_id]
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, trial_id]))
        model = self._cold if rng.random() < self.options.exploration else self.model_after(seen)
        tried = {key for result in seen for key in _keys(result)} | {start.key for start in self.starts}
        best: Pipeline | None = None
        best_excess = math.inf
        for _ in range(self.options.max_draws):
            candidate = model.sample(rng)
            if candidate.key in tried:
                continue
            verdict = self._fits(candidate, seen)
            if verdict.fits:
                return candidate
            excess = _excess(verdict)
            if best is None or excess < best_excess:
                best, best_excess = candidate, excess
        # Every draw was tried before: the space is (nearly) used up, a repeat is all that is left.
        return model.sample(rng) if best is None else best

    def model_after(self, seen: Sequence[TrialResult]) -> SearchModel:
        """The prior's model after learning from results in order.

        The state of the last call is kept, so that one more result costs one update; the answer is the same.
        """
        n_known = len(self._learned)
        extends = n_known <= len(seen) and all(a is b or a == b for a, b in zip(self._learned, seen, strict=False))
        if not extends:
            self._learned, self._model, n_known = [], self._prior, 0
        for n in range(n_known, len(seen)):
            self._model = self._learn(self._model, seen[: n + 1])
            self._learned.append(seen[n])
        return self._model

    def _learn(self, model: SearchModel, seen: Sequence[TrialResult]) -> SearchModel:
        """One step after the newest result: away from its failure, towards the best of the valid results."""
        handles = blamed(seen[-1])
        if handles:
            model = model.updated([seen[-1].pipeline], -self.options.failure_factor, handles)
        if len(seen) < self.options.first_update:
            return model
        valid, points = comparable(seen, self.objectives)
        if not valid:
            return model
        n_elite = min(max(1, math.ceil(len(valid) * self.options.elite_share)), self.options.max_elite)
        elite = [valid[i].pipeline for i in best_first(points)[:n_elite]]
        return model.updated(elite, self.options.learning_factor)


def _excess(verdict: Verdict) -> float:
    """By which factor a pipeline exceeds its limits; what it needs when the limits are not known."""
    if verdict.limits is None:
        return verdict.time_s * max(verdict.memory_mib, 1.0)
    return max(verdict.time_excess, verdict.memory_excess)


def _keys(result: TrialResult) -> tuple[str, ...]:
    """Pipelines that a result stands for: what ran, and what was asked for when a rescue changed it."""
    return (result.pipeline.key,) if result.requested is None else (result.pipeline.key, result.requested.key)


def space_defaults(space: Space) -> list[Pipeline]:
    """The known-good pipeline of each method, with the method's first model."""
    return [Pipeline(part.models[0], name, part.default) for name, part in space.methods.items() if part.models]


def cheapest_first(pipelines: Sequence[Pipeline], fits: Fits) -> list[Pipeline]:
    """The distinct pipelines that fit, by estimated time."""
    distinct = {pipeline.key: pipeline for pipeline in pipelines}
    verdicts = [(fits(pipeline, ()), pipeline) for pipeline in distinct.values()]
    return [p for verdict, p in sorted(verdicts, key=lambda pair: pair[0].time_s) if verdict.fits]
