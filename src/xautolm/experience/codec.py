"""An experience as rows and back, and the hashes that make adding it twice harmless.

The rows hold JSON columns as text that is written once: it is what is hashed and what the database gets.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NoReturn

from xautolm.errors import StoreError
from xautolm.experience.scrub import scrub
from xautolm.records import Experience, Profile, TrialResult

#: Largest trial number that every database's INTEGER holds.
MAX_TRIAL_ID = 2**31 - 1
#: Tasks on machines that an encoder remembers at once, some 20 kB each.
MAX_SHARED = 256
#: JSON texts up to this long are read once when they repeat.
MAX_REPEATED_CHARS = 400
#: Columns that say nothing about what the experience is, in no content hash.
_UNHASHED = frozenset({"source", "created_at", "time_limit_s", "memory_limit_mib"})
_TEXT_COLUMNS = frozenset(("run_id", "status", "error_kind", "model", "method", "space_version", "model_revision"))
_TEXT_COLUMNS |= {"source", "created_at"}
#: Fields of a result and of its cost in the first release: always written, empty or not.
_FIRST_FIELDS = frozenset(("trial_id", "status", "pipeline", "scores", "cost", "curve", "seed", "seen"))
_FIRST_FIELDS |= {"n_threads", "n_parallel", "requested", "error", "started_at", "finished_at"}
_FIRST_COSTS = frozenset(("time_s", "cached_s", "train_s", "predict_s", "peak_mem_mib", "energy_wh"))


class UnstorableError(StoreError):
    """An experience that no store can keep; the next attempt would fail as well."""


class JsonText(str):
    """JSON that is written already; `write_json` hands it to the database as it is."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """An experience as three rows: what all trials of a task share, what all runs on a machine share, the rest."""

    task: Mapping[str, Any]
    system: Mapping[str, Any]
    experience: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Shared:
    """Rows that experiences share, and the values they were made of (kept, so that their ids stay theirs)."""

    task: dict[str, Any]
    system: dict[str, Any]
    hashes: str
    made_of: tuple[object, ...]


class Encoder:
    """Turns experiences into rows (columns as in `schema`, without the ids).

    Experiences of one run share their profile and sketch in memory; their rows are written and hashed once.
    """

    def __init__(self) -> None:
        self._shared: dict[tuple[object, ...], _Shared] = {}
        self._versions: dict[int, tuple[Mapping[str, str], JsonText]] = {}

    def encode(self, experience: Experience) -> Encoded:
        """Turn one experience into rows.

        The error message is scrubbed here, so that no caller can bring user text into a store.

        Raises:
            StoreError: the experience holds NaN, an infinity, or a value or character that a database cannot keep.
        """
        safe = without_user_text(experience)
        try:
            shared = self._share(safe)
            trial = _trial_row(safe, self._write_versions(safe.versions))
            _check_trial(trial)
            trial["content_hash"] = _content_hash(shared.hashes, trial, safe.result)
        except (ValueError, TypeError, RecursionError) as error:
            raise UnstorableError(
                f"An experience must hold finite JSON values, but trial {safe.result.trial_id!r} of run "
                f"{safe.run_id!r} does not: {error}. Nothing was added."
            ) from error
        return Encoded(shared.task, shared.system, trial)

    def _share(self, experience: Experience) -> _Shared:
        profile, sketch = experience.profile, experience.sketch
        key = (id(profile), id(sketch), experience.kind, experience.dataset_id, experience.fingerprint)
        if key not in self._shared:
            if len(self._shared) >= MAX_SHARED:
                self._shared.clear()
            self._shared[key] = _shared_rows(experience)
        return self._shared[key]

    def _write_versions(self, versions: Mapping[str, str]) -> JsonText:
        known = self._versions.get(id(versions))
        if known is None:
            if len(self._versions) >= MAX_SHARED:
                self._versions.clear()
            known = self._versions[id(versions)] = (versions, write_canonical(dict(versions)))
        return known[1]


def encode(experience: Experience) -> Encoded:
    """Turn one experience into rows; `Encoder` does the same for many.

    Raises:
        StoreError: as `Encoder.encode`.
    """
    return Encoder().encode(experience)


def decode(task: Mapping[str, Any], profile: Profile, row: Mapping[str, Any]) -> Experience:
    """Rebuild an experience from its rows; those of one task share `task` and `profile`.

    Raises:
        KeyError, TypeError, ValueError: the rows are not what `Encoder` makes.
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


def write_canonical(value: Any) -> JsonText:
    """Serialise as `records.canonical_json` does, with one encoder for all.

    Raises:
        ValueError, TypeError: NaN, an infinity, or no JSON value.
    """
    return JsonText(_ENCODER.encode(value))


def write_json(value: Any) -> str:
    """Serialise a value for a JSON column; what is written already stays as it is."""
    return value if isinstance(value, JsonText) else _ENCODER.encode(value)


def read_json(text: str | bytes, *, store: str) -> Any:
    """Read a JSON column, which psycopg hands over as bytes; `store` names the database in messages.

    Raises:
        StoreError: not JSON (NaN and infinities are not), or nested too deeply.
    """
    try:
        written = text.decode() if isinstance(text, bytes) else text
        return _read_again(written) if len(written) <= MAX_REPEATED_CHARS else _DECODER.decode(written)
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"The experience store `{store}` must hold JSON in its JSON columns, but one is damaged "
            f"({type(error).__name__}: {error}). Restore a copy of the store."
        ) from error


@lru_cache(maxsize=1024)
def _read_again(text: str) -> Any:
    """Read a short text; library versions and the like repeat, and are shared in memory."""
    return _DECODER.decode(text)


def without_user_text(experience: Experience) -> Experience:
    """The experience as a store keeps it: its error message scrubbed."""
    error = experience.result.error
    if error is None:
        return experience
    message = scrub(error.message)
    if message == error.message:
        return experience
    return replace(experience, result=replace(experience.result, error=replace(error, message=message)))


def _shared_rows(experience: Experience) -> _Shared:
    """The rows of task and system with their hashes.

    Raises:
        ValueError, TypeError: NaN, an infinity, no JSON value, or a NUL character.
    """
    profile = experience.profile
    task = {
        "kind": experience.kind,
        "dataset_id": experience.dataset_id,
        "fingerprint": experience.fingerprint,
        "schema_name": profile.schema,
        "features": dict(profile.task),
        "semantic": None if profile.semantic is None else list(profile.semantic),
        "sketch": list(experience.sketch),
    }
    features = {"schema_name": profile.system_schema, "features": dict(profile.system)}
    system = {**features, "name": profile.system_name}
    for row in (task, system):
        _check_texts(row, row.keys())
    task["content_hash"], system["content_hash"] = shared_hash(task), shared_hash(system)
    # Two machines with the same features are two rows when their names differ, but the same for an experience.
    unnamed_hash = shared_hash(features)
    hashes = f'"{task["content_hash"]}","{unnamed_hash}"'
    return _Shared(task, system, hashes, (profile, experience.sketch))


def shared_hash(row: Mapping[str, Any]) -> str:
    """Content hash of a task or a machine, from its row with or without id and hash.

    Names of machines came with the second schema: one without a name hashes as before.
    """
    ignored = {"task_id", "system_id", "content_hash"} | ({"name"} if not row.get("name") else set())
    return _sha256(write_canonical({name: value for name, value in row.items() if name not in ignored}))


def _trial_row(experience: Experience, versions: JsonText) -> dict[str, Any]:
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
        "versions": versions,
        "result": write_canonical(result_fields(result)),
    }


def result_fields(result: TrialResult) -> dict[str, Any]:
    """The JSON form of a result without the empty values of fields that came after the first release.

    So an experience of before a new field is the same one after it. What ran beside a trial concerns its run alone.
    """
    value = {name: item for name, item in result.to_dict().items() if item or name in _FIRST_FIELDS}
    value.pop("beside", None)
    value["cost"] = {name: cost for name, cost in value["cost"].items() if cost is not None or name in _FIRST_COSTS}
    return value


def _content_hash(shared: str, trial: Mapping[str, Any], result: TrialResult) -> str:
    """Hash of what makes a row the same experience, wherever and whenever it was added.

    A trial of this machine is identified by its run and number. An imported one may get other numbers at
    every import, so it is identified by its content alone. The limits came with the second schema: an experience
    of before must stay the same one.
    """
    facts = {name: value for name, value in trial.items() if name not in _UNHASHED}
    if trial["source"] == "import":
        del facts["run_id"], facts["trial_id"]
        facts["result"] = write_canonical({n: v for n, v in result_fields(result).items() if n != "trial_id"})
    written = (f"{write_canonical(name)}:{write_json(facts[name])}" for name in sorted(facts))
    return _sha256(f"[{shared},{{{','.join(written)}}}]")


def _check_trial(trial: Mapping[str, Any]) -> None:
    """Refuse what SQLite would take and PostgreSQL would not, so that any store can be copied into any other.

    Raises:
        ValueError: the trial number is out of range, a limit is not finite, or a text column holds a NUL character.
    """
    trial_id = trial["trial_id"]
    if type(trial_id) is not int or not 0 <= trial_id <= MAX_TRIAL_ID:
        raise ValueError(f"`trial_id` must be an integer from 0 to {MAX_TRIAL_ID}, got {trial_id!r}")
    for name in ("time_limit_s", "memory_limit_mib"):
        limit = trial[name]
        if limit is not None and not math.isfinite(limit):
            raise ValueError(f"`{name}` must be finite or None, got {limit!r}")
    _check_texts(trial, _TEXT_COLUMNS)
    (trial["source"] + trial["created_at"]).encode()  # in no hash, so a lone surrogate would come through to here


def _check_texts(row: Mapping[str, Any], columns: Iterable[str]) -> None:
    for name in columns:
        if isinstance(row[name], str) and "\0" in row[name]:
            raise ValueError(f"`{name}` holds a NUL character")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
