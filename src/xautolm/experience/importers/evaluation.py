"""One evaluation of the published store, whatever file it stands in, and the experience it becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from xautolm.experience.importers.imported import (
    Imported,
    Rejected,
    collect,
    fingerprint,
    is_plain_name,
    name_of,
    number,
    seconds_number,
    vector,
)
from xautolm.experience.importers.published import CLASSIFICATION
from xautolm.experience.importers.published_errors import capacity_gib, classify, spent_s
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialResult

#: Names of the vectors' entries in the published order (`method.md` section 4): those of the package `metafeatures` and
#: of `machine.system_features`. That layer may not be imported here; a test compares the names.
CLASSIFICATION_FEATURES = (
    *("n_train", "n_classes", "label_entropy_bits", "min_class_share", "max_class_share", "imbalance"),
    *("mean_chars", "std_chars", "cv_chars", "tree_landmark"),
)
GENERATION_FEATURES = (
    *("n_train", "mean_prompt_chars", "std_prompt_chars", "prompt_ttr", "mean_target_chars", "std_target_chars"),
    *("target_ttr", "length_ratio", "vocabulary_novelty", "embedding_similarity", "rouge_l"),
)
SYSTEM_FEATURES = ("physical_cores", "logical_cores", "max_frequency_ghz", "ram_gib", "gpu_memory_gib")

#: Limit of an evaluation (`method.md` section 5). It holds for both splits of a classification evaluation together,
#: while `evaluation_time` is that of one. Published question-answering evaluations took up to 6,352 s, so it was not in
#: force there.
TIME_LIMIT_S = 5400.0
#: Seed of the searches (`method.md` section 5); that of a single evaluation is not stored.
SEED = 42
MIB_PER_GIB = 1024

#: The machine of all published classification searches and its card (`method.md` 3.5). It stands here so that a part of
#: the release in which no text tells it gives the same experiences as the whole.
_KNOWN_GPU_GIB = {(8, 16, 5000, 126): 23.64}
#: Scores of these data sets are stored on 0-100 (`method.md` 3.4).
_PERCENT = frozenset({"squad"})
_SHARES = frozenset({"f1", "accuracy", "exact_match", "rouge_l"})
#: In all, of training, of validation; the parts are stored by the newer generation only.
_TIMES = ("evaluation_time", "time_train_mean_seconds", "time_valid_mean_seconds")
#: What makes an alias out of the name of a data set (`method.md` 1.8).
_CONFIGURATION = re.compile(r"[ _-]*(?:warm_?start|knn\d*|\(|\[).*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Features:
    """Meta-feature vectors as stored, unnamed.

    Attributes:
        task: (10,) for classification, (11,) for generation.
        system: (5,).
        semantic: mean embedding of the texts, where stored.
    """

    task: tuple[float, ...]
    system: tuple[float, ...]
    semantic: tuple[float, ...] | None

    @property
    def machine(self) -> tuple[int, ...]:
        """What tells machines apart: RAM differs in its last digits from boot to boot."""
        return (int(self.system[0]), int(self.system[1]), round(1000 * self.system[2]), round(self.system[3]))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A stored evaluation, checked.

    Attributes:
        alias: the search that it belongs to.
        finished: when its file was written; time zone unknown, taken as UTC.
        metrics: stored name -> value, without nulls; infinite in the second record of a failure.
        error: stored text.
    """

    alias: str
    finished: datetime
    kind: str
    pipeline: Pipeline
    features: Features
    metrics: Mapping[str, float]
    error: str | None

    @property
    def is_failure(self) -> bool:
        return not math.isfinite(self.metrics.get("f1", math.inf))

    @property
    def is_infinite(self) -> bool:
        """Whether this is the record of a failure that holds infinities instead of a text."""
        return "f1" in self.metrics and self.is_failure


#: Where an evaluation stands in its source, and itself.
Located = tuple[str, Evaluation]


def features_of(task: object, system: object, semantic: object, kind: str) -> Features:
    """Check the vectors of an evaluation.

    Raises:
        RowError: a vector has another length than that of the kind, or holds what is no finite number.
    """
    n_task = len(CLASSIFICATION_FEATURES if kind == CLASSIFICATION else GENERATION_FEATURES)
    machine = vector(system, "system_features", len(SYSTEM_FEATURES))
    for name, value in zip(SYSTEM_FEATURES, machine, strict=True):
        number(value, name, 0, 1e9)
    return Features(
        vector(task, "task features", n_task), machine, None if semantic is None else vector(semantic, "semantic")
    )


def checked(evaluation: Evaluation) -> Evaluation:
    """The evaluation when its values agree with each other.

    Raises:
        RowError: they do not.
    """
    metrics = evaluation.metrics
    name_of(evaluation.alias, "alias")
    seconds_number(evaluation.finished)
    if any(math.isnan(value) for value in metrics.values()):
        raise RowError("metrics must be numbers or infinite, but one is NaN")
    time_s = metrics.get("evaluation_time", math.inf)
    if evaluation.is_failure != (not math.isfinite(time_s)):
        raise RowError("`f1` and `evaluation_time` must both be there, or both be missing or infinite")
    if not evaluation.is_failure and evaluation.error:
        raise RowError("an evaluation with scores must have no error text")
    return evaluation


def metrics_of(values: Mapping[str, object]) -> dict[str, float]:
    """Metrics by name, without nulls; `obs_` in front of an observation is left out.

    Raises:
        RowError: a name is no plain word or given twice, or a value is neither a number nor null.
    """
    kept: dict[str, float] = {}
    for name, value in values.items():
        short = name.removeprefix("obs_")
        if not is_plain_name(short) or short in kept:
            raise RowError(f"a metric must have a plain name of its own, got {shown(name)}")
        if value is not None:
            is_infinite = isinstance(value, float) and not math.isfinite(value)
            kept[short] = float(value) if is_infinite else number(value, short)  # type: ignore[arg-type]
    return kept


def dataset_of(alias: str) -> str:
    """Name of the data set in an alias.

    >>> dataset_of("ag_news_warmstart (f-pos f-neg)[F1+Time] (seed_42)"), dataset_of("liar")
    ('ag_news', 'liar')
    """
    return _CONFIGURATION.sub("", alias) or alias


def to_experiences(evaluations: Sequence[Located], rejected: Sequence[Rejected]) -> Imported:
    """Turn checked evaluations into experiences, those of each search in the order in which they ended."""
    ordered = sorted(evaluations, key=lambda item: (item[1].alias, item[1].finished, item[0]))
    gpu_gib = _capacities([evaluation for _, evaluation in ordered])
    profiles: dict[tuple[Features, str], Profile] = {}  # shared, so that a store writes each once

    def build(evaluation: Evaluation) -> Callable[[], Experience]:
        capacity, key = gpu_gib.get(evaluation.features.machine), (evaluation.features, evaluation.kind)
        if key not in profiles:
            profiles[key] = _profile(evaluation, capacity)
        return partial(_experience_of, evaluation, profiles[key], capacity)

    return collect(((where, build(evaluation)) for where, evaluation in ordered), rejected)


def _experience_of(evaluation: Evaluation, profile: Profile, gpu_gib: float | None) -> Experience:
    """The experience that an evaluation is.

    Args:
        evaluation: a checked one.
        profile: of its task and machine.
        gpu_gib: memory of the GPU that it ran on; None when not known.

    Raises:
        RowError: a score is out of range.
    """
    is_classification = evaluation.kind == CLASSIFICATION
    dataset_id = dataset_of(evaluation.alias)
    finished_at = evaluation.finished.replace(tzinfo=UTC).isoformat()
    return Experience(
        run_id=evaluation.alias,
        dataset_id=dataset_id,
        fingerprint=fingerprint("paper", dataset_id),
        sketch=(),
        profile=profile,
        result=_result(evaluation, dataset_id, finished_at),
        space_version=f"published/{evaluation.finished.year}",
        versions={},
        model_revision="",
        source="import",
        created_at=finished_at,
        kind=evaluation.kind,
        time_limit_s=TIME_LIMIT_S if is_classification else None,
        memory_limit_mib=None if gpu_gib is None else float(round(gpu_gib * MIB_PER_GIB)),
    )


def _capacities(evaluations: Sequence[Evaluation]) -> dict[tuple[int, ...], float]:
    """Memory in GiB of each machine's GPU; machines with different ones, or of which nothing tells, are left out.

    It is taken from the out-of-memory texts: the stored vectors hold 0 on every machine (a defect of the published
    code), and no value is better than a false one.
    """
    found: dict[tuple[int, ...], set[float]] = {}
    for evaluation in evaluations:
        capacity = capacity_gib(evaluation.error) or evaluation.features.system[-1]
        if capacity:
            found.setdefault(evaluation.features.machine, set()).add(capacity)
    return {machine: values.pop() for machine, values in found.items() if len(values) == 1} | _KNOWN_GPU_GIB


def _profile(evaluation: Evaluation, gpu_gib: float | None) -> Profile:
    is_classification = evaluation.kind == CLASSIFICATION
    names = CLASSIFICATION_FEATURES if is_classification else GENERATION_FEATURES
    features = evaluation.features
    system = dict(zip(SYSTEM_FEATURES, features.system, strict=True))
    del system["gpu_memory_gib"]
    if gpu_gib is not None:
        system["gpu_memory_gib"] = gpu_gib
    return Profile(
        schema="classification/1" if is_classification else "generation/1",
        task=dict(zip(names, features.task, strict=True)),
        system_schema="system/1",
        system=system,
        semantic=features.semantic,
    )


def _result(evaluation: Evaluation, dataset_id: str, finished_at: str) -> TrialResult:
    blank = TrialResult(
        trial_id=seconds_number(evaluation.finished),
        status="ok",
        pipeline=evaluation.pipeline,
        scores={},
        cost=Cost(spent_s(evaluation.error)),
        seed=SEED,
        finished_at=finished_at,
    )
    if evaluation.is_failure:
        status, error = classify(evaluation.error)
        return replace(blank, status=status, error=error)
    time_s, train_s, predict_s = (number(evaluation.metrics.get(name, 0.0), name, 0, 1e9) for name in _TIMES)
    started = evaluation.finished.replace(tzinfo=UTC) - timedelta(seconds=time_s)
    cost = Cost(time_s, train_s=train_s, predict_s=predict_s)
    return replace(blank, scores=_scores(evaluation, dataset_id), cost=cost, started_at=started.isoformat())


def _scores(evaluation: Evaluation, dataset_id: str) -> dict[str, float]:
    """Scores on 0-1; the F1 of answers also under the name that this project has for it."""
    scale = 100.0 if dataset_id in _PERCENT else 1.0
    scores = {}
    for name, value in evaluation.metrics.items():
        if name in _SHARES:
            scores[name] = number(value, name, 0, scale) / scale
        elif name not in _TIMES:
            scores[name] = number(value, name)
    if evaluation.kind != CLASSIFICATION:
        scores["token_f1"] = scores["f1"]
    return scores
