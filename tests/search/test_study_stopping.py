"""Stopping in a user's own study: with several objectives, calibrated on its curves, never what may still win."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from xautolm import ExperienceSampler
from xautolm.errors import UsageError
from xautolm.search.study_stopping import StudyStopper

N_STEPS = 8
#: Past scores that gained nothing after the first eighth of the training.
FLAT = [(0.0,) * N_STEPS] * 60


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def two_objectives(scores: list[float], seconds: float, past: list[tuple[float, ...]]) -> optuna.Study:
    """Trials with a constant score each; all claim to have taken some seconds."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=ExperienceSampler(seed=0))
    stopper = StudyStopper(study, ("score", "time"), past)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        trial.suggest_float("x", 0, 1)
        for step in range(1, N_STEPS + 1):
            if stopper.should_stop(trial, step, N_STEPS, scores[trial.number]):
                raise optuna.TrialPruned
        return scores[trial.number], seconds

    study.optimize(objective, n_trials=len(scores))
    return study


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_a_trial_that_is_beaten_whatever_comes_is_stopped() -> None:
    study = two_objectives([0.9, 0.5, 0.95, 0.9], 0.0, FLAT)

    assert states(study) == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED"]
    assert len(study.trials[1].user_attrs["xautolm:curve"]) == 1


def test_a_trial_that_may_be_cheaper_than_all_better_ones_goes_on() -> None:
    assert states(two_objectives([0.9, 0.5], 3600.0, FLAT)) == ["COMPLETE", "COMPLETE"]


def test_without_curves_nothing_is_known_and_nothing_stopped() -> None:
    assert states(two_objectives([0.9, 0.1, 0.1], 0.0, [])) == ["COMPLETE"] * 3


def test_the_study_s_own_curves_calibrate_it() -> None:
    assert states(two_objectives([0.9] * 20 + [0.1], 3600.0, []))[-1] == "COMPLETE"
    late = two_objectives([0.9 - 0.001 * i for i in range(25)], 0.0, [])

    assert states(late)[:20] == ["COMPLETE"] * 20
    assert states(late)[-1] == "PRUNED"


def test_one_objective_and_an_unknown_one() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=0.9))
    stopper = StudyStopper(study, ("score",), FLAT)
    assert stopper.should_stop(study.ask(), 1, N_STEPS, 0.5)
    assert not stopper.should_stop(study.ask(), 1, N_STEPS, 0.95)

    other = optuna.create_study(directions=["maximize", "maximize"])
    other.add_trial(optuna.trial.create_trial(values=[0.9, 7.0]))
    assert not StudyStopper(other, ("score", "fairness"), FLAT).should_stop(other.ask(), 1, N_STEPS, 0.1)


def test_failed_trials_count_for_nothing() -> None:
    study = optuna.create_study(direction="maximize")
    study.tell(study.ask(), state=TrialState.FAIL)

    assert not StudyStopper(study, ("score",), FLAT).should_stop(study.ask(), 1, N_STEPS, 0.0)


@pytest.mark.parametrize(
    ("directions", "names"),
    [
        (["maximize"], ("score", "time")),
        (["maximize"], "score"),
        (["maximize", "minimize"], ("accuracy", "time")),
        (["maximize", "maximize"], ("score", "score")),
        (["minimize"], ("score",)),
        (["maximize", "maximize"], ("score", "time")),
    ],
)
def test_names_that_do_not_fit_the_study_are_refused(directions: list[str], names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        ExperienceSampler(seed=0).stopper(optuna.create_study(directions=directions), names)
