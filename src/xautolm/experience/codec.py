"""An experience as plain JSON values and back, and the hashes that make adding it twice harmless."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from xautolm.errors import StoreError
from xautolm.experience.scrub import scrub
from xautolm.records import Experience, Profile, TrialResult, canonical_json

#: Largest trial number that every database's INTEGER holds.
MAX_TRIAL_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """An experience as three rows: what all trials of a task share, what all runs on a machine share, the rest."""

    task: Mapping[str, Any]
    system: Mapping[str, Any]
    experience: Mapping[str, Any]


def encode(experience: Experience) -> Encoded:
    """Turn an experience into rows of JSON values (columns as in `schema`, without the ids).

    The error message is scrubbed here, so that no caller can bring user text into a store.

    Raises:
        StoreError: the experience holds NaN, an infinity, or a value or character that a database cannot keep.
    """
    safe = _without_user_text(experience)
    task, system, trial = _task_row(safe), _system_row(safe.profile), _trial_row(safe)
    try:
        _check(safe)
        features = {name: value for name, value in system.items() if name != "name"}
        unnamed_hash = _sha256(features)
        task["content_hash"] = _sha256(task)
        # Two machines with the same features are two rows when their names differ, but the same for an experience.
        system["content_hash"] = _sha256(system) if system["name"] else unnamed_hash
        trial["content_hash"] = _sha256([task["content_hash"], unnamed_hash, _identity(trial)])
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"An experience must hold finite JSON values, but trial {safe.result.trial_id!r} of run {safe.run_id!r} "
            f"does not: {error}. Nothing was added."
        ) from error
    return Encoded(task, system, trial)


def decode(task: Mapping[str, Any], profile: Profile, row: Mapping[str, Any]) -> Experience:
    """Rebuild an experience from its rows; those of one task share `task` and `profile`.

    Raises:
        KeyError, TypeError, ValueError: the rows are not what `encode` makes.
    """
    return Experience(
        run_id=row["run_id"],
        dataset_id=task["dataset_id"],
        fingerprint=task["fingerprint"],
        sketch=task["sketch"],
        profile=profile,
        result=TrialResult.from_dict(row["result"]),
        space_version=row["space_version"],
        versions=row["versions"],
        model_revision=row["model_revision"],
        source=row["source"],
        created_at=row["created_at"],
        kind=task["kind"],
        time_limit_s=row["time_limit_s"],
        memory_limit_mib=row["memory_limit_mib"],
    )


def read_json(text: str | bytes, *, store: str) -> Any:
    """Read a JSON column, which psycopg hands over as bytes; `store` names the database in messages.

    Raises:
        StoreError: not JSON (NaN and infinities are not), or nested too deeply.
    """
    try:
        return _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"The experience store `{store}` must hold JSON in its JSON columns, but one is damaged "
            f"({type(error).__name__}: {error}). Restore a copy of the store."
        ) from error


def _without_user_text(experience: Experience) -> Experience:
    error = experience.result.error
    if error is None:
        return experience
    safe_error = replace(error, message=scrub(error.message))
    return replace(experience, result=replace(experience.result, error=safe_error))


def _task_row(experience: Experience) -> dict[str, Any]:
    profile = experience.profile
    return {
        "kind": experience.kind,
        "dataset_id": experience.dataset_id,
        "fingerprint": experience.fingerprint,
        "schema_name": profile.schema,
        "features": dict(profile.task),
        "semantic": None if profile.semantic is None else list(profile.semantic),
        "sketch": list(experience.sketch),
    }


def _system_row(profile: Profile) -> dict[str, Any]:
    return {"schema_name": profile.system_schema, "features": dict(profile.system), "name": profile.system_name}


def _trial_row(experience: Experience) -> dict[str, Any]:
    result = experience.result
    return {
        "run_id": experience.run_id,
        "trial_id": result.trial_id,
        "status": result.status,
        "error_kind": result.error.kind if result.error else None,
        "model": result.pipeline.model,
        "method": result.pipeline.method,
        "f1": result.scores.get("f1"),
        "time_s": result.cost.time_s,
        "time_limit_s": experience.time_limit_s,
        "memory_limit_mib": experience.memory_limit_mib,
        "space_version": experience.space_version,
        "model_revision": experience.model_revision,
        "source": experience.source,
        "created_at": experience.created_at,
        "versions": dict(experience.versions),
        "result": result.to_dict(),
    }


def _identity(trial: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a trial's row that makes it the same experience, wherever and whenever it was added.

    A trial of this machine is identified by its run and number. An imported one may get other numbers at
    every import, so it is identified by its content alone. The limits came with the second schema: an experience
    of before must stay the same one.
    """
    ignored = {"source", "created_at", "time_limit_s", "memory_limit_mib"}
    facts = {name: value for name, value in trial.items() if name not in ignored}
    if trial["source"] == "import":
        del facts["run_id"], facts["trial_id"]
        facts["result"] = {name: value for name, value in facts["result"].items() if name != "trial_id"}
    return facts


def _check(experience: Experience) -> None:
    """Refuse what SQLite would take and PostgreSQL would not, so that any store can be copied into any other.

    Raises:
        ValueError: the trial number is out of range, a limit is not finite, or a text column holds a NUL character.
    """
    trial_id = experience.result.trial_id
    if type(trial_id) is not int or not 0 <= trial_id <= MAX_TRIAL_ID:
        raise ValueError(f"`trial_id` must be an integer from 0 to {MAX_TRIAL_ID}, got {trial_id!r}")
    for name in ("time_limit_s", "memory_limit_mib"):
        limit = getattr(experience, name)
        if limit is not None and not math.isfinite(limit):
            raise ValueError(f"`{name}` must be finite or None, got {limit!r}")
    for row in (_task_row(experience), _system_row(experience.profile), _trial_row(experience)):
        for name, value in row.items():
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"`{name}` holds a NUL character")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
