"""A run as an Optuna study, for optuna-dashboard and `optuna.visualization`.

Parameters stand under the handles of `search.samplers`, with what was proposed where a rescue changed it (`ran` says
what then ran). Scores, costs and the like are user attributes. What an importer needs to restore each experience whole
stands in system attributes, which these tools do not show. Left to the run folder: the logs, and texts of errors but
for their scrubbed first line.

Optuna's pruning API takes values of running trials with one objective only. So the validation curve is made of
intermediate values where the one objective is a score, and is a user attribute else.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from xautolm.errors import DataError, UsageError
from xautolm.experience.codec import encode, without_user_text
from xautolm.experience.importers.optuna_study import EXPERIENCE, SHARED
from xautolm.experience.interchange import experience_entry, system_entry, task_entry
from xautolm.pareto import COSTS, objective_value, quantity
from xautolm.records import Constraint, Experience, Objective, TrialResult
from xautolm.search.loop import asked_for
from xautolm.search.samplers import decisions, distributions
from xautolm.space.observed import widened
from xautolm.space.params import Space

#: System attribute that is set last; a study without it was cut off while it was written.
_COMPLETE = "xautolm:complete"
#: Where samplers and plots of every version of Optuna look for constraints; at most 0 is feasible.
_CONSTRAINTS = "constraints"
#: Longest name of a study in a database of Optuna.
_MAX_NAME_CHARS = 512


@dataclass(frozen=True, slots=True)
class StudyContent:
    """What a study holds, before it is written anywhere.

    Attributes:
        user_attrs: about the run, for people.
        system_attrs: what its experiences share, for the importer.
    """

    objectives: tuple[Objective, ...]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]


def study_content(
    experiences: Sequence[Experience],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    space: Space,
    facts: Mapping[str, Any],
) -> StudyContent:
    """Turn the trials of a run into those of a study, in the order of their ids.

    Args:
        experiences: of one run.
        objectives: of the run; trials without a finite value of one count as failed.
        constraints: of the run.
        space: that it searched; it gets room for trials from outside it, so that all can be shown.
        facts: user attributes of the study.
    """
    ordered = sorted(map(without_user_text, experiences), key=lambda experience: experience.result.trial_id)
    roomy = widened(space, [asked_for(experience.result) for experience in ordered])
    shared: dict[str, Any] = {}
    trials = []
    for experience in ordered:
        encoded = encode(experience)
        shared |= {entry["id"]: entry for entry in (task_entry(encoded.task), system_entry(encoded.system))}
        trials.append(_trial(experience.result, objectives, constraints, roomy, experience_entry(experience, encoded)))
    bounds = {"constraints": [_bound_text(constraint) for constraint in constraints]} if constraints else {}
    return StudyContent(tuple(objectives), {**facts, **bounds}, {SHARED: list(shared.values())}, tuple(trials))


def write_study(content: StudyContent, storage: BaseStorage | None, name: str, shown: str = "") -> optuna.Study:
    """Write a study; when that fails, it is removed again.

    Args:
        content: of the study.
        storage: where to; None = memory.
        name: of the study, new in the storage.
        shown: the storage in words, for messages.

    Raises:
        UsageError: the storage has a study of this name, or no study can have it.
    """
    if not 0 < len(name.strip()) <= len(name) <= _MAX_NAME_CHARS or not name.isprintable():
        raise UsageError(f"expected a study name of 1 to {_MAX_NAME_CHARS} printable characters, got {name!r}")
    try:
        study = _quietly_created(storage, name, content.objectives)
    except optuna.exceptions.DuplicatedStudyError:
        raise UsageError(_taken(storage, name, shown)) from None
    try:
        _fill(study, content)
    except BaseException:
        with contextlib.suppress(Exception):  # what failed before is what the user must know
            study._storage.delete_study(study._study_id)
        raise
    return study


def _quietly_created(storage: BaseStorage | None, name: str, objectives: Sequence[Objective]) -> optuna.Study:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))  # it would announce the study on stderr
    try:
        return optuna.create_study(storage=storage, study_name=name, directions=[o.direction for o in objectives])
    finally:
        optuna.logging.set_verbosity(level)


def _fill(study: optuna.Study, content: StudyContent) -> None:
    storage, study_id = study._storage, study._study_id
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        study.set_metric_names([objective.name for objective in content.objectives])
    for key, value in content.user_attrs.items():
        study.set_user_attr(key, value)
    for key, value in content.system_attrs.items():
        storage.set_study_system_attr(study_id, key, value)
    study.add_trials(content.trials)
    storage.set_study_system_attr(study_id, _COMPLETE, True)


def _taken(storage: BaseStorage | None, name: str, shown: str) -> str:
    """What to do about a study that is there already."""
    is_ours_and_torn = False
    with contextlib.suppress(Exception):  # another process may have removed it by now
        attributes = storage.get_study_system_attrs(storage.get_study_id_from_name(name)) if storage else {}
        is_ours_and_torn = SHARED in attributes and _COMPLETE not in attributes
    state = ", of an export that is going on or was cut off" if is_ours_and_torn else ""
    return (
        f"{shown or 'the storage'} already holds a study {name!r}{state}; give another `--name`, or remove it with "
        f"`optuna delete-study --storage {shown or 'URL'} --study-name {name!r}` and try again"
    )


def _trial(
    result: TrialResult,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    space: Space,
    entry: Mapping[str, Any],
) -> FrozenTrial:
    values = [objective_value(result, objective) for objective in objectives]
    state = _state(result, values)
    reported = _reported(result, objectives)
    if state == TrialState.PRUNED and reported:
        values = [reported[max(reported)]]  # as Optuna itself: a pruned trial has the last value that it reported
    has_values = state == TrialState.COMPLETE or (state == TrialState.PRUNED and bool(reported))
    pipeline = asked_for(result)
    params, known = decisions(pipeline), distributions(pipeline.method, space)  # one from outside may lack some
    bounds = [_violation(result, constraint) for constraint in constraints]
    kept = {_CONSTRAINTS: bounds} if bounds and state == TrialState.COMPLETE else {}
    trial = create_trial(
        state=state,
        values=values if has_values else None,
        params=params,
        distributions={name: known[name] for name in params},
        user_attrs=_attributes(result, is_curve_reported=bool(reported)),
        system_attrs={EXPERIENCE: dict(entry), **kept},
        intermediate_values=reported,
    )
    _set_times(trial, result)
    return trial


def _state(result: TrialResult, values: Sequence[float]) -> TrialState:
    if result.status == "stopped":
        return TrialState.PRUNED
    return TrialState.COMPLETE if result.is_ok and all(map(math.isfinite, values)) else TrialState.FAIL


def _reported(result: TrialResult, objectives: Sequence[Objective]) -> dict[int, float]:
    """Step -> score, where Optuna permits it."""
    if len(objectives) > 1 or objectives[0].name in COSTS:
        return {}
    return {step: score for step, _, score in result.curve if math.isfinite(score)}


def _violation(result: TrialResult, constraint: Constraint) -> float:
    """By how much a bound is broken, at most 0 where it is kept; 1 where the quantity was not measured."""
    value = quantity(result, constraint.name)
    if math.isnan(value):
        return 1.0
    return constraint.bound - value if constraint.is_minimum else value - constraint.bound


def _bound_text(constraint: Constraint) -> str:
    return f"{constraint.name}{'>=' if constraint.is_minimum else '<='}{constraint.bound:g}"


def _attributes(result: TrialResult, *, is_curve_reported: bool) -> dict[str, Any]:
    """What people want to see of a trial: numbers and words of ours, no text of theirs."""
    cost = {name: getattr(result.cost, name) for name in result.cost.__slots__}
    kept: dict[str, Any] = {"trial_id": result.trial_id, "status": result.status}
    if result.error is not None:
        kept["error_kind"] = result.error.kind
    numbers = {**result.scores, **cost, "seed": result.seed}
    kept |= {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    kept |= {"n_threads": result.n_threads, "n_parallel": result.n_parallel}
    if result.requested is not None:
        asked = result.requested.to_dict()
        kept["ran"] = {name: value for name, value in result.pipeline.to_dict().items() if asked.get(name) != value}
    if result.curve and not is_curve_reported:
        kept["curve"] = [list(point) for point in result.curve]
    return kept


def _set_times(trial: FrozenTrial, result: TrialResult) -> None:
    """Give a trial its times, local and without a zone as Optuna keeps them; how long it took is exact.

    Raises:
        DataError: a time is none.
    """
    try:
        started, finished = map(datetime.fromisoformat, (result.started_at, result.finished_at))
        took = max(finished - started, timedelta())
    except (ValueError, TypeError):
        raise DataError(
            f"expected times like 2026-01-02T03:04:05+00:00 in trial {result.trial_id} of the run, "
            f"got {result.started_at!r} and {result.finished_at!r}; restore `trials.jsonl` from a copy"
        ) from None
    trial.datetime_start = started.astimezone().replace(tzinfo=None)
    trial.datetime_complete = trial.datetime_start + took
