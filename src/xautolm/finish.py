"""The end of a run: refit the chosen pipeline if asked, state its test score once, write the report, clean up."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from xautolm import registry
from xautolm.config import Settings
from xautolm.errors import RunError, WorkerError
from xautolm.evaluate.metrics import task_scores, worst_rows
from xautolm.export import export_trial
from xautolm.prediction import named, prediction_fields
from xautolm.recording import Recorder
from xautolm.records import Budget, Split, Task, TrialResult
from xautolm.report.folder import read_run
from xautolm.report.html import write_html
from xautolm.report.summary import summarise
from xautolm.search.plan import Plan
from xautolm.space.feasibility import Workload, estimate

#: Start of the prediction process, the last export and the report.
_FIXED_RESERVE_S = 8.0
#: Predictions with the exported model are made in fp32, which takes about this much longer than training's validation.
_FP32_FACTOR = 2.5
_MAX_RESERVE_SHARE = 0.25
_REFIT_FACTOR = 1.3


def reserve_s(task: Task, plan: Plan, budget: Budget, *, refit: TrialResult | None = None) -> float:
    """Seconds of a time budget to keep for the test score, the refit and the report.

    Args:
        task: the data.
        plan: estimates.
        budget: of the run; a budget in trials needs no reserve.
        refit: the pipeline that would be trained once more.
    """
    if budget.wall_s is None:
        return 0.0
    n_test = task.test.n_rows if task.test else 0
    size = replace(plan.size, n_train=1, n_validation=n_test)
    longest = max(plan.size.token_quantiles)
    workload = Workload(0, 0, False, 0.0, 32, longest, 1.0)
    largest = max(plan.space.models.values(), key=lambda model: model.n_params)
    seconds = _FIXED_RESERVE_S + _FP32_FACTOR * estimate(workload, largest, size, plan.speed).time_s
    seconds = min(seconds, _MAX_RESERVE_SHARE * budget.wall_s)
    return seconds + (_refit_seconds(refit, task) if refit else 0.0)


def _refit_seconds(best: TrialResult, task: Task) -> float:
    grown = (task.train.n_rows + task.validation.n_rows) / task.train.n_rows
    return _REFIT_FACTOR * best.cost.time_s * grown


def write_rows(folder: Path, task: Task, *, prompt: str | None = None, with_validation: bool = False) -> None:
    """Write the rows that trials may see: train and validation, never test.

    Args:
        folder: private scratch of the run.
        task: the data.
        prompt: template for models that write their answers; None = the default.
        with_validation: add the validation rows to train, for the refit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train = _joined(task.train, task.validation) if with_validation else task.train
    for name, split in (("train", train), ("validation", task.validation)):
        (folder / f"{name}.json").write_text(json.dumps(rows_of(split)))
    (folder / "labels.json").write_text(
        json.dumps(
            {
                "kind": task.kind,
                "names": [str(label) for label in task.labels],
                "prompt": prompt,
                "train": targets_of(train),
                "validation": targets_of(task.validation),
            }
        )
    )


def rows_of(split: Split) -> dict[str, Any]:
    """The texts of a split as a job reads them."""
    rows: dict[str, Any] = {"texts": split.texts, "pairs": split.pairs}
    return rows if split.words is None else {**rows, "words": split.words}


def targets_of(split: Split) -> list[Any]:
    """What each row asks for, in the form of `metrics.task_scores`."""
    if split.answers is not None:
        return [[asdict(answer) for answer in answers] for answers in split.answers]
    return list(split.labels if split.targets is None else split.targets)


def _joined(first: Split, second: Split) -> Split:
    """The rows of two splits of one task."""

    def both(name: str) -> Any:
        a, b = getattr(first, name), getattr(second, name)
        return None if a is None or b is None else a + b

    return Split(**{field.name: both(field.name) for field in fields(Split)})


def finish(recorder: Recorder, task: Task, settings: Settings, *, is_interrupted: bool) -> None:
    """Complete a run whose search has ended.

    Raises:
        RunError: no trial worked; the report is written first.
    """
    best = recorder.best
    if is_interrupted:
        recorder.status = "interrupted"
    elif best is None:
        recorder.status = "failed"
    else:
        if settings.refit:
            _refit(recorder, best, task, settings)
        if task.test is not None and recorder.folder.model.is_dir():
            recorder.observer.log(f"scoring the recommended model on the {task.test.n_rows} test rows")
            recorder.facts["test"] = test_scores(recorder, task, task.test, with_quotes=settings.quotes)
        recorder.status = "complete"
    recorder.sync_store()
    write_report(recorder)
    if recorder.status == "complete":
        shutil.rmtree(recorder.folder.work, ignore_errors=True)
    if recorder.status == "failed":
        raise RunError(_why_nothing_worked(recorder))


def cannot_go_on(recorder: Recorder, error: OSError) -> RunError:
    """The error of a run that cannot write any more; leaves what can still be left."""
    recorder.status = "interrupted"
    with contextlib.suppress(OSError):
        write_report(recorder)
    folder = recorder.folder.path
    return RunError(
        f"cannot write to `{folder}`: {error.strerror or error}. Every finished trial is kept; "
        f"make room, then `xautolm resume {folder}`"
    )


def write_report(recorder: Recorder) -> None:
    """Write `run.json` and `report.html` as things stand."""
    recorder.write_run()
    write_html(summarise(read_run(recorder.folder.path)))


def test_scores(recorder: Recorder, task: Task, test: Split, *, with_quotes: bool) -> dict[str, float] | None:
    """Score the exported model on the sealed test split; None when the prediction failed.

    Args:
        recorder: of the run.
        task: the data.
        test: its sealed split.
        with_quotes: whether the rows that were answered worst are written down.
    """
    work = recorder.folder.work
    rows = work / "test.json"
    rows.write_text(json.dumps(rows_of(test)))
    try:
        job = recorder.backend.run_job("predict", prediction_fields(recorder.folder.model, rows))
    except WorkerError as error:
        recorder.facts["notes"].append(f"The test split could not be scored: {error}")
        return None
    finally:
        rows.unlink(missing_ok=True)
    predictions = json.loads((Path(job["folder"]) / "predictions.json").read_text())
    targets = json.loads(json.dumps(targets_of(test)))  # through JSON, as the predictions came
    names = [str(label) for label in task.labels]
    if with_quotes:
        recorder.folder.write_json("test_worst.json", _worst(task, test, targets, predictions))
    return task_scores(task.kind, targets, predictions, names)


def _worst(task: Task, test: Split, targets: list[Any], predictions: list[Any]) -> dict[str, Any]:
    """The test rows that were answered worst, in the words of the data."""
    found = worst_rows(task.kind, targets, predictions, [str(label) for label in task.labels])
    worst = [
        {
            "row": row,
            "text": test.texts[row],
            "expected": _expected(task, targets[row]),
            "predicted": named([predictions[row]], task.kind, task.labels)[0],
            "score": score,
        }
        for row, score in found
    ]
    return {"n_rows": test.n_rows, "worst": worst}


def _expected(task: Task, target: Any) -> Any:
    """What a row asks for, as users read it."""
    if task.train.answers is not None:
        return [answer["text"] for answer in target]
    return named([target], task.kind, task.labels)[0]


def _refit(recorder: Recorder, best: TrialResult, task: Task, settings: Settings) -> None:
    """Train the chosen pipeline on train + validation and export it in place of the trial."""
    wall_s = settings.parsed_budget.wall_s
    needed_s = _refit_seconds(best, task)
    if wall_s is not None and recorder.elapsed_s + needed_s > wall_s:
        recorder.facts["notes"].append(
            f"There was no time left for the refit (about {needed_s:.0f} s): the model is the trial's own."
        )
        return
    recorder.observer.log(f"training trial {best.trial_id}'s pipeline once more on train + validation")
    data = recorder.folder.work / "data-refit"
    write_rows(data, task, prompt=settings.prompt, with_validation=True)
    model = recorder.models[best.pipeline.model]
    fields = {
        "kind": task.kind,
        "seed": best.seed,
        "data_seed": settings.seed,
        "data": str(data),
        "cache": str(recorder.folder.work / "cache-refit"),
        "model": asdict(model),
        "params": dict(best.pipeline.params),
        "method_target": registry.target("methods", best.pipeline.method),
    }
    try:
        job = recorder.backend.run_job("evaluate", fields)
        checkpoint = Path(job["folder"]) / "checkpoint"
        export_trial(recorder.backend, best, model, recorder.context, recorder.folder.model, checkpoint=checkpoint)
    except WorkerError as error:
        recorder.facts["notes"].append(f"The refit failed, the model is the trial's own: {error}")
        return
    n_rows = task.train.n_rows + task.validation.n_rows
    recorder.facts["refit"] = {"n_rows": n_rows, "time_s": round(float(job["elapsed_s"]), 3)}


def _why_nothing_worked(recorder: Recorder) -> str:
    if not recorder.results:
        return (
            "no trial finished within the budget; give more `--budget` or smaller `--models`. "
            f"The run is kept in `{recorder.folder.path}`"
        )
    kinds: dict[str, int] = {}
    for result in recorder.results:
        kind = result.error.kind if result.error else result.status
        kinds[kind] = kinds.get(kind, 0) + 1
    listing = ", ".join(f"{kind} {n} times" for kind, n in sorted(kinds.items()))
    return f"none of the {len(recorder.results)} trials worked ({listing}); see `{recorder.folder.path}/report.html`"
