"""Reads a run folder: `run.json` and `trials.jsonl` strictly, the optional files leniently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from xautolm import pareto
from xautolm.errors import RunFolderError
from xautolm.records import Constraint, Objective, RunReport, Status, TrialResult

#: Keys of `run.json` without which no report can be made; all others have a default.
REQUIRED = ("run_id", "status", "objectives")


def read_run(folder: str | Path) -> RunReport:
    """Read the facts of a run from its folder.

    The journal is the truth: when `run.json` is behind it (a run killed between two writes), the front and
    the best trial are computed again from the trials.

    Raises:
        RunFolderError: the folder is missing, is no run folder, or `run.json` or `trials.jsonl` is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        came = "a file" if path.exists() else "nothing"
        raise RunFolderError(
            f"Expected a run folder at `{path}`, found {came}. Give the folder that `xautolm fit` printed "
            "(it holds `run.json`)."
        )
    run = _read_run_json(path / "run.json")
    journal = _read_trials(path / "trials.jsonl", n_expected=_count(run.get("n_trials")))
    trials = tuple(trial for trial in journal if not trial.is_baseline)
    baselines = tuple(trial for trial in journal if trial.is_baseline)
    counted = sum(t.status != "interrupted" for t in trials)
    is_behind = (counted, len(baselines)) != (_count(run.get("n_trials")), _count(run.get("n_baselines")))
    front, best = _named_trials(run), run.get("best")
    known = {t.trial_id for t in trials}
    is_foreign = not {t.trial_id for t in journal}.issuperset(front) or best not in (*known, None)
    if is_behind or is_foreign:
        front, best = _front_of(trials, baselines, run)
    return RunReport(folder=str(path), run=run, trials=trials, front=front, best=best, baselines=baselines)


def constraints_of(run: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The bounds of the run."""
    return tuple(Constraint(**entry) for entry in run.get("constraints", ()))


def quality_objective(run: Mapping[str, Any]) -> Objective:
    """The first objective of the run that is a metric; `f1` when all are costs."""
    for entry in run["objectives"]:
        if entry["name"] not in pareto.COSTS:
            return Objective(entry["name"], entry["direction"])
    return Objective("f1", "maximize")


def read_extra(folder: str | Path, name: str) -> tuple[Mapping[str, Any], str]:
    """Read an optional file of the run folder.

    Returns:
        Its content and an empty note; ({}, "") when it is absent; ({}, what is wrong) when it cannot be read.
    """
    path = Path(folder) / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"`{name}` could not be read ({error}); its part of the report is missing."
    if not isinstance(value, dict):
        return {}, f"`{name}` holds no JSON object; its part of the report is missing."
    return value, ""


def _read_run_json(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(
            f"Expected a run folder, but `{path.parent}` has no `run.json`. Give the folder that `xautolm fit` printed."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"Expected one JSON object in `{path}`, but it cannot be read: {error}. "
            "`xautolm resume` with this folder writes it anew from the journal."
        ) from error
    missing = [key for key in REQUIRED if key not in run] if isinstance(run, dict) else list(REQUIRED)
    if missing:
        raise RunFolderError(
            f"Expected the keys {', '.join(f'`{k}`' for k in REQUIRED)} in `{path}`, but "
            f"{', '.join(f'`{k}`' for k in missing)} is missing. Is this a run folder of XAutoLM?"
        )
    _check_objectives(run["objectives"], path)
    return dict(run)


def _check_objectives(objectives: Any, path: Path) -> None:
    entries: list[Any] = objectives if isinstance(objectives, list) else [objectives]
    for entry in entries:
        is_named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
        if not is_named or entry.get("direction") not in ("maximize", "minimize"):
            raise RunFolderError(
                f"Expected `objectives` in `{path}` to be a list of {{name, direction}} with direction "
                f"`maximize` or `minimize`, got {entry!r}. Restore the file, "
                "or run `xautolm resume` with this folder."
            )


def _read_trials(path: Path, n_expected: int) -> tuple[TrialResult, ...]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if n_expected == 0:
            return ()
        raise RunFolderError(
            f"Expected {n_expected} trials in `{path}`, but the file is missing. Restore it from a copy: "
            "without its journal a run can be neither reported nor resumed."
        ) from None
    except OSError as error:
        raise RunFolderError(f"Expected to read `{path}`, but: {error}. Check its permissions.") from error
    # A line is finished when its line end is there; what follows the last one was torn off by a kill.
    complete = raw.split(b"\n")[:-1]
    trials: dict[int, TrialResult] = {}
    for line_number, line in enumerate(complete, start=1):
        if not line.strip():
            continue
        trial = _parse_trial(line, path, line_number)
        earlier = trials.pop(trial.trial_id, None)
        if earlier is not None and earlier.status != "interrupted":
            raise RunFolderError(
                f"Expected each trial once in `{path}`, but line {line_number} holds trial "
                f"{trial.trial_id} again. Two runs may have written to one folder; "
                "remove the line that does not belong here."
            )
        trials[trial.trial_id] = trial
    return tuple(trials.values())


def _parse_trial(line: bytes, path: Path, line_number: int) -> TrialResult:
    try:
        trial = TrialResult.from_dict(json.loads(line))
        if trial.status not in get_args(Status):
            raise ValueError(f"unknown status {trial.status!r}")
        if isinstance(trial.trial_id, bool) or not isinstance(trial.trial_id, int):
            raise TypeError(f"`trial_id` {trial.trial_id!r} is no integer")
        return trial
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunFolderError(
            f"Expected one trial as a JSON object on line {line_number} of `{path}`, but it cannot be read "
            f"({type(error).__name__}: {error}). Restore the file from a copy, or remove that line."
        ) from error


def _named_trials(run: Mapping[str, Any]) -> tuple[int, ...]:
    front = run.get("front")
    return tuple(i for i in front if isinstance(i, int)) if isinstance(front, list) else ()


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _front_of(
    trials: tuple[TrialResult, ...], baselines: tuple[TrialResult, ...], run: Mapping[str, Any]
) -> tuple[tuple[int, ...], int | None]:
    """Front and recommended trial, computed from the trials."""
    objectives = tuple(Objective(entry["name"], entry["direction"]) for entry in run["objectives"])
    constraints = constraints_of(run)
    front = pareto.front([*baselines, *trials], objectives, constraints)
    return front, pareto.recommend(trials, objectives, constraints)
