"""What every search is held against: the majority class, TF-IDF and a frozen encoder, the last two with a regression.

Baselines are scored before the search, on the same validation rows with the same metrics. They are trials with ids
below 0, which no search proposes, no store keeps and no prior learns from; they are never exported. The frozen encoder
with a logistic regression is our method `head`: where the search begins with it, that trial is the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xautolm import registry
from xautolm.methods.method import Facts
from xautolm.records import ModelSpec, ParamValue, Pipeline, Trial
from xautolm.space.build import length_choices
from xautolm.space.catalogue import EMBEDDED_NAME, resolve_models
from xautolm.space.feasibility import TaskSize
from xautolm.tasks import kind_of

MAJORITY, TFIDF, EMBEDDING = "majority", "tfidf_logreg", "embedding_logreg"
#: Trial ids, in the order in which they run.
IDS: Mapping[str, int] = {MAJORITY: -1, TFIDF: -2, EMBEDDING: -3}

#: What stands in the place of a model's name.
NO_MODEL = "none"
_HEAD = "head"
#: Training rows that a baseline looks at, at most: it should take seconds, and more rows move it little.
_TFIDF_ROWS, _EMBEDDING_ROWS = 20_000, 2_000
#: On six data sets, 2,000 rows each, C = 10 scored above scikit-learn's 1 every time (docs/log.md, 2026-11-28).
_TFIDF: Mapping[str, ParamValue] = {"c": 10.0, "max_features": 100_000}


def is_frozen_embedding(pipeline: Pipeline) -> bool:
    """Whether a pipeline is the embedded encoder, frozen and uncut, with a logistic regression on all rows."""
    is_whole = pipeline.params.get("train_fraction", 1.0) == 1.0
    return pipeline.method == _HEAD and pipeline.model == EMBEDDED_NAME and is_whole


def embedded_model() -> ModelSpec:
    """The encoder of the frozen-embedding baseline."""
    models, _ = resolve_models((EMBEDDED_NAME,), offline=True)
    return models[0]


def baseline_trials(
    size: TaskSize, seed: int, *, model: ModelSpec | None, kind: str = "text-classification"
) -> tuple[Trial, ...]:
    """The baselines of a run: of all kinds what is commonest, and where a text has one answer also the regressions.

    Args:
        size: of the task.
        seed: of the run; a baseline does not depend on it.
        model: encoder of the frozen-embedding baseline; None = the search itself begins with it.
        kind: task kind.
    """
    pipelines = {MAJORITY: Pipeline(NO_MODEL, MAJORITY, {"train_fraction": 1.0})}
    if kind_of(kind).formulations.get("encoder") == "sequence":
        tfidf = {**_TFIDF, "train_fraction": _share(size.n_train, _TFIDF_ROWS)}
        pipelines[TFIDF] = Pipeline(NO_MODEL, TFIDF, tfidf)
        if model is not None:
            pipelines[EMBEDDING] = _embedding(size, model, kind)
    return tuple(Trial(IDS[name], pipeline, seed) for name, pipeline in pipelines.items())


def _embedding(size: TaskSize, model: ModelSpec, kind: str) -> Pipeline:
    """The known-good settings of the method `head`, on fewer rows where there are many."""
    facts = Facts([model], length_choices(size.token_quantiles, model.context), size.n_train, kind)
    default = registry.resolve("methods", _HEAD).space(facts).default
    share = _share(size.n_train, _EMBEDDING_ROWS)
    return Pipeline(model.name, EMBEDDING, {**default, "train_fraction": share})


def _share(n_rows: int, limit: int) -> float:
    """The share of some rows that is at most a number of them.

    >>> _share(500, 2_000), _share(8_000, 2_000)
    (1.0, 0.25)
    """
    return min(1.0, limit / max(n_rows, 1))


def job_fields(pipeline: Pipeline, models: Mapping[str, ModelSpec]) -> dict[str, Any]:
    """What a worker needs to know of a trial's pipeline, baselines included.

    Args:
        pipeline: what is evaluated.
        models: name -> facts of the models.
    """
    if pipeline.model == NO_MODEL:
        return {"job": "baseline", "baseline": pipeline.method}
    method = _HEAD if pipeline.method == EMBEDDING else pipeline.method
    return {
        "job": "evaluate",
        "model": asdict(models[pipeline.model]),
        "method_target": registry.target("methods", method),
    }


def names_of(trials: Sequence[Trial], first_start: Pipeline | None) -> dict[str, int]:
    """Name of each baseline -> id of its trial, for `run.json`.

    Args:
        trials: the baselines that run before the search.
        first_start: what the search tries first, as trial 0; None = not known.
    """
    found = {trial.pipeline.method: trial.trial_id for trial in trials}
    if EMBEDDING not in found and first_start is not None and is_frozen_embedding(first_start):
        found[EMBEDDING] = 0
    return found
