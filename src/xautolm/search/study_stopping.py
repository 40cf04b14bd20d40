"""Front-aware stopping for a user's own Optuna study, also with several objectives, where Optuna's pruning raises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from xautolm.errors import UsageError
from xautolm.pareto import COSTS
from xautolm.records import Cost, Gains, Objective, Pipeline, Progress, TrialResult
from xautolm.search.stopping import CURVE_METRICS, FrontStopper

#: Name of the attribute in which a trial keeps its curve, for later trials and processes.
CURVE = "xautolm:curve"
_FIELDS = {
    "time": "time_s",
    "memory": "peak_mem_mib",
    "energy": "energy_wh",
    "size": "size_mib",
    "latency": "latency_ms",
}
_NOTHING = Pipeline("", "", {})


class StudyStopper:
    """Tells in an objective whether its trial can still enter the front of the study; the rule is `FrontStopper`'s.

    Args:
        study: the study.
        objectives: what its values are, in their order: `score` (in [0, 1], maximised, validated on the way), `time`
            (seconds of the trial, minimised), another cost (`memory`, `energy`, `size`, `latency`; minimised), or any
            other name (maximised). What a trial will have of those is not known, so that it is stopped for none.
        past: how scores of past trials grew (`ExperienceSampler.stopper` gives those of its store).

    Raises:
        UsageError: the names do not fit the study.
    """

    def __init__(self, study: optuna.Study, objectives: Sequence[str], past: Sequence[Gains] = ()) -> None:
        _check(study, objectives)
        self._study, self._names = study, tuple(objectives)
        known = [CURVE_METRICS[0] if name == "score" else name for name in objectives]
        directions = [Objective(name, "minimize") if name in COSTS else Objective(name, "maximize") for name in known]
        self._objectives = tuple(directions)
        self._rule = FrontStopper(self._objectives, (), past)

    def should_stop(self, trial: optuna.Trial, step: int, n_steps: int, score: float) -> bool:
        """Note a validation, and whether the trial has no chance left; then `raise optuna.TrialPruned`.

        Args:
            trial: the running trial.
            step: steps (or epochs) done.
            n_steps: steps of the whole training.
            score: validation score after them.
        """
        spent_s = (datetime.now() - _started(trial)).total_seconds()  # Optuna's times are local and without a zone
        curve = [*trial.user_attrs.get(CURVE, []), [step, spent_s, score]]
        trial.set_user_attr(CURVE, curve)
        progress = Progress(
            trial_id=trial.number,
            pipeline=_NOTHING,
            elapsed_s=spent_s,
            epoch=float(step),
            n_epochs=float(n_steps),
            stage="train",
            curve=tuple((int(s), float(t), float(value)) for s, t, value in curve),
            n_steps=n_steps,
        )
        ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return self._rule.reason(progress, [self._result(trial) for trial in ended]) is not None

    def _result(self, trial: FrozenTrial) -> TrialResult:
        values = dict(zip((objective.name for objective in self._objectives), trial.values, strict=True))
        costs = {_FIELDS[name]: value for name, value in values.items() if name in COSTS}
        curve = trial.user_attrs.get(CURVE, [])
        return TrialResult(
            trial_id=trial.number,
            status="ok",
            pipeline=_NOTHING,
            scores={name: value for name, value in values.items() if name not in COSTS},
            cost=Cost(**{"time_s": math.nan, **costs}),
            seed=0,
            curve=tuple((int(s), float(t), float(value)) for s, t, value in curve),
        )


def _started(trial: optuna.Trial) -> datetime:
    return trial.datetime_start or datetime.now()


def _check(study: optuna.Study, objectives: Sequence[str]) -> None:
    if isinstance(objectives, str) or len(objectives) != len(study.directions):
        raise UsageError(f"expected a name for each of {len(study.directions)} objectives, got {objectives!r}")
    if "score" not in objectives or len(set(objectives)) < len(objectives):
        raise UsageError(f"expected different names with `score` among them, got {objectives!r}")
    for name, direction in zip(objectives, study.directions, strict=True):
        wanted = StudyDirection.MINIMIZE if name in COSTS else StudyDirection.MAXIMIZE
        if direction != wanted:
            raise UsageError(
                f"expected `{name}` to be {wanted.name.lower()}d in the study, it is {direction.name.lower()}d"
            )
