"""The published search, NSPE (`method.md` 1.11): generations of twenty, the model moves to the best four of each.

It is here for comparisons. It proposes again what was tried, runs what cannot fit (unless it is given a check), and
learns only when a generation is over. Its two defects that concern the search can be kept, by their numbers in
`method.md` section 8: 13 = a warm start explores no more, 16 = failures count among the best when fewer than four
trials of a generation worked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xautolm.pareto import best_first, comparable
from xautolm.prior.model import SearchModel
from xautolm.records import FAILURES, Objective, Pipeline, Prior, TrialResult
from xautolm.space.feasibility import Verdict
from xautolm.space.params import Space

NO_EXPLORATION, ELITE_FAILURES = 13, 16
#: Defects of the search that can be kept, besides those of the model (`prior.published`).
SEARCH_DEFECTS = frozenset({NO_EXPLORATION, ELITE_FAILURES})
Fits = Callable[[Pipeline, Sequence[TrialResult]], Verdict]


@dataclass(frozen=True, slots=True)
class NspeOptions:
    """Constants of the published search; its stop after 50 generations without a better front is left out.

    Attributes:
        population: trials of a generation.
        n_selected: trials that the model moves to after a generation (published: a fifth).
        n_uniform: trials at the start of each generation that ignore the model (published epsilon 0.1).
        learning_factor: rate of the move.
        defects: published defects to keep.
        max_draws: draws until a pipeline fits, where there is a check; then the last one is taken.
    """

    population: int = 20
    n_selected: int = 4
    n_uniform: int = 2
    learning_factor: float = 0.05
    defects: frozenset[int] = frozenset()
    max_draws: int = 200


class Nspe:
    """The published search behind the two calls that the loop makes.

    A proposal is a pure function of (seed, trial id, prior, results it was shown): trials belong to generations by
    their ids, and a generation that is not yet over when the next one begins (several workers) counts as far as it got.

    Args:
        space: where pipelines come from.
        prior: what is believed before the first trial.
        objectives: what the run optimises.
        seed: seed of the run.
        fits: None = nothing is checked, as published.
        options: constants of the search.
    """

    def __init__(
        self,
        space: Space,
        prior: Prior,
        objectives: Sequence[Objective],
        seed: int,
        *,
        fits: Fits | None = None,
        options: NspeOptions | None = None,
    ) -> None:
        self.options = options or NspeOptions()
        self._objectives = tuple(objectives)
        self._seed = seed
        self._fits = fits
        self._uniform = SearchModel.uniform(space)
        self._is_warm = prior.model is not None and prior.weight > 0
        self._start = SearchModel.published(space, self.options.defects)
        if prior.model is not None and self._is_warm:
            self._start = SearchModel.from_dict(prior.model)
        self._known: tuple[tuple[int, ...], SearchModel] = ((), self._start)

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        """The pipeline of a trial; what runs beside it changes nothing."""
        generation, place = divmod(trial_id, self.options.population)
        explores = not (self._is_warm and NO_EXPLORATION in self.options.defects)
        is_uniform = explores and place < self.options.n_uniform
        model = self._uniform if is_uniform else self.model_of(generation, seen)
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, trial_id]))
        pipeline = model.sample(rng)
        for _ in range(self.options.max_draws if self._fits else 0):
            if self._fits is None or self._fits(pipeline, seen).fits:
                break
            pipeline = model.sample(rng)
        return pipeline

    def tell(self, result: TrialResult) -> None:
        """Nothing: `ask` is shown all results."""

    def model_of(self, generation: int, seen: Sequence[TrialResult]) -> SearchModel:
        """The model that a generation draws from: the start, moved to the best of each generation before."""
        first_id = generation * self.options.population
        past = sorted((r for r in seen if r.trial_id < first_id), key=lambda r: r.trial_id)
        ids = tuple(result.trial_id for result in past)
        if ids != self._known[0]:
            self._known = ids, self._moved(past)
        return self._known[1]

    def _moved(self, past: Sequence[TrialResult]) -> SearchModel:
        model = self._start
        generations: dict[int, list[TrialResult]] = {}
        for result in past:
            generations.setdefault(result.trial_id // self.options.population, []).append(result)
        for results in generations.values():
            best = self._fittest(results)
            model = model.updated(best, self.options.learning_factor) if best else model
        return model

    def _fittest(self, results: Sequence[TrialResult]) -> list[Pipeline]:
        """The best of a generation: by fronts, in the last of them the least crowded."""
        valid, points = comparable(results, self._objectives)
        best = [valid[i].pipeline for i in best_first(points)]
        if ELITE_FAILURES in self.options.defects:
            best += [result.pipeline for result in results if result.status in FAILURES]
        return best[: self.options.n_selected]
