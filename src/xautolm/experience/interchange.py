"""Experiences as JSON objects for files, and back, with every value checked.

An *entry* is one of three objects: `{"task": {...}, "id": "..."}` and `{"system": {...}, "id": "..."}` say what
experiences share, `{"experience": {...}}` refers to one of each by id. Entries come from files of other people: a value
that no store would write is refused with a reason, nothing is executed, nothing is guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn, TypeVar, cast

from xautolm.experience.codec import MAX_TRIAL_ID, Encoded, result_fields
from xautolm.experience.journal import STATUSES
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult

FORMAT = "xautolm-experiences"
VERSION = 1

#: Longest entry that is read; a task with the largest sketch and embedding has 40 kB.
MAX_ENTRY_BYTES = 4 * 2**20
#: Longest name, hash, or time; longest other text (an error message, a value of a hyperparameter).
MAX_NAME_CHARS = 500
MAX_TEXT_CHARS = 4_000
#: Largest number of entries in any object, and of points, rows or vector elements in any list.
MAX_KEYS = 2_000
MAX_ITEMS = 100_000
#: Integers are sketches (64 bits), seeds and counts.
MAX_INTEGER = 2**64

Entry = Mapping[str, Any]
T = TypeVar("T")


def header() -> dict[str, Any]:
    """What stands first in a file."""
    return {"format": FORMAT, "version": VERSION}


def task_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a task, from `Encoded.task`."""
    return {"task": _without_hash(row), "id": row["content_hash"]}


def system_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a machine, from `Encoded.system`."""
    return {"system": _without_hash(row), "id": row["content_hash"]}


def experience_fields(experience: Experience) -> dict[str, Any]:
    """What an experience entry says beside its references."""
    return {
        "run_id": experience.run_id,
        "time_limit_s": experience.time_limit_s,
        "memory_limit_mib": experience.memory_limit_mib,
        "space_version": experience.space_version,
        "model_revision": experience.model_revision,
        "source": experience.source,
        "created_at": experience.created_at,
        "versions": dict(experience.versions),
        "result": result_fields(experience.result),
    }


def experience_entry(experience: Experience, encoded: Encoded) -> dict[str, Any]:
    """The entry of an experience; its task and machine must have theirs before it."""
    references = {"task": encoded.task["content_hash"], "system": encoded.system["content_hash"]}
    return {"experience": {**references, **experience_fields(experience)}}


@dataclass(frozen=True, slots=True)
class _Task:
    kind: str
    dataset_id: str
    fingerprint: str
    schema: str
    features: Mapping[str, float]
    semantic: tuple[float, ...] | None
    sketch: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _System:
    schema: str
    features: Mapping[str, float]
    name: str


class EntryReader:
    """Puts experiences together from entries, in the order of a file; what they share is shared in memory.

    Attributes:
        n_shared: entries so far that are tasks or machines.
    """

    def __init__(self) -> None:
        self.n_shared = 0
        self._tasks: dict[str, _Task] = {}
        self._systems: dict[str, _System] = {}
        self._profiles: dict[tuple[str, str], Profile] = {}
        self._seen: dict[tuple[str, int], str] = {}

    def read(self, entry: object, where: str) -> Experience | None:
        """Take one entry in.

        Args:
            entry: a JSON value.
            where: its place in the file, for a later entry that repeats it.

        Returns:
            The experience; None for an entry that is a task or a machine.

        Raises:
            RowError: it is not an entry; the message says what was expected and what came.
        """
        value = _object(entry, "an entry")
        self.n_shared += "task" in value or "system" in value
        if "task" in value:
            _check_names(value, {"task", "id"}, "a task entry")
            _keep(self._tasks, _text(value["id"], "id"), _read_task(_object(value["task"], "task")))
            return None
        if "system" in value:
            _check_names(value, {"system", "id"}, "a system entry")
            _keep(self._systems, _text(value["id"], "id"), _read_system(_object(value["system"], "system")))
            return None
        _check_names(value, {"experience"}, "an entry")
        return self._read_experience(_object(value["experience"], "experience"), where)

    def _read_experience(self, value: Entry, where: str) -> Experience:
        _check_names(value, _EXPERIENCE_FIELDS, "an experience")
        task_id, system_id = _text(value["task"], "task"), _text(value["system"], "system")
        for kind, known, reference in (("task", self._tasks, task_id), ("system", self._systems, system_id)):
            if reference not in known:
                raise RowError(f"`{kind}` must refer to an entry above, but none has the id {shown(reference)}")
        task = self._tasks[task_id]
        experience = Experience(
            run_id=_text(value["run_id"], "run_id"),
            dataset_id=task.dataset_id,
            fingerprint=task.fingerprint,
            sketch=task.sketch,
            profile=self._profile(task_id, system_id),
            result=read_result(value["result"]),
            space_version=_text(value["space_version"], "space_version"),
            versions=_mapping(value["versions"], "versions", _text),
            model_revision=_text(value["model_revision"], "model_revision"),
            source=_text(value["source"], "source"),
            created_at=_text(value["created_at"], "created_at"),
            kind=task.kind,
            time_limit_s=_optional(value["time_limit_s"], "time_limit_s", _number),
            memory_limit_mib=_optional(value["memory_limit_mib"], "memory_limit_mib", _number),
        )
        self._refuse_repetition(experience, where)
        return experience

    def _refuse_repetition(self, experience: Experience, where: str) -> None:
        key = (experience.run_id, experience.result.trial_id)
        first = self._seen.setdefault(key, where)
        if first != where:
            raise RowError(f"trial {key[1]} of run {shown(key[0])} stands there twice, first at {first}")

    def _profile(self, task_id: str, system_id: str) -> Profile:
        key = (task_id, system_id)
        if key not in self._profiles:
            task, system = self._tasks[task_id], self._systems[system_id]
            self._profiles[key] = Profile(
                schema=task.schema,
                task=task.features,
                system_schema=system.schema,
                system=system.features,
                semantic=task.semantic,
                system_name=system.name,
            )
        return self._profiles[key]


def parse(text: bytes | str) -> object:
    """Read the JSON of an entry.

    Raises:
        RowError: it is not JSON, holds NaN, an infinity or a name twice, or is nested too deeply or too long.
    """
    if len(text) > MAX_ENTRY_BYTES:
        raise RowError(f"an entry must have at most {MAX_ENTRY_BYTES:,} bytes")
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise RowError("the entry is nested too deeply") from None
    except ValueError as error:
        raise RowError(f"an entry must be JSON, but this is not: {shown(str(error))}") from None


def read_result(value: object) -> TrialResult:
    """A trial from its JSON form (`TrialResult.to_dict`), checked.

    Raises:
        RowError: it is not one.
    """
    result = _object(value, "result")
    _check_names(result, _RESULT_FIELDS, "a result")
    status = _text(result["status"], "status")
    if status not in STATUSES:
        raise RowError(f"`status` must be one of {', '.join(sorted(STATUSES))}, got {shown(status)}")
    return TrialResult(
        trial_id=_integer(result["trial_id"], "trial_id", 0, MAX_TRIAL_ID),
        status=status,  # type: ignore[arg-type]  # checked just above
        pipeline=_read_pipeline(result["pipeline"], "pipeline"),
        scores=_mapping(result["scores"], "scores", _number),
        cost=_read_cost(result["cost"]),
        seed=_integer(result["seed"], "seed"),
        seen=tuple(_integer(item, "seen") for item in _list(result["seen"], "seen")),
        curve=tuple(_read_point(item) for item in _list(result["curve"], "curve")),
        n_threads=_integer(result["n_threads"], "n_threads"),
        n_parallel=_integer(result["n_parallel"], "n_parallel"),
        requested=_optional(result["requested"], "requested", _read_pipeline),
        error=_optional(result["error"], "error", _read_error),
        started_at=_text(result["started_at"], "started_at"),
        finished_at=_text(result["finished_at"], "finished_at"),
    )


_RESULT_FIELDS = frozenset(field.name for field in fields(TrialResult)) - {"beside"}
_COST_FIELDS = frozenset(field.name for field in fields(Cost))
_OPTIONAL_COSTS = frozenset(field.name for field in fields(Cost) if field.default is None)
_EXPERIENCE_FIELDS: frozenset[str] = frozenset(
    ("task", "system", "run_id", "time_limit_s", "memory_limit_mib", "space_version")
)
_EXPERIENCE_FIELDS |= {"model_revision", "source", "created_at", "versions", "result"}


def _read_task(value: Entry) -> _Task:
    names = {"kind", "dataset_id", "fingerprint", "schema_name", "features", "semantic", "sketch"}
    _check_names(value, names, "a task")
    sketch = [_integer(item, "sketch") for item in _list(value["sketch"], "sketch")]
    semantic = None if value["semantic"] is None else _list(value["semantic"], "semantic")
    return _Task(
        kind=_text(value["kind"], "kind"),
        dataset_id=_text(value["dataset_id"], "dataset_id"),
        fingerprint=_text(value["fingerprint"], "fingerprint"),
        schema=_text(value["schema_name"], "schema_name"),
        features=_mapping(value["features"], "features", _number),
        semantic=None if semantic is None else tuple(_number(item, "semantic") for item in semantic),
        sketch=tuple(sketch),
    )


def _read_system(value: Entry) -> _System:
    _check_names(value, {"schema_name", "features", "name"}, "a system")
    return _System(
        schema=_text(value["schema_name"], "schema_name"),
        features=_mapping(value["features"], "features", _number),
        name=_text(value["name"], "name"),
    )


def _read_cost(value: object) -> Cost:
    cost = _object(value, "cost")
    unknown = cost.keys() - _COST_FIELDS
    if unknown or "time_s" not in cost:
        raise RowError(f"`cost` must hold `time_s` and nothing unknown, got {shown(sorted(cost))}")
    return Cost(**{name: _read_one_cost(item, name) for name, item in cost.items()})


def _read_one_cost(value: object, name: str) -> Any:
    if value is None and name in _OPTIONAL_COSTS:
        return None
    return _integer(value, name) if name == "n_trainable" else _number(value, name)


def _read_point(value: object) -> tuple[int, float, float]:
    point = _list(value, "curve")
    if len(point) != 3:
        raise RowError(f"`curve` must be a list of (step, seconds, score), got {shown(value)}")
    return _integer(point[0], "curve"), _number(point[1], "curve"), _number(point[2], "curve")


def _read_pipeline(value: object, name: str) -> Pipeline:
    pipeline = _mapping(value, name, _param)
    model, method = pipeline.pop("model", None), pipeline.pop("method", None)
    if not isinstance(model, str) or not isinstance(method, str):
        raise RowError(f"`{name}` must name a model and a method, got {shown(value)}")
    return Pipeline(model, method, pipeline)


def _read_error(value: object, name: str) -> TrialError:
    error = _object(value, name)
    _check_names(error, {"kind", "message"}, "an error")
    return TrialError(_text(error["kind"], "kind"), _text(error["message"], "message", MAX_TEXT_CHARS))


def _param(value: object, name: str) -> bool | int | float | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, name, MAX_TEXT_CHARS)
    return _integer(value, name) if isinstance(value, int) else _number(value, name)


def _keep(known: dict[str, T], reference: str, item: T) -> None:
    if known.setdefault(reference, item) != item:
        raise RowError(f"the id {shown(reference)} stands for something else above")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has a name twice")
    return value


def _without_hash(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "content_hash"}


def _check_names(value: Entry, expected: frozenset[str] | set[str], what: str) -> None:
    if set(value) != expected:
        missing, unknown = sorted(expected - value.keys()), sorted(value.keys() - expected)
        found = [f"{kind} {shown(names)}" for kind, names in (("lacks", missing), ("has", unknown)) if names]
        raise RowError(f"{what} must hold {', '.join(sorted(expected))}; it {' and '.join(found)}")


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_KEYS:
        raise RowError(f"`{name}` must be an object of at most {MAX_KEYS} entries, got {shown(value)}")
    return value


def _list(value: object, name: str) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise RowError(f"`{name}` must be a list of at most {MAX_ITEMS} items, got {shown(value)}")
    return value


def _mapping(value: object, name: str, read: Callable[[object, str], T]) -> dict[str, T]:
    return {_text(key, name): read(item, f"{name}.{shown(key)[1:-1]}") for key, item in _object(value, name).items()}


def _optional(value: object, name: str, read: Callable[[object, str], T]) -> T | None:
    return None if value is None else read(value, name)


def _text(value: object, name: str, limit: int = MAX_NAME_CHARS) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise RowError(f"`{name}` must be text of at most {limit} characters, got {shown(value)}")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise RowError(f"`{name}` holds a NUL character or half a character: {shown(value)}")
    return value


def _number(value: object, name: str) -> float:
    """A finite number; integers stay integers, so that what was written comes back."""
    is_finite = isinstance(value, float) and math.isfinite(value)
    if not is_finite and (isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_INTEGER):
        raise RowError(f"`{name}` must be a finite number, got {shown(value)}")
    return cast("float", value)


def _integer(value: object, name: str, low: int = -MAX_INTEGER, high: int = MAX_INTEGER) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RowError(f"`{name}` must be an integer from {low} to {high}, got {shown(value)}")
    return value
