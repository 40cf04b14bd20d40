"""The experiences of a finished or stopped run, from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xautolm.errors import RunFolderError
from xautolm.experience.journal import read_journal
from xautolm.experience.run_folder import check_is_run
from xautolm.records import Experience, Profile, TrialResult


def experiences_of_run(folder: Path) -> list[Experience]:
    """Read the journal of a run as experiences, the same as the run itself gives its store.

    The run may still be going on: nothing is written, and a line that is not complete yet is left out.

    Args:
        folder: of the run, with `run.json`, `data.json`, `space.json` and `trials.jsonl`.

    Raises:
        RunFolderError: a file is missing or damaged, or the run was made by a release that did not write down what
            recognises the data.
    """
    check_is_run(folder)
    run, data, space = (_read(folder / name) for name in ("run.json", "data.json", "space.json"))
    results = read_journal(folder / "trials.jsonl", repair=False)
    try:
        return _experiences(run, data, space, results)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(
            f"`run.json`, `data.json` and `space.json` in `{folder}` must say what the trials are about, but lack or "
            f"garble {error}; they are damaged, or of an older release, which gave its trials to the store itself"
        ) from error


def _experiences(
    run: Mapping[str, Any], data: Mapping[str, Any], space: Mapping[str, Any], results: list[TrialResult]
) -> list[Experience]:
    saved = data["profile"]
    semantic = saved.get("semantic")
    profile = Profile(
        schema=saved["schema"],
        task=saved["task"],
        system_schema=saved["system_schema"],
        system=saved["system"],
        semantic=None if semantic is None else tuple(semantic),
        system_name=saved.get("system_name", ""),
    )
    sketch, versions = tuple(data["sketch"]), run["versions"]
    revisions = {model["name"]: model["revision"] for model in space["models"]}
    return [
        Experience(
            run_id=run["run_id"],
            dataset_id=data["dataset_id"],
            fingerprint=data["fingerprint"],
            sketch=sketch,
            profile=profile,
            result=result,
            space_version=space["version"],
            versions=versions,
            model_revision=revisions[result.pipeline.model],
            source="machine",
            created_at=result.finished_at,
            kind=run["task"],
            time_limit_s=space["limits"]["time_s"],
            memory_limit_mib=space["limits"]["memory_mib"],
        )
        for result in results
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"cannot read `{path}` ({error}); the run had not begun, or is damaged") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"expected an object in `{path}`, got a {type(value).__name__}")
    return value
