"""The nouns of XAutoLM: frozen records that pass between the stages.

A *pipeline* is one point of the search space (model + method + hyperparameters); a *trial* is one evaluation of a
pipeline in a run; an *experience* is a finished trial in the store with the meta-features of its task and system; a
*run* is one search; a *prior* is what a run believes before its first trial. This module imports the standard library,
`cost` and `model_spec` only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from xautolm.cost import Cost as Cost  # noqa: PLC0414  # one of the nouns, for whoever imports them from here
from xautolm.model_spec import Family as Family  # noqa: PLC0414
from xautolm.model_spec import ModelSpec as ModelSpec  # noqa: PLC0414

Label = bool | int | str
ParamValue = bool | int | float | str
#: What a row asks for where it is neither one label nor a text.
Target = tuple[int, ...] | float
Status = Literal["ok", "oom", "timeout", "diverged", "crashed", "unavailable", "invalid", "stopped", "interrupted"]
Direction = Literal["maximize", "minimize"]

#: What a finished trial's score gained after each eighth of its training (`search.stopping.gains_of`).
Gains = tuple[float | None, ...]

#: Statuses that count as failures of a launched trial (`interrupted` is the run's fault and is not recorded).
FAILURES: frozenset[Status] = frozenset({"oom", "timeout", "diverged", "crashed", "unavailable", "invalid"})


def canonical_json(value: Any) -> str:
    """Serialise to the one JSON text that hashes are taken of: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _fields(record: Cost | TrialError) -> dict[str, Any]:
    """What `asdict` gives for a record of plain values, without its deep copies (a store writes thousands)."""
    return {name: getattr(record, name) for name in record.__slots__}


@dataclass(frozen=True, slots=True)
class Objective:
    """One quantity that a run optimises.

    Attributes:
        name: a metric key (`f1`, `accuracy`) or a cost key (`time`).
        direction: whether larger or smaller is better.
    """

    name: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound that a recommended pipeline must keep: `f1>=0.9`, `latency<=20`.

    Attributes:
        name: a metric key or a cost key, as in `Objective`.
        is_minimum: whether the value must be at least the bound, else at most.
        bound: in the unit of the quantity.
    """

    name: str
    is_minimum: bool
    bound: float


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may spend; exactly one limit is set."""

    wall_s: float | None = None
    n_trials: int | None = None
    energy_wh: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used of its budget so far, earlier sittings included; energy None = not measured."""

    elapsed_s: float
    energy_wh: float | None = 0.0


@dataclass(frozen=True, slots=True)
class DataSource:
    """A file or folder that rows came from, with the hash that `resume` checks."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer to a question; `start` = its first character in the context, None when it is no span of it."""

    text: str
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of one split, column-wise; all tuples have length n_rows.

    Attributes:
        texts: first (or only) text of each row; the question in question answering.
        pairs: second text of each row, None for single-text tasks; the context in question answering.
        labels: index of each row's label in `Task.labels` where rows have one label each; else empty.
        answers: accepted answers of each row, the main one first, where rows have texts to be found or written.
        targets: what else a row asks for: indices of all its labels, ascending (multi-label), of the tag of each of
            its words (token classification), or a number (regression).
        words: words of each row in token classification; `texts` then holds them joined by spaces.
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[int, ...]
    answers: tuple[tuple[Answer, ...], ...] | None = None
    targets: tuple[Target, ...] | None = None
    words: tuple[tuple[str, ...], ...] | None = None

    @property
    def n_rows(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Task:
    """A loaded data set: what is to be learned.

    Attributes:
        dataset_id: file stem or hub id, the name under which experiences are kept.
        kind: task kind, one of `tasks.KINDS`.
        labels: label set taken from train, in the user's own type, sorted; label indices refer to it. Empty where rows
            have answers or numbers.
        test: the sealed split; None for tiny data sets.
        columns: role (`text`, `text_pair`, `target`; `question`, `context`, `answers`) -> column name.
        sources: split role (`train`, `validation`, `test`) -> the file the user gave.
        fingerprint: sha256 over the rows of all splits.
        sketch: the 256 smallest salted row hashes (bottom-k sketch), ascending.
        warnings: sentences for the data summary (duplicates, leakage, dropped rows, ...).
    """

    dataset_id: str
    kind: str
    labels: tuple[Label, ...]
    train: Split
    validation: Split
    test: Split | None
    columns: Mapping[str, str]
    sources: Mapping[str, DataSource]
    fingerprint: str
    sketch: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_pair(self) -> bool:
        return self.train.pairs is not None


@dataclass(frozen=True, slots=True)
class Profile:
    """Meta-features of a task and of the machine, as named finite floats.

    Attributes:
        schema: version of the task features, e.g. `classification/1`.
        task: name -> value.
        system_schema: version of the system features, e.g. `system/1`.
        system: name -> value.
        semantic: mean text embedding, None when not computed.
        system_name: processor and GPU in words, for people; empty when unknown.
    """

    schema: str
    task: Mapping[str, float]
    system_schema: str
    system: Mapping[str, float]
    semantic: tuple[float, ...] | None = None
    system_name: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One point of the search space."""

    model: str
    method: str
    params: Mapping[str, ParamValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))

    def to_dict(self) -> dict[str, ParamValue]:
        """Flat form used in `trials.jsonl`: model, method, then the hyperparameters."""
        return {"model": self.model, "method": self.method, **self.params}

    @classmethod
    def from_dict(cls, value: Mapping[str, ParamValue]) -> Pipeline:
        params = {k: v for k, v in value.items() if k not in ("model", "method")}
        return cls(model=str(value["model"]), method=str(value["method"]), params=params)

    @property
    def key(self) -> str:
        """Identity of the pipeline: sha256 of its canonical JSON, 16 hex digits."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Trial:
    """A pipeline that is to be evaluated.

    Attributes:
        trial_id: number of the trial in its run, from 0; below 0 = a baseline (`search.baselines`).
        seed: seed of everything random in the evaluation.
        seen: ids of the finished trials that the proposal knew, in the order in which they finished.
        beside: pipelines that were running when it was proposed, in the order they were started.
    """

    trial_id: int
    pipeline: Pipeline
    seed: int
    seen: tuple[int, ...] = ()
    beside: tuple[Pipeline, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialError:
    """Why a trial failed: a kind (`oom_train`, `disk`, `killed`, `hang`, ...) and a scrubbed first line."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A finished trial: one line of `trials.jsonl`.

    Attributes:
        scores: metric key -> value on the whole validation set; empty unless `status` is `ok`.
        curve: (step, seconds since the training began, validation score on the fixed subset), in order.
        n_threads: threads that the trial was given.
        n_parallel: trials that ran at the same time, itself included, when it started.
        requested: the settings first asked for, when a rescue changed them.
        beside: as in `Trial`; a trial that was interrupted later is in no journal but here. Kept in the journal only.
        started_at: UTC, ISO 8601.
    """

    trial_id: int
    status: Status
    pipeline: Pipeline
    scores: Mapping[str, float]
    cost: Cost
    seed: int
    seen: tuple[int, ...] = ()
    curve: tuple[tuple[int, float, float], ...] = ()
    n_threads: int = 1
    n_parallel: int = 1
    requested: Pipeline | None = None
    error: TrialError | None = None
    started_at: str = ""
    finished_at: str = ""
    beside: tuple[Pipeline, ...] = ()

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"

    @property
    def is_baseline(self) -> bool:
        """Whether it is what the search is held against and no part of it; it cannot be exported."""
        return self.trial_id < 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form (contract: `trials.jsonl`); only what cannot be exported says so."""
        return ({"exportable": False} if self.is_baseline else {}) | {
            "trial_id": self.trial_id,
            "status": self.status,
            "pipeline": self.pipeline.to_dict(),
            "scores": dict(self.scores),
            "cost": _fields(self.cost),
            "curve": [list(point) for point in self.curve],
            "seed": self.seed,
            "n_threads": self.n_threads,
            "n_parallel": self.n_parallel,
            "requested": self.requested.to_dict() if self.requested else None,
            "seen": list(self.seen),
            "beside": [pipeline.to_dict() for pipeline in self.beside],
            "error": _fields(self.error) if self.error else None,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TrialResult:
        return cls(
            trial_id=value["trial_id"],
            status=value["status"],
            pipeline=Pipeline.from_dict(value["pipeline"]),
            scores=dict(value["scores"]),
            cost=Cost(**value["cost"]),
            curve=tuple((int(s), float(t), float(v)) for s, t, v in value["curve"]),
            seed=value["seed"],
            n_threads=value["n_threads"],
            n_parallel=value["n_parallel"],
            requested=Pipeline.from_dict(value["requested"]) if value["requested"] else None,
            seen=tuple(value["seen"]),
            error=TrialError(**value["error"]) if value["error"] else None,
            started_at=value["started_at"],
            finished_at=value["finished_at"],
            beside=tuple(Pipeline.from_dict(pipeline) for pipeline in value.get("beside", ())),
        )


@dataclass(frozen=True, slots=True)
class Experience:
    """A finished trial in the store, with the profile of its task and machine. Holds no user text.

    Attributes:
        run_id: the run it came from; (run_id, trial_id) is the idempotent key.
        space_version: version of the search space it was drawn from.
        versions: library name -> version.
        source: `machine` (this machine's own run), `import` or `starter`.
        created_at: UTC, ISO 8601.
        kind: task kind, as in `Task.kind`; experiences of one kind teach only that kind.
        time_limit_s: wall-clock limit that the trial had; None when unknown.
        memory_limit_mib: memory limit that the trial had, of the device on a GPU; None when unknown.
    """

    run_id: str
    dataset_id: str
    fingerprint: str
    sketch: tuple[int, ...]
    profile: Profile
    result: TrialResult
    space_version: str
    versions: Mapping[str, str]
    model_revision: str
    source: str
    created_at: str
    kind: str = "text-classification"
    time_limit_s: float | None = None
    memory_limit_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A past task that the prior drew on: its distance and how many of its experiences counted.

    Attributes:
        groups: the parts of the distance (`task`, `semantic`, `system`), before weighting, where they are known.
    """

    dataset_id: str
    distance: float
    n_positive: int
    n_negative: int
    groups: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prior:
    """What a run believes before its first trial, with its evidence.

    Attributes:
        kind: `reference` or `none`.
        n_experiences: experiences that changed the model; 0 = cold.
        weight: share of the prior in proposals, 1 = full, 0 = cold.
        model: the warm probabilistic model as JSON-able state; None = cold.
        neighbours: the tasks it learned from, nearest first.
        starts: pipelines that did best on the nearest tasks, to be tried first.
        gains: how the scores of past trials grew during their training, for early stopping.
        learned: JSON-able state of the predictors (`prior.predictors`); None = there are none.
        n_starter: experiences that were read and came with the package.
    """

    kind: str
    n_experiences: int
    weight: float
    model: Mapping[str, Any] | None = None
    neighbours: tuple[Neighbour, ...] = ()
    starts: tuple[Pipeline, ...] = ()
    gains: tuple[Gains, ...] = ()
    learned: Mapping[str, Any] | None = None
    n_starter: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form (`prior.json`); `learned` is large and has a file of its own."""
        return {
            "kind": self.kind,
            "n_experiences": self.n_experiences,
            "n_starter": self.n_starter,
            "weight": self.weight,
            "model": self.model,
            "neighbours": [asdict(neighbour) for neighbour in self.neighbours],
            "starts": [pipeline.to_dict() for pipeline in self.starts],
            "gains": [list(gains) for gains in self.gains],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Prior:
        return cls(
            kind=value["kind"],
            n_experiences=value["n_experiences"],
            weight=value["weight"],
            model=value["model"],
            neighbours=tuple(Neighbour(**neighbour) for neighbour in value["neighbours"]),
            starts=tuple(Pipeline.from_dict(pipeline) for pipeline in value["starts"]),
            gains=tuple(tuple(gains) for gains in value.get("gains", ())),
            n_starter=value.get("n_starter", 0),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running trial is, for the live view and for early stopping.

    Attributes:
        curve: (step, seconds since the training began, validation score) so far.
        n_steps: steps of the whole training; 0 before it began.
    """

    trial_id: int
    pipeline: Pipeline
    elapsed_s: float
    epoch: float = 0.0
    n_epochs: float = 0.0
    stage: str = "start"
    curve: tuple[tuple[int, float, float], ...] = ()
    n_steps: int = 0


@dataclass(frozen=True, slots=True)
class RunReport:
    """What `fit` hands back: the facts of a finished run, read from its folder.

    Attributes:
        folder: the run folder.
        run: the content of `run.json`.
        trials: every finished trial of the search, in the order of `trials.jsonl`.
        front: ids of the non-dominated trials, cheapest first.
        best: id of the recommended trial, None when no trial worked.
        baselines: what the search is held against; they may be on the front and are never recommended.
    """

    folder: str
    run: Mapping[str, Any]
    trials: tuple[TrialResult, ...]
    front: tuple[int, ...]
    best: int | None
    baselines: tuple[TrialResult, ...] = ()
