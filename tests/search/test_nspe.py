"""The published search: generations, what they learn from, and its two defects."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xautolm.evaluate.fake import analytic_evaluator
from xautolm.prior.model import SearchModel
from xautolm.prior.published import COLLAPSING, UNBOUNDED
from xautolm.prior.reference import cold_prior
from xautolm.records import Cost, Objective, Pipeline, Prior, Trial, TrialError, TrialResult
from xautolm.search.loop import asked_for, replay
from xautolm.search.nspe import ELITE_FAILURES, NO_EXPLORATION, Nspe, NspeOptions
from xautolm.space.feasibility import Verdict
from xautolm.space.params import Space

OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))
MakeNspe = Callable[..., Nspe]


@pytest.fixture
def make(space: Space) -> MakeNspe:
    def build(prior: Prior | None = None, seed: int = 0, **options: object) -> Nspe:
        constants = NspeOptions(**options)  # type: ignore[arg-type]
        return Nspe(space, prior or cold_prior(), OBJECTIVES, seed, options=constants)

    return build


@pytest.fixture
def warm(space: Space) -> Prior:
    """A prior that knows only one pipeline."""
    model = SearchModel.uniform(space).updated([favourite(space)], 50.0)
    return Prior("reference", 1, 1.0, model.to_dict())


def favourite(space: Space) -> Pipeline:
    method = next(iter(space.methods))
    part = space.methods[method]
    return Pipeline(part.models[0], method, part.default)


def result(trial_id: int, pipeline: Pipeline, f1: float | None = 0.5, time_s: float = 10.0) -> TrialResult:
    if f1 is None:
        return TrialResult(trial_id, "oom", pipeline, {}, Cost(time_s), 0, error=TrialError("oom_train", ""))
    return TrialResult(trial_id, "ok", pipeline, {"f1": f1}, Cost(time_s), 0)


def run(nspe: Nspe, space: Space, n: int) -> list[TrialResult]:
    evaluate, seen = analytic_evaluator(space), list[TrialResult]()
    for i in range(n):
        seen.append(evaluate(Trial(i, nspe.ask(i, tuple(seen)), seed=i, seen=tuple(range(i)))))
    return seen


def test_a_generation_learns_nothing_from_itself(make: MakeNspe, space: Space) -> None:
    trials = run(make(), space, 20)
    assert make().model_of(0, trials) == SearchModel.uniform(space)
    assert make().model_of(1, trials) != SearchModel.uniform(space)


def test_the_model_moves_to_the_best_four_at_once(make: MakeNspe, space: Space) -> None:
    front = {3: (0.9, 30.0), 8: (0.8, 20.0), 5: (0.3, 2.0), 11: (0.2, 1.0)}
    trials = [
        result(i, make().ask(i, ()), f1=front.get(i, (0.1, 0))[0], time_s=front.get(i, (0, 50.0 + i))[1])
        for i in range(20)
    ]
    best = [trials[i].pipeline for i in (3, 5, 8, 11)]
    moved = make().model_of(1, trials)
    assert moved.beliefs["method"] == SearchModel.uniform(space).updated(best, 0.05).beliefs["method"]


def test_it_can_be_replayed(make: MakeNspe, space: Space) -> None:
    trials = run(make(seed=3), space, 50)
    assert replay(make(seed=3), trials) == [asked_for(trial) for trial in trials]
    assert replay(make(seed=4), trials) != [asked_for(trial) for trial in trials]


def test_each_generation_explores_first_even_when_warm(make: MakeNspe, space: Space, warm: Prior) -> None:
    asked = [make(warm).ask(i, ()) for i in range(20)]
    known = favourite(space)
    assert sum(p.method == known.method for p in asked[2:]) >= 14
    cold = [make().ask(i, ()) for i in range(2)]
    assert asked[:2] == cold


def test_a_warm_start_explores_no_more_with_defect_13(make: MakeNspe, space: Space, warm: Prior) -> None:
    options = {"defects": frozenset({NO_EXPLORATION})}
    seeds = range(40)
    known = favourite(space).method

    def share(prior: Prior | None, **given: object) -> float:
        return sum(make(prior, seed, **given).ask(0, ()).method == known for seed in seeds) / len(seeds)

    assert share(warm, **options) > 0.75
    assert share(warm) < 0.5
    assert share(None, **options) < 0.5  # a cold search still does


def test_failures_are_reinforced_only_with_defect_16(make: MakeNspe, space: Space) -> None:
    good = favourite(space)
    other = next(name for name in space.methods if name != good.method)
    bad = Pipeline(space.methods[other].models[0], other, space.methods[other].default)
    trials = [result(0, good), *(result(i, bad, f1=None) for i in range(1, 20))]
    repaired = make().model_of(1, trials)
    faulty = make(defects=frozenset({ELITE_FAILURES})).model_of(1, trials)
    assert repaired.beliefs["method"] == SearchModel.uniform(space).updated([good], 0.05).beliefs["method"]
    assert faulty.beliefs["method"] == SearchModel.uniform(space).updated([good, bad, bad, bad], 0.05).beliefs["method"]


def test_a_generation_of_failures_changes_nothing(make: MakeNspe, space: Space) -> None:
    trials = [result(i, favourite(space), f1=None) for i in range(20)]
    assert make().model_of(1, trials) == SearchModel.uniform(space)


def test_all_published_defects_run_together(make: MakeNspe, space: Space) -> None:
    defects = frozenset({UNBOUNDED, COLLAPSING, NO_EXPLORATION, ELITE_FAILURES})
    trials = run(make(defects=defects), space, 60)
    assert all(space.contains(trial.pipeline) for trial in trials)


def test_with_a_check_what_does_not_fit_is_drawn_again(space: Space) -> None:
    def fits(pipeline: Pipeline, seen: object) -> Verdict:
        return Verdict(pipeline.method == "head", "", 1.0, 1.0)

    nspe = Nspe(space, cold_prior(), OBJECTIVES, 0, fits=fits)
    assert {nspe.ask(i, ()).method for i in range(20)} == {"head"}
    never = Nspe(space, cold_prior(), OBJECTIVES, 0, fits=lambda p, s: Verdict(False, "", 1.0, 1.0))
    assert space.contains(never.ask(0, ()))
