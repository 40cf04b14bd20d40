"""An Optuna study: each finished trial becomes an experience.

Optuna keeps hyperparameters, values, times and attributes; what it does not know stays unknown here. Text in attributes
is not taken over, and the distributions of a study have no place in an experience.

A study that a run was exported to (`search.study`) holds its experiences whole, in system attributes: those come back
as they were, each value checked as in a file of experiences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from xautolm.experience.importers.evaluation import CLASSIFICATION_FEATURES, GENERATION_FEATURES, SYSTEM_FEATURES
from xautolm.experience.importers.imported import (
    Imported,
    collect,
    fingerprint,
    is_plain_name,
    model_name,
    name_of,
    number,
    params_of,
    plain_word,
)
from xautolm.experience.importers.optuna_storage import find_study, opened, trials_of
from xautolm.experience.importers.published import CLASSIFICATION, QUESTION_ANSWERING
from xautolm.experience.interchange import EntryReader
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Cost, Experience, Pipeline, Profile, Status, TrialError, TrialResult

UNKNOWN = "unknown"
#: Names under which numeric attributes of a trial are taken over: metric keys and cost keys (design.md, section 6).
METRICS = frozenset({"f1", "accuracy", "exact_match", "token_f1", "rouge_l", "pearson", "spearman", "rmse"})
_COSTS = ("train_s", "predict_s", "peak_mem_mib", "energy_wh")
_STATUS: Mapping[TrialState, Status] = {
    TrialState.COMPLETE: "ok",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "crashed",
}
_METRIC_NAMES = "study:metric_names"
#: System attributes of an exported run: of the study, the entries of its task and machine (`interchange`); of a trial,
#: the entry of its experience.
SHARED = "xautolm:shared"
EXPERIENCE = "xautolm:experience"
_MAX_CURVE_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Study:
    """What all trials of a study share.

    Attributes:
        scores: name of each objective's score.
        entries: knows what the experiences of an exported run share.
    """

    name: str
    kind: str
    scores: tuple[str, ...]
    profile: Profile
    entries: EntryReader


def read(source: str, name: str | None = None) -> Imported:
    """Read the finished trials of a study.

    The parameters `method` and `<method>.model` (or `model`) become the pipeline's; `<method>.x` becomes `x`; all
    others keep their names. Scores have the study's metric names, or else are called `value` (maximised) or `loss`
    (minimised), numbered if there are several; numeric attributes of a trial that are metric or cost keys are taken
    over. Numeric attributes of the study that are names of meta-features make the profile; `kind` says the task kind,
    which is text classification by default. The study's name is the name of the data set.

    Args:
        source: URL of the storage, or the path of a SQLite file.
        name: name of the study; may be left out where the storage holds one.

    Raises:
        DataError: the storage cannot be read as one of this Optuna, or has no such study.
    """
    with opened(source) as storage:
        study_name = find_study(storage, name, source)
        study_id = storage.get_study_id_from_name(study_name)
        facts = _facts(storage, study_id, study_name)
        trials = trials_of(storage, study_id)
    return collect((where, partial(_experience_of, trial, facts)) for where, trial in trials)


def _facts(storage: RDBStorage, study_id: int, name: str) -> Study:
    attributes = storage.get_study_user_attrs(study_id)
    internal = storage.get_study_system_attrs(study_id)
    named = internal.get(_METRIC_NAMES)
    stated = attributes.get("kind")
    kind = stated if isinstance(stated, str) and is_plain_name(stated) else CLASSIFICATION
    return Study(
        name=name,
        kind=kind,
        scores=_score_names(storage.get_study_directions(study_id), named),
        profile=_profile(kind, {key: float(value) for key, value in attributes.items() if _is_finite(value)}),
        entries=_entries(internal.get(SHARED)),
    )


def _entries(shared: object) -> EntryReader:
    """Reads the experiences of an exported run; where what they share is damaged, none of them can be read."""
    reader = EntryReader()
    for entry in shared if isinstance(shared, list) else []:
        with suppress(RowError):
            reader.read(entry, "study")
    return reader


def _score_names(directions: Sequence[StudyDirection], named: object) -> tuple[str, ...]:
    """Name of each objective's score; those that the study does not name say whether more is better.

    >>> _score_names([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE], ["f1", "two words"])
    ('f1', 'loss_1')
    """
    names = named if isinstance(named, list) and len(named) == len(directions) else [None] * len(directions)
    numbered = len(directions) > 1
    return tuple(
        name
        if isinstance(name, str) and is_plain_name(name) and names.count(name) == 1
        else ("loss" if direction == StudyDirection.MINIMIZE else "value") + (f"_{i}" if numbered else "")
        for i, (name, direction) in enumerate(zip(names, directions, strict=True))
    )


def _experience_of(trial: FrozenTrial | RowError, study: Study) -> Experience:
    """Raises `RowError` where the trial is damaged, has not ended or holds what cannot be kept."""
    if isinstance(trial, RowError):
        raise trial
    if trial.state not in _STATUS:
        raise RowError(f"must have ended, but is {trial.state.name.lower()}")
    if EXPERIENCE in trial.system_attrs:
        exported = study.entries.read(trial.system_attrs[EXPERIENCE], f"trial {trial.number}")
        if exported is None:
            raise RowError(f"`{EXPERIENCE}` must be an experience")
        return exported
    dataset_id = name_of(study.name, "the study's name")
    finished_at = _iso(trial.datetime_complete)
    return Experience(
        run_id=f"optuna/{dataset_id}",
        dataset_id=dataset_id,
        fingerprint=fingerprint("optuna", dataset_id),
        sketch=(),
        profile=study.profile,
        result=_result(trial, study, finished_at),
        space_version="optuna",
        versions={},
        model_revision="",
        source="import",
        created_at=finished_at,
        kind=study.kind,
    )


def _result(trial: FrozenTrial, study: Study, finished_at: str) -> TrialResult:
    status = _STATUS[trial.state]
    duration_s = _duration_s(trial)
    costs = {name: number(trial.user_attrs[name], name, 0) for name in _COSTS if _is_finite(trial.user_attrs.get(name))}
    if status == "ok" and duration_s is None:
        raise RowError("must have the times of its start and its end, but has not")
    return TrialResult(
        trial_id=int(number(trial.number, "number", 0, 2**31 - 1)),
        status=status,
        pipeline=_pipeline(trial.params),
        scores=_scores(trial, study) if status == "ok" else {},
        cost=Cost(
            time_s=duration_s or 0.0,
            train_s=costs.get("train_s", 0.0),
            predict_s=costs.get("predict_s", 0.0),
            peak_mem_mib=costs.get("peak_mem_mib"),
            energy_wh=costs.get("energy_wh"),
        ),
        seed=0,
        curve=_curve(trial.intermediate_values, duration_s),
        error=TrialError(UNKNOWN, "") if status == "crashed" else None,
        started_at=_iso(trial.datetime_start),
        finished_at=finished_at,
    )


def _pipeline(params: Mapping[str, object]) -> Pipeline:
    """Model, method and hyperparameters; what the study did not choose is `unknown`.

    >>> _pipeline({"method": "lora", "lora.model": "gpt2", "lora.lora_r": 8, "epochs": 2}).to_dict()
    {'model': 'gpt2', 'method': 'lora', 'lora_r': 8, 'epochs': 2}
    """
    left = {str(name): value for name, value in params.items()}  # a damaged storage may hold other names
    method = _taken(left, ("method",))
    model = _taken(left, (f"{method}.model", "model", "model_name"))
    names = {name: name.removeprefix(f"{method}.") if method else name for name in left}
    if len(set(names.values())) < len(names):
        raise RowError(f"a hyperparameter must stand once, but one stands with and without {shown(method)} before it")
    kept = params_of({names[name]: value for name, value in left.items()})
    return Pipeline(model_name(model) if model else UNKNOWN, plain_word(method) if method else UNKNOWN, kept)


def _taken(params: dict[str, object], names: Sequence[str]) -> str:
    """The first of some parameters that is a word, taken out; empty where there is none."""
    name = next((name for name in names if isinstance(params.get(name), str) and params[name]), None)
    return "" if name is None else str(params.pop(name))


def _scores(trial: FrozenTrial, study: Study) -> dict[str, float]:
    values = trial.values or []
    if len(values) != len(study.scores):
        raise RowError(f"must have {len(study.scores)} values, got {len(values)}")
    observed = {name: float(value) for name, value in trial.user_attrs.items() if name in METRICS and _is_finite(value)}
    return observed | {name: number(value, name) for name, value in zip(study.scores, values, strict=True)}


def _curve(reported: Mapping[int, float], duration_s: float | None) -> tuple[tuple[int, float, float], ...]:
    """Reported values; Optuna does not keep when they came, so they are taken as evenly spread over the trial."""
    if duration_s is None:
        return ()
    usable = (step for step, value in reported.items() if type(step) is int and 0 <= step < 2**53 and _is_finite(value))
    steps = sorted(usable)[:_MAX_CURVE_POINTS]
    return tuple((step, duration_s * (i + 1) / len(steps), float(reported[step])) for i, step in enumerate(steps))


def _profile(kind: str, numbers: Mapping[str, float]) -> Profile:
    """Features that the study's numeric attributes name; an empty profile is comparable with none."""
    is_answering = kind == QUESTION_ANSWERING
    names = GENERATION_FEATURES if is_answering else CLASSIFICATION_FEATURES
    task = {name: numbers[name] for name in names if name in numbers}
    system = {name: numbers[name] for name in SYSTEM_FEATURES if name in numbers}
    schema = "generation/1" if is_answering else "classification/1"
    return Profile(schema if task else UNKNOWN, task, "system/1" if system else UNKNOWN, system)


def _duration_s(trial: FrozenTrial) -> float | None:
    if trial.datetime_start is None or trial.datetime_complete is None:
        return None
    seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    return number(seconds, "duration", 0)


def _iso(moment: datetime | None) -> str:
    """Optuna keeps local time without its zone; it is taken as UTC."""
    return "" if moment is None else moment.replace(tzinfo=UTC).isoformat()


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
