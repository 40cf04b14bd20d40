"""The default search: it learns, keeps off what fails, explores, repeats itself exactly, and survives a bad prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from xautolm.evaluate.fake import FakeBackend, analytic_evaluator
from xautolm.pareto import comparable, hypervolume
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.evidence import Rated
from xautolm.prior.learned import learn
from xautolm.prior.lessons import Lessons
from xautolm.prior.physics import Physicist
from xautolm.prior.reference import build_reference_prior, cold_prior
from xautolm.records import (
    Budget,
    Constraint,
    Cost,
    Experience,
    Objective,
    Pipeline,
    Prior,
    Profile,
    Trial,
    TrialError,
    TrialResult,
)
from xautolm.search.budget import Clock
from xautolm.search.loop import Events, asked_for, replay, search
from xautolm.search.plan import Plan
from xautolm.search.ranking import Ranking, RankingOptions
from xautolm.search.samplers import make_search
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize, Verdict
from xautolm.space.params import Space

F1, TIME = Objective("f1", "maximize"), Objective("time", "minimize")
OBJECTIVES = (F1, TIME)
PROFILE = Profile("classification/2", {"n_train": 1000.0, "n_classes": 2.0, "mean_chars": 60.0}, "system/2", {})
LIMITS = Limits(600.0, 1e6)


def anything_fits(pipeline: Pipeline, seen: Sequence[TrialResult]) -> Verdict:
    """Estimates that are always the same and forbid nothing."""
    return Verdict(True, "", 10.0, 100.0, LIMITS)


def plan_of(space: Space) -> Plan:
    defaults = tuple(Pipeline(part.models[0], name, part.default) for name, part in space.methods.items())
    return Plan(space, TaskSize(1000, 200, 2, (12,) * 101), LIMITS, DEFAULT_SPEED, defaults)


def make_ranking(space: Space, prior: Prior | None = None, seed: int = 0, **options: object) -> Ranking:
    options = {"fits": anything_fits, "objectives": OBJECTIVES} | options
    objectives = options.pop("objectives")
    return Ranking(plan_of(space), prior or cold_prior(), PROFILE, objectives, seed=seed, **options)  # type: ignore[arg-type]


def run(
    space: Space, ranking: Ranking, n_trials: int = 40, *, task: int = 0, n_slots: int = 1, seed: int = 0
) -> list[TrialResult]:
    backend = FakeBackend(analytic_evaluator(space, seed=task), n_slots)
    clock = Clock(Budget(n_trials=n_trials), now=backend.now)
    asker = make_search("experience", ranking, seed=seed)
    return search(asker, backend, clock, seed=seed, events=Events(tick_s=1e9))


def volume(results: Sequence[TrialResult]) -> float:
    _, points = comparable(results, OBJECTIVES)
    points[:, 1] = np.log10(np.maximum(points[:, 1], 1.0))
    return hypervolume(points, (0.0, math.log10(600.0)))


def test_predictors_of_another_version_are_done_without(space: Space) -> None:
    stale = replace(cold_prior(), kind="learned", n_experiences=9, weight=1.0, learned={"inputs": ["log_batch"]})
    ranking = make_ranking(space, stale)
    results = run(space, ranking, 8)
    assert len(results) == 8
    assert ranking.transfer(results) == {}


def experiences(space: Space, n: int = 120, *, task: int = 0, reverse: bool = False) -> list[Rated]:
    """Uniform pipelines on another task, told truly or the other way round."""
    from xautolm.prior.model import SearchModel

    rng, evaluate = np.random.default_rng(7), analytic_evaluator(space, seed=task)
    results = [evaluate(Trial(i, SearchModel.uniform(space).sample(rng), seed=i)) for i in range(n)]
    if reverse:
        best = max(result.scores["f1"] for result in results if result.is_ok)
        results = [
            replace(r, status="oom", scores={}, error=TrialError("oom_train", "made up"))
            if r.is_ok and r.scores["f1"] > best - 0.1
            else replace(r, status="ok", error=None, scores={"f1": 1.0 - r.scores.get("f1", 0.1)})
            for r in results
        ]
    made = [
        Experience(
            "past", "past", "f" * 64, (), PROFILE, result, space.version, {}, "r", "machine", "", time_limit_s=600.0,
            memory_limit_mib=1e6,
        )
        for result in results
    ]  # fmt: skip
    return [Rated(experience, 0.1, {}) for experience in made]


def warm_prior(space: Space, rated: Sequence[Rated]) -> Prior:
    lessons = Lessons.of(rated, Physicist(ModelBook(space.models.values())), F1)
    return replace(build_reference_prior(space, rated), kind="learned", learned=learn(lessons).to_dict())


@pytest.mark.timeout(40)
def test_it_finds_better_fronts_than_uniform_draws(space: Space) -> None:
    ours = [volume(run(space, make_ranking(space, seed=seed), seed=seed)) for seed in range(3)]
    only_explores = RankingOptions(exploration=1.0, least_p=0.0)
    uniform = [
        volume(run(space, make_ranking(space, seed=seed, options=only_explores), seed=seed)) for seed in range(3)
    ]

    assert np.mean(ours) > np.mean(uniform) + 0.01


def test_it_learns_what_fails_without_being_told(space: Space) -> None:
    """Uniform draws fail about twice as often as what is allowed here, and estimates forbid nothing."""
    uniform = run(space, make_ranking(space, options=RankingOptions(exploration=1.0, least_p=0.0)), 60)
    ours = run(space, make_ranking(space), 60)

    n_uniform, n_ours = (sum(not result.is_ok for result in results[-40:]) for results in (uniform, ours))
    assert n_uniform >= 6
    assert n_ours <= n_uniform / 2


def test_nothing_is_tried_twice(space: Space) -> None:
    results = run(space, make_ranking(space), 60)

    assert len({result.pipeline.key for result in results}) == 60


def test_the_same_seed_proposes_the_same_and_another_does_not(space: Space) -> None:
    keys = [[r.pipeline.key for r in run(space, make_ranking(space, seed=s), 15, seed=s)] for s in (1, 1, 2)]

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("n_slots", [1, 3])
def test_a_run_with_several_workers_is_replayed_exactly(space: Space, n_slots: int) -> None:
    results = run(space, make_ranking(space), 25, n_slots=n_slots)
    by_id = sorted(results, key=lambda result: result.trial_id)

    again = replay(make_search("experience", make_ranking(space), seed=0), results)

    assert again == [asked_for(result) for result in by_id]


def test_results_in_another_order_are_learned_from_anew(space: Space) -> None:
    seen = tuple(item.experience.result for item in experiences(space, 28, task=3))
    ranking = make_ranking(space)
    ranking.propose(28, seen[::-1])

    assert ranking.propose(28, seen) == make_ranking(space).propose(28, seen)


def test_workers_that_ask_at_once_are_kept_apart(space: Space) -> None:
    seen = tuple(run(space, make_ranking(space), 20))
    ranking = make_ranking(space)

    first = ranking.propose(20, seen)
    beside = [ranking.propose(21, seen, [first]) for _ in range(2)]

    assert beside[0] == beside[1] != first


@pytest.mark.timeout(90)
def test_a_true_prior_helps_and_a_reversed_one_hardly_hurts(space: Space) -> None:
    """Mean of several seeds: warm at least as good as cold early on; adversarial at most 5 % below cold at the end."""
    seeds = range(3)
    good, bad = warm_prior(space, experiences(space)), warm_prior(space, experiences(space, reverse=True))
    cold = [run(space, make_ranking(space, seed=s), 40, seed=s) for s in seeds]
    warm = [run(space, make_ranking(space, good, seed=s), 40, seed=s) for s in seeds]
    misled = [run(space, make_ranking(space, bad, seed=s), 40, seed=s) for s in seeds]

    assert np.mean([volume(r[:12]) for r in warm]) > np.mean([volume(r[:12]) for r in cold])
    assert np.mean([volume(r) for r in misled]) > 0.95 * np.mean([volume(r) for r in cold])


def test_a_warm_search_opens_with_what_past_tasks_say_is_good(space: Space) -> None:
    """Three different pipelines, the first of them cheap, the others better than most of what could be drawn."""
    prior = warm_prior(space, experiences(space))
    ranking = make_ranking(space, prior)
    opened = [ranking.propose(i, ()) for i in range(3)]
    assert opened == list(ranking.starts[:3]) == list(make_ranking(space, prior).starts[:3])
    assert len({(p.model, p.method) for p in opened}) == 3
    assert all(space.contains(pipeline) for pipeline in opened)

    evaluate = analytic_evaluator(space, seed=0)
    drawn = [item.experience.result for item in experiences(space, 60) if item.experience.result.is_ok]
    first, *best = (evaluate(Trial(i, pipeline, seed=i)) for i, pipeline in enumerate(opened))
    assert first.cost.time_s < np.median([result.cost.time_s for result in drawn])
    assert max(r.scores.get("f1", 0.0) for r in best) > np.quantile([r.scores["f1"] for r in drawn], 0.8)


def test_whatever_the_prior_says_the_cheapest_default_is_tried_too(space: Space) -> None:
    ranking = make_ranking(space, warm_prior(space, experiences(space, reverse=True)))
    assert make_ranking(space).starts[0].key in {pipeline.key for pipeline in ranking.starts}
    assert len(ranking.starts) <= 4


def test_without_predictors_the_nearest_tasks_pipelines_come_first(space: Space) -> None:
    prior = build_reference_prior(space, experiences(space))
    assert {p.key for p in make_ranking(space, prior).starts} >= {p.key for p in prior.starts}


def test_the_opening_fits(space: Space) -> None:
    def only_heads(pipeline: Pipeline, seen: Sequence[TrialResult]) -> Verdict:
        return replace(anything_fits(pipeline, seen), fits=pipeline.method == "head")

    ranking = make_ranking(space, warm_prior(space, experiences(space)), fits=only_heads)
    assert {pipeline.method for pipeline in ranking.starts} == {"head"}


def test_the_weight_of_a_prior_that_misleads_falls(space: Space) -> None:
    bad = warm_prior(space, experiences(space, reverse=True))
    ranking = make_ranking(space, bad)
    results = run(space, ranking, 40)

    told = ranking.transfer(results)

    assert told["weight"] < 0.4
    assert told["agreement"] is not None
    assert told["agreement"] < 0.2


def test_a_cold_search_tells_nothing_about_transfer(space: Space) -> None:
    assert make_ranking(space).transfer([]) == {}


def test_a_constraint_moves_the_search_to_what_keeps_it(space: Space) -> None:
    bound = Constraint("time", False, 8.0)
    free, bounded = make_ranking(space, objectives=(F1,)), make_ranking(space, objectives=(F1,), constraints=(bound,))

    shares = [np.mean([r.cost.time_s <= 8.0 for r in run(space, ranking, 40)[-20:]]) for ranking in (free, bounded)]

    assert shares[1] > shares[0] + 0.2


@pytest.mark.parametrize(
    "objectives",
    [(F1,), (F1, Objective("memory", "minimize")), (F1, TIME, Objective("memory", "minimize"))],
    ids=["one", "memory", "three"],
)
def test_any_objectives_are_searched(space: Space, objectives: tuple[Objective, ...]) -> None:
    results = run(space, make_ranking(space, objectives=objectives), 25)

    assert len(results) == 25
    assert sum(result.is_ok for result in results) > 10


def test_results_of_another_space_and_without_scores_are_survived(space: Space) -> None:
    odd = [
        TrialResult(0, "ok", Pipeline("gone", "head", {"c": 1.0}), {"f1": math.nan}, Cost(1.0), seed=0),
        TrialResult(1, "ok", Pipeline("tiny", "gone", {"x": "y"}), {}, Cost(math.inf), seed=0),
        TrialResult(2, "crashed", Pipeline("tiny", "head", {}), {}, Cost(1.0), seed=0),
        TrialResult(3, "stopped", Pipeline("tiny", "head", {"c": -5}), {}, Cost(0.0), seed=0),
        TrialResult(4, "ok", Pipeline("tiny", "head", {"c": 1e9}), {"f1": 0.5}, Cost(2.0), seed=0),
        TrialResult(5, "ok", Pipeline("tiny", "head", {"c": 2.0}), {"f1": 0.5}, Cost(2.0), seed=0),
    ]
    ranking = make_ranking(space, warm_prior(space, experiences(space, 40)))

    assert all(space.contains(ranking.propose(i, odd)) for i in range(6, 12))


def test_when_nothing_fits_the_least_unlikely_is_proposed(space: Space) -> None:
    def nothing_fits(pipeline: Pipeline, seen: Sequence[TrialResult]) -> Verdict:
        return Verdict(False, "too large", 1e9, 1e9, LIMITS)

    assert space.contains(make_ranking(space, fits=nothing_fits).propose(10, ()))
