"""Optuna's words and ours: distributions, the tree that trials show, what a finished trial says."""

from __future__ import annotations

import math

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from xautolm.search.studies import Parameter, Parameters, finished, tree_of_trials
from xautolm.space.params import Categorical, Float, Int

X = FloatDistribution(0, 1)
KIND = CategoricalDistribution(("a", "b", "c"))


def parameters(**distributions: BaseDistribution) -> dict[str, Parameter]:
    return Parameters(distributions).known


@pytest.mark.parametrize(
    ("distribution", "domain", "step"),
    [
        (FloatDistribution(1e-5, 1e-1, log=True), Float(1e-5, 1e-1, log=True), None),
        (FloatDistribution(0, 1, step=0.25), Float(0, 1), 0.25),
        (IntDistribution(1, 9, step=2), Int(1, 9), 2.0),
        (IntDistribution(1, 9), Int(1, 9), None),
        (CategoricalDistribution((1, "a", True)), Categorical((1, "a", True)), None),
    ],
)
def test_distributions_keep_their_meaning(distribution: BaseDistribution, domain: object, step: float | None) -> None:
    parameter = Parameter.of(distribution)

    assert (parameter.domain, parameter.step) == (domain, step)


def test_choices_that_are_no_plain_values_come_back_as_they_were() -> None:
    choices = (None, "None", 1.5, True, math.nan)
    parameter = Parameter.of(CategoricalDistribution(choices))
    back = [parameter.decoded(parameter.encoded(choice)) for choice in choices]

    assert [type(value) for value in back] == [type(choice) for choice in choices]
    assert back[:4] == [None, "None", 1.5, True]
    assert isinstance(parameter.domain, Categorical)
    assert len(set(map(repr, parameter.domain.choices))) == 5


def test_a_parameter_belongs_to_the_choices_under_which_it_is_asked_for() -> None:
    known = parameters(kind=KIND, x=X, inner=CategoricalDistribution(("p", "q")), depth=IntDistribution(1, 3), y=X)
    whole = [
        {"kind": "a", "x": 0.1, "inner": "p", "depth": 1, "y": 0.0},
        {"kind": "a", "x": 0.1, "inner": "q", "y": 0.0},
        {"kind": "b", "y": 0.5},
    ]
    tree = {v.name: (v.parent, v.parent_values) for v in tree_of_trials(known, whole).variables}

    assert tree["kind"] == tree["y"] == (None, None)
    assert tree["x"] == tree["inner"] == ("kind", ("a",))
    assert tree["depth"] == ("inner", ("p",))


def test_a_trial_that_failed_on_the_way_does_not_hide_a_parameter() -> None:
    known = parameters(kind=KIND, x=X)
    whole = [{"kind": "a", "x": 0.1}, {"kind": "b", "x": 0.2}]

    (_, x) = tree_of_trials(known, whole, [{"kind": "a"}]).variables

    assert x.parent is None
    (_, x) = tree_of_trials(known, [{"kind": "a"}], [{"kind": "b", "x": 0.1}]).variables
    assert (x.parent, x.parent_values) == ("kind", ("b",))


def test_what_no_choice_explains_counts_as_always_there() -> None:
    known = parameters(kind=KIND, x=X, y=X)
    whole = [{"kind": "a", "x": 0.9, "y": 0.1}, {"kind": "a", "x": 0.1}]

    assert tree_of_trials(known, whole).variables[2].parent is None


def test_single_values_are_left_out() -> None:
    known = parameters(one=CategoricalDistribution(("only",)), x=X)

    assert [v.name for v in tree_of_trials(known, [{"one": "only", "x": 0.5}]).variables] == ["x"]


def test_of_a_range_that_changes_the_widest_is_kept() -> None:
    known = Parameters()
    for low, high in ((0.0, 1.0), (0.5, 2.0), (-1.0, 0.0)):
        distribution = FloatDistribution(low, high)
        known.learn(create_trial(state=TrialState.FAIL, params={"x": low}, distributions={"x": distribution}))

    assert known.known["x"].domain == Float(-1.0, 2.0)


@pytest.mark.parametrize(
    ("state", "value", "reports", "expected"),
    [
        (TrialState.COMPLETE, 2.0, {}, (True, (-2.0,))),
        (TrialState.COMPLETE, math.inf, {}, (False, None)),
        (TrialState.FAIL, None, {}, (False, None)),
        (TrialState.PRUNED, None, {}, (True, None)),
        (TrialState.PRUNED, None, {1: 0.5, 3: 0.7}, (True, (-0.7,))),
        (TrialState.PRUNED, None, {1: math.nan}, (True, None)),
    ],
)
def test_what_a_finished_trial_says(
    state: TrialState, value: float | None, reports: dict[int, float], expected: tuple[bool, object]
) -> None:
    trial = create_trial(state=state, value=value, intermediate_values=reports)
    said = finished(trial, {}, [StudyDirection.MAXIMIZE], ())

    assert (said.succeeded, said.values) == expected


def test_constraints_that_a_trial_lacks_are_not_known() -> None:
    trial = create_trial(value=1.0, system_attrs={"constraints:b": 0.5, "constraints:c": math.inf})
    said = finished(trial, {}, [StudyDirection.MINIMIZE], ("a", "b", "c"))

    assert math.isnan(said.slacks[0])
    assert said.slacks[1] == 0.5
    assert math.isfinite(said.slacks[2])
