"""Run folders of the Hugging Face `Trainer`: `trainer_state.json` and the settings beside it become one experience.

Read are JSON files only: `trainer_state.json` (`Trainer.save_state`), `config.json`, `adapter_config.json` (PEFT),
`all_results.json` and `training_args.json` (`TrainingArguments.to_json_string`, which the Trainer does not write by
itself). `training_args.bin` is a pickle and is never opened; without the JSON form, learning rate and optimizer are not
known and are left out.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from xautolm.errors import DataError
from xautolm.experience.importers.imported import (
    Imported,
    collect,
    fingerprint,
    is_plain_name,
    model_name,
    name_of,
    number,
)
from xautolm.experience.importers.json_files import (
    JsonObject,
    entries,
    is_folder,
    parse_object,
    read_bytes,
    read_object,
)
from xautolm.experience.importers.trainer_settings import method_of, params_of_run
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult

STATE = "trainer_state.json"
#: One entry per logged step, some 150 bytes each.
_MAX_STATE_BYTES = 2**26
_MAX_SETTINGS_BYTES = 2**22
_MAX_DEPTH = 8
_MAX_CURVE_POINTS = 10_000
_CHECKPOINT = re.compile(r"checkpoint-\d{1,12}")
_BASE_MODEL = re.compile(rb"^base_model:[ \t]*['\"]?([\w./@:\\-]{1,200})['\"]?[ \t]*$", re.MULTILINE)
#: Keys of `config.json` for the number of layers and the hidden size (BERT and Llama; GPT-2, T5, DistilBERT).
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_SPEEDS = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")

#: The files say nothing about the data and the machine; comparable with no task.
_NO_PROFILE = Profile("unknown", {}, "unknown", {})

#: Part of a model class's or task type's name -> task kind.
_KINDS = (
    (("SequenceClassification", "SEQ_CLS"), "text-classification"),
    (("QuestionAnswering", "QUESTION_ANS"), "question-answering"),
    (("TokenClassification", "TOKEN_CLS"), "token-classification"),
    (("ConditionalGeneration", "CausalLM", "LMHead", "CAUSAL_LM", "SEQ_2_SEQ_LM"), "text-generation"),
)
_PROBLEMS = {"regression": "text-regression", "multi_label_classification": "multi-label"}


def read(source: str, name: str | None = None) -> Imported:
    """Read the run folders below a folder (checkpoints inside them are parts of their run).

    Args:
        source: a run folder, or a folder that holds some.
        name: name of the data set; None = the name of the folder.

    Raises:
        DataError: it is no folder, or holds no run.
    """
    folder = Path(source)
    try:
        is_there = folder.is_dir()
        dataset_id = name or folder.resolve().name
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
        is_there, dataset_id = False, ""
    if not is_there:
        raise DataError(f"Expected a folder with runs of the Hugging Face Trainer; {source!r} is no folder.")
    imported = collect(_rows(folder, dataset_id))
    if not imported.experiences and not imported.rejected:
        raise DataError(
            f"Expected run folders of the Hugging Face Trainer in {source!r}; there is no `{STATE}`. "
            "`Trainer.save_state()` writes it."
        )
    return imported


def _rows(root: Path, dataset_id: str) -> Iterator[tuple[str, Callable[[], Experience]]]:
    pending: list[tuple[Path, int]] = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        where = folder.relative_to(root).as_posix()
        try:
            found = entries(folder)
        except RowError as error:
            yield where, partial(_fail, error)
            continue
        folders = [entry.name for entry in found if is_folder(entry)]
        if any(entry.name == STATE for entry in found):
            yield where, partial(_experience_of, folder, dataset_id)
        elif any(map(_CHECKPOINT.fullmatch, folders)):
            yield where, partial(_fail, RowError(f"must hold `{STATE}`, but holds only checkpoints: it did not end"))
        if depth < _MAX_DEPTH:
            deeper = [name for name in reversed(folders) if not _CHECKPOINT.fullmatch(name)]
            pending += [(folder / name, depth + 1) for name in deeper]


def _fail(error: RowError) -> Experience:
    raise error


def _experience_of(folder: Path, dataset_id: str) -> Experience:
    """Raises `RowError` where the run did not end, was not evaluated, or does not say what it trained."""
    content = read_bytes(folder / STATE, _MAX_STATE_BYTES)
    state = parse_object(content)
    config, adapter, arguments, results = (
        _optional(folder, f"{name}.json") for name in ("config", "adapter_config", "training_args", "all_results")
    )
    name_of(dataset_id, "data set")
    pipeline = Pipeline(
        model=_model(folder, config, adapter),
        method=method_of(adapter),
        params=params_of_run(state, arguments, adapter),
    )
    return Experience(
        run_id=f"trainer/{dataset_id}",
        dataset_id=dataset_id,
        fingerprint=fingerprint("trainer", dataset_id),
        sketch=(),
        profile=_NO_PROFILE,
        result=_result(state, results, arguments, pipeline, trial_id=_number_of(content)),
        space_version="trainer",
        versions=_versions(config, adapter),
        model_revision="",
        source="import",
        created_at=_changed_at(folder / STATE),
        kind=_kind(config, adapter),
    )


def _optional(folder: Path, name: str) -> JsonObject:
    """Content of a settings file, empty when it is not there.

    Raises:
        RowError: it is there and cannot be used.
    """
    path = folder / name
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        return read_object(path, _MAX_SETTINGS_BYTES)
    except RowError as error:
        raise RowError(f"`{name}` {error}") from error


def _result(
    state: JsonObject, results: JsonObject, arguments: JsonObject, pipeline: Pipeline, *, trial_id: int
) -> TrialResult:
    log = state.get("log_history")
    if not isinstance(log, list) or not all(isinstance(entry, dict) for entry in log):
        raise RowError(f"`log_history` must be a list of objects, got {shown(log)}")
    train_s = _train_s(log, results)
    evaluations = [entry for entry in log if any(key.startswith("eval_") for key in entry)]
    if not evaluations:
        raise RowError("`log_history` must hold an evaluation, but holds none")
    counted = _counted(log, evaluations, state)
    scores = _scores(counted)
    diverged = any(isinstance(value, float) and not math.isfinite(value) for value in counted.values())
    if not scores and not diverged:
        raise RowError("the evaluation must hold a metric or a loss, but holds none")
    predict_s = number(evaluations[-1].get("eval_runtime", 0.0), "eval_runtime", 0)
    return TrialResult(
        trial_id=trial_id,
        status="diverged" if diverged else "ok",
        pipeline=pipeline,
        scores={} if diverged else scores,
        cost=Cost(time_s=train_s + predict_s, train_s=train_s, predict_s=predict_s),
        seed=int(number(arguments.get("seed", 0), "seed", 0, 2**53)),
        curve=_curve(evaluations, train_s),
        error=TrialError("nan", "") if diverged else None,
    )


def _train_s(log: list[JsonObject], results: JsonObject) -> float:
    """Seconds of training, evaluations during it included: logged when it ends, and saved by `save_metrics`.

    Raises:
        RowError: neither is there.
    """
    runtime = next((entry["train_runtime"] for entry in reversed(log) if "train_runtime" in entry), None)
    runtime = results.get("train_runtime") if runtime is None else runtime
    if runtime is None:
        raise RowError("must hold `train_runtime`, but does not: the run did not end, so what it cost is not known")
    return number(runtime, "train_runtime", 0)


def _counted(log: list[JsonObject], evaluations: list[JsonObject], state: JsonObject) -> JsonObject:
    """The evaluation that counts: one after the training (of the model that was kept), else the best, else the last."""
    end = max((i for i, entry in enumerate(log) if "train_runtime" in entry), default=len(log))
    after = [entry for entry in log[end:] if any(key.startswith("eval_") for key in entry)]
    best = [entry for entry in evaluations if entry.get("step") == state.get("best_global_step", math.nan)]
    return (after or best or evaluations)[-1]


def _scores(entry: JsonObject) -> dict[str, float]:
    """Metrics of an evaluation, `eval_` left out; speeds are no scores.

    >>> _scores({"eval_f1": 0.5, "eval_loss": 0.7, "eval_runtime": 2.0, "epoch": 1.0})
    {'f1': 0.5, 'loss': 0.7}
    """
    names = {key.removeprefix("eval_"): value for key, value in entry.items() if key.startswith("eval_")}
    return {
        name: float(value)
        for name, value in names.items()
        if is_plain_name(name)
        and not name.endswith(_SPEEDS)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300
    }


def _curve(evaluations: list[JsonObject], train_s: float) -> tuple[tuple[int, float, float], ...]:
    """F1 (or accuracy, or minus the loss) at each evaluation.

    The log holds no times, so each step is taken to cost the same: seconds = step / last step x training time.
    """
    points: dict[int, float] = {}
    name = next((name for name in ("f1", "accuracy", "loss") if name in _scores(evaluations[0])), "")
    for entry in evaluations[:_MAX_CURVE_POINTS]:
        score = _scores(entry).get(name)
        step = entry.get("step")
        if score is not None and isinstance(step, int) and 0 < step < 2**53:
            points.setdefault(step, -score if name == "loss" else score)
    last = max(points, default=1)
    return tuple((step, train_s * (step / last), points[step]) for step in sorted(points))


def _model(folder: Path, config: JsonObject, adapter: JsonObject) -> str:
    """Name of the pretrained model: of the adapter, the configuration (transformers 4) or the model card.

    Where none tells, it is named after its architecture, `bert-L12-H768`.

    Raises:
        RowError: not even that is known.
    """
    for named in (adapter.get("base_model_name_or_path"), config.get("_name_or_path"), _base_model(folder)):
        if isinstance(named, str) and named.strip():
            return model_name(named.strip())
    family = config.get("model_type")
    sizes = [next((config[key] for key in keys if key in config), None) for keys in (_LAYERS, _HIDDEN)]
    if isinstance(family, str) and is_plain_name(family) and all(isinstance(n, int) and 0 < n < 10**6 for n in sizes):
        return f"{family}-L{sizes[0]}-H{sizes[1]}"
    raise RowError("must name its pretrained model, but `adapter_config.json`, `config.json` and the model card do not")


def _base_model(folder: Path) -> str | None:
    """What the model card calls the base model."""
    try:
        card = _BASE_MODEL.search(read_bytes(folder / "README.md", _MAX_SETTINGS_BYTES)[:4096])
    except RowError:
        return None
    return card[1].decode("ascii", "replace") if card else None


def _kind(config: JsonObject, adapter: JsonObject) -> str:
    """Task kind by the class of the model or the adapter's task type; text classification where neither tells."""
    classes = config.get("architectures")
    names = [*(classes if isinstance(classes, list) else []), adapter.get("task_type")]
    text = " ".join(name for name in names if isinstance(name, str))
    kind = next((kind for signs, kind in _KINDS if any(sign in text for sign in signs)), "text-classification")
    problem = config.get("problem_type")
    return _PROBLEMS.get(problem, kind) if isinstance(problem, str) and kind == "text-classification" else kind


def _versions(config: JsonObject, adapter: JsonObject) -> dict[str, str]:
    found = {"transformers": config.get("transformers_version"), "peft": adapter.get("peft_version")}
    version = re.compile(r"\d[\w.+-]{0,40}", re.ASCII)
    return {name: value for name, value in found.items() if isinstance(value, str) and version.fullmatch(value)}


def _number_of(content: bytes) -> int:
    """Trial number that a run keeps wherever its folder lies: from the content of its state, 31 bits."""
    return int(hashlib.sha256(content).hexdigest()[:8], 16) % (2**31 - 1)


def _changed_at(path: Path) -> str:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except (OSError, ValueError, OverflowError):
        return ""
