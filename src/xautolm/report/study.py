"""Exports a run to Optuna, from its folder alone: reads what the study is made of, and writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xautolm.errors import RunFolderError
from xautolm.experience.from_run import experiences_of_run
from xautolm.experience.location import display_url
from xautolm.records import Objective, RunReport
from xautolm.report.folder import constraints_of, read_extra, read_run

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

    from xautolm.search.study import StudyContent

#: Entries of `run.json` that are taken over as attributes of the study.
_FACTS = ("run_id", "dataset_id", "status", "seed", "budget", "wall_s", "energy_wh", "test", "front", "best")


def export_study(folder: Path, storage: str | BaseStorage | None = None, name: str | None = None) -> optuna.Study:
    """Write a run as a new study of an Optuna storage; the run may still be going on.

    Args:
        folder: of the run; it is only read.
        storage: URL of an Optuna storage, path of a SQLite file, or a storage of yours; None = a study in memory.
        name: of the study; None = that of the folder.

    Raises:
        RunFolderError: the folder holds no run, or a damaged one.
        UsageError: the storage has a study of this name.
        DataError: the storage cannot be used. After any of these, no part of the study is left in it.
    """
    from xautolm.experience.importers.optuna_storage import opened_for_writing
    from xautolm.search.study import write_study

    content = _content(folder)
    name = folder.resolve().name if name is None else name
    if not isinstance(storage, str):
        return write_study(content, storage, name)
    with opened_for_writing(storage) as opened:
        return write_study(content, opened, name, display_url(storage))


def _content(folder: Path) -> StudyContent:
    from xautolm.search.study import study_content
    from xautolm.space.build import space_from_dict

    report = read_run(folder)
    space, problem = read_extra(folder, "space.json")
    if not space:
        raise RunFolderError(f"expected `space.json` in `{folder}`; {problem or 'the run had not begun'}")
    counted = {trial.trial_id for trial in report.trials if trial.status != "interrupted"}
    return study_content(
        [experience for experience in experiences_of_run(folder) if experience.result.trial_id in counted],
        [Objective(entry["name"], entry["direction"]) for entry in report.run["objectives"]],
        constraints_of(report.run),
        space_from_dict(space),
        _facts(folder, report),
    )


def _facts(folder: Path, report: RunReport) -> dict[str, Any]:
    """Attributes of the study: what the run was, what it found, and what it believed before."""
    run = {**report.run, "front": list(report.front), "best": report.best}
    prior, _ = read_extra(folder, "prior.json")
    facts = {"kind": run.get("task"), **{key: run.get(key) for key in _FACTS}, **_prior_facts(prior)}
    versions = {"versions": dict(run.get("versions", {}))}
    return {key: value for key, value in {**facts, **versions}.items() if value is not None}


def _prior_facts(prior: Mapping[str, Any]) -> dict[str, Any]:
    """What the prior rests on, as `explain` says it: kind, experiences, weight, and the tasks they came from."""
    named = {f"prior_{key}": prior.get(key) for key in ("kind", "n_experiences", "weight")}
    neighbours = [
        {key: entry.get(key) for key in ("dataset_id", "distance", "n_positive", "n_negative")}
        for entry in prior.get("neighbours", ())
    ]
    return {**named, "prior_neighbours": neighbours or None}
