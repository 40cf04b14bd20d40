"""Front-aware stopping: the bound on what a score may gain, and that nothing is stopped that could still win."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.evaluate.fake import FakeBackend
from xautolm.pareto import dominates, front
from xautolm.records import Budget, Constraint, Cost, Gains, Objective, Pipeline, Progress, Trial, TrialResult
from xautolm.search.budget import Clock
from xautolm.search.loop import Events, search
from xautolm.search.stopping import ALPHA, MIN_CURVES, N_BINS, FrontStopper, Optimism, best_case, calibrate, gains_of

F1, TIME, LATENCY = Objective("f1", "maximize"), Objective("time", "minimize"), Objective("latency", "minimize")
PIPELINE = Pipeline("m", "full", {})
#: Thirty trials that gained at most a tenth of their headroom after any validation.
MODEST: tuple[Gains, ...] = ((0.1,) * N_BINS,) * 30


def finished(trial_id: int, f1: float, time_s: float, curve: tuple[tuple[int, float, float], ...] = ()) -> TrialResult:
    return TrialResult(trial_id, "ok", PIPELINE, {"f1": f1}, Cost(time_s), seed=0, curve=curve)


def running(*scores: float, seconds: float = 10.0, n_steps: int = 80) -> Progress:
    """A trial that was validated every 10 steps and `seconds`."""
    curve = tuple((10 * (i + 1), seconds * (i + 1), score) for i, score in enumerate(scores))
    return Progress(99, PIPELINE, elapsed_s=seconds * len(scores), curve=curve, n_steps=n_steps)


def test_gains_are_shares_of_the_headroom_at_each_eighth() -> None:
    result = finished(0, 0.8, 8.0, ((10, 1.0, 0.6), (40, 4.0, 0.5), (80, 8.0, 0.7)))

    gains = gains_of(result)

    assert gains == (0.5, None, None, 0.5, None, None, None, pytest.approx(1 / 3, abs=1e-4))


def test_a_trial_without_a_curve_or_score_teaches_nothing() -> None:
    assert gains_of(finished(0, 0.8, 8.0)) is None
    assert gains_of(replace(finished(0, 0.8, 8.0, ((1, 1.0, 0.5), (2, 2.0, 0.6))), status="timeout", scores={})) is None


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=N_BINS), min_size=60, max_size=60), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_at_most_the_promised_share_of_the_calibration_curves_ends_above_the_bound(
    curves: list[list[float]], rise: float
) -> None:
    results = []
    for scores in curves:
        points = tuple((10 * (i + 1), 1.0 * i, score) for i, score in enumerate(scores))
        results.append(finished(0, max(scores) + rise * (1 - max(scores)), 1.0, points))
    optimism = calibrate([gains for result in results if (gains := gains_of(result)) is not None])

    for length in range(1, N_BINS + 1):
        seen = [r for r in results if len(r.curve) >= length]
        above = [r for r in seen if r.scores["f1"] > optimism.bound(r.curve[:length], r.curve[-1][0]) + 1e-3]
        assert len(above) <= max(math.floor(ALPHA * 61), 1) * N_BINS


def test_nothing_is_stopped_while_few_curves_are_known() -> None:
    past = MODEST[: MIN_CURVES - 1]

    assert FrontStopper((F1, TIME), past=past).reason(running(0.1, 0.1), [finished(0, 0.99, 1.0)]) is None
    assert FrontStopper((F1, TIME), past=MODEST).reason(running(0.1, 0.1), [finished(0, 0.99, 1.0)]) is not None


def test_the_runs_own_curves_count_as_well() -> None:
    curve = tuple((10 * (i + 1), 1.0 * i, 0.5) for i in range(N_BINS))
    results = [finished(i, 0.5, 1.0, curve) for i in range(MIN_CURVES)]

    assert FrontStopper((F1, TIME)).reason(running(0.1, 0.1), results) is not None


def test_a_cheaper_trial_lives_on_however_bad_its_score() -> None:
    stopper = FrontStopper((F1, TIME), past=MODEST)

    assert stopper.reason(running(0.1, 0.1), [finished(0, 0.99, 100.0)]) is None


def test_a_trial_lives_while_its_score_may_pass_those_that_cost_no_more() -> None:
    stopper = FrontStopper((F1, TIME), past=MODEST)
    rivals = [finished(0, 0.90, 5.0)]

    assert stopper.reason(running(0.88, 0.895), rivals) is None  # at best 0.895 + 0.1 * 0.105
    assert stopper.reason(running(0.80, 0.85), rivals) is not None  # at best 0.865


def test_an_objective_that_cannot_be_bounded_keeps_every_trial_alive() -> None:
    rival = replace(finished(0, 0.99, 1.0), cost=Cost(1.0, latency_ms=1.0))

    assert FrontStopper((F1, TIME, LATENCY), past=MODEST).reason(running(0.1, 0.1), [rival]) is None


def test_a_single_objective_stops_what_cannot_become_the_best() -> None:
    stopper = FrontStopper((F1,), past=MODEST)

    assert stopper.reason(running(0.5, 0.5), [finished(0, 0.9, 1000.0)]) is not None
    assert stopper.reason(running(0.9, 0.9), [finished(0, 0.9, 1000.0)]) is None


def test_a_rival_that_breaks_a_constraint_stops_nothing() -> None:
    slow = replace(finished(0, 0.99, 1.0), cost=Cost(1.0, latency_ms=50.0))
    stopper = FrontStopper((F1, TIME), (Constraint("latency", False, 20.0),), past=MODEST)

    assert stopper.reason(running(0.5, 0.5), [slow]) is None


def test_a_trial_that_cannot_reach_a_demanded_score_is_stopped() -> None:
    stopper = FrontStopper((F1, TIME), (Constraint("f1", True, 0.9),), past=MODEST)
    keeps, breaks = finished(0, 0.95, 1000.0), finished(0, 0.6, 1.0)

    assert stopper.reason(running(0.5, 0.5), [keeps]) is not None
    assert stopper.reason(running(0.5, 0.89), [keeps]) is None
    # A bound that nothing has kept yet may be out of reach: then every result counts, also those that break it.
    assert stopper.reason(running(0.5, 0.5), []) is None
    assert stopper.reason(running(0.5, 0.55), [breaks]) is not None  # it is worse than that one
    assert stopper.reason(running(0.7, 0.7), [breaks]) is None
    assert stopper.reason(running(0.5, 0.895), [breaks]) is None


scores = st.floats(0, 1)


@given(
    gains=st.lists(scores, min_size=N_BINS, max_size=N_BINS),
    rivals=st.lists(st.tuples(scores, st.floats(1, 100)), max_size=6),
    curve=st.lists(scores, min_size=1, max_size=N_BINS),
    ends=st.lists(st.tuples(scores, st.floats(0, 200)), min_size=1, max_size=20),
    objectives=st.sampled_from([(F1,), (F1, TIME), (TIME, F1)]),
)
@settings(max_examples=300, deadline=None)
def test_no_end_allowed_by_the_assumption_would_have_entered_the_front(
    gains: list[float],
    rivals: list[tuple[float, float]],
    curve: list[float],
    ends: list[tuple[float, float]],
    objectives: tuple[Objective, ...],
) -> None:
    """Brute force: let a stopped trial end in any way that its bound allows; the front never changes."""
    stopper = FrontStopper(objectives, past=(tuple(gains),) * 60)
    results = [finished(i, f1, time_s) for i, (f1, time_s) in enumerate(rivals)]
    trial = running(*curve)
    if stopper.reason(trial, results) is None:
        return

    bound = stopper.optimism(results).bound(trial.curve, trial.n_steps)
    for share, further_s in ends:
        end = finished(99, share * bound, trial.curve[-1][1] + further_s)
        assert 99 not in front([*results, end], objectives)


#: Few values, so that a rival is often just as good as the best case or misses it by a hair.
ENDS = ("ok", "ok", "ok", "timeout", "unscored")
LEVELS, TIMES = (0.0, 0.3, 0.5, 0.75, 0.9, 1.0), (5.0, 10.0, 10.05, 20.0, 20.1)
BOUNDS = (
    *(Constraint("f1", True, bound) for bound in (0.4, 0.8, 0.95)),
    Constraint("time", False, 12.0),
    Constraint("latency", False, 10.0),
)


def rival(trial_id: int, f1: float, time_s: float, latency_ms: float | None, end: str) -> TrialResult:
    result = replace(finished(trial_id, f1, time_s), cost=Cost(time_s, latency_ms=latency_ms))
    if end == "timeout":
        return replace(result, status="timeout", scores={})
    return replace(result, scores={"accuracy": f1}) if end == "unscored" else result


@pytest.mark.parametrize("objectives", [(F1,), (F1, TIME), (TIME, F1), (TIME,), (F1, TIME, LATENCY)])
def test_with_bounds_and_any_objectives_exactly_what_cannot_win_is_stopped(objectives: tuple[Objective, ...]) -> None:
    """Brute force over the ends that the assumption allows, the best one among them.

    A stopped trial enters the front with none of them. One that runs on enters it with one, unless a bound on what
    cannot be known from a curve (time, latency) stands in the way, which the rule does not look at, or an objective.
    """
    draw, n_stopped = random.Random(4), 0
    for _ in range(400):
        gain = draw.choice([0.0, 0.0, 0.2])
        constraints = draw.sample(BOUNDS, draw.choice([0, 1, 1, 2]))
        stopper = FrontStopper(objectives, constraints, past=((gain,) * N_BINS,) * 60)
        results = [
            rival(i, draw.choice(LEVELS), draw.choice(TIMES), draw.choice([None, 5.0, 25.0]), draw.choice(ENDS))
            for i in range(draw.randint(0, 3))
        ]
        trial = running(*(draw.choice(LEVELS) for _ in range(draw.randint(1, 2))))
        top, spent_s = max(score for _, _, score in trial.curve), trial.curve[-1][1]
        best = top + gain * (1 - top)  # all curves before gained that much of their headroom at any time
        ends = [
            rival(99, share * best, spent_s + further_s, latency_ms, "ok")
            for share, further_s, latency_ms in itertools.product((1.0, 0.5), (0.0, 10.0), (1e-9, 30.0))
        ]
        enters = [99 in front([*results, end], objectives, constraints) for end in ends]
        if stopper.reason(trial, results) is not None:
            n_stopped += 1
            assert not any(enters), (constraints, results, trial)
        elif all(constraint.name == "f1" for constraint in constraints):
            assert any(enters), (constraints, results, trial)
    assert n_stopped > (0 if LATENCY in objectives else 40)  # or little was tested


def test_the_best_case_is_no_worse_than_any_end() -> None:
    trial = running(0.3, 0.5)
    bounds = best_case(trial, (F1, TIME), Optimism((0.2,) * N_BINS, 99).bound(trial.curve, trial.n_steps))

    assert not dominates((-0.55, 30.0), tuple(bounds))
    assert np.allclose(bounds, [-0.6, 20.0])


def test_the_loop_stops_a_hopeless_trial_and_goes_on() -> None:
    """Trial 0 ends well after 5 s; later ones crawl at 0.2 and would take 80 s each."""

    def evaluate(trial: Trial) -> TrialResult:
        is_good = trial.trial_id == 0
        curve = tuple((10 * (i + 1), 10.0 * (i + 1), 0.2) for i in range(N_BINS))
        result = finished(trial.trial_id, 0.9 if is_good else 0.21, 5.0 if is_good else 81.0)
        return result if is_good else replace(result, curve=curve)

    class Same:
        def ask(self, trial_id: int, seen: object, running: object = ()) -> Pipeline:
            return PIPELINE

        def tell(self, result: TrialResult) -> None: ...

    backend = FakeBackend(evaluate)
    clock = Clock(Budget(n_trials=4), now=backend.now)

    results = search(
        Same(), backend, clock, seed=0, events=Events(tick_s=1.0), stopper=FrontStopper((F1, TIME), past=MODEST)
    )

    assert [result.status for result in results] == ["ok", "stopped", "stopped", "stopped"]
    assert all(result.cost.time_s < 12.0 and result.scores == {} for result in results[1:])
    assert all(len(result.curve) == 1 and result.error is not None for result in results[1:])
    assert backend.now() < 45.0
