"""What each strategy would hand over when its time is over, scored on the test rows: once, and off the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.living.child import Orders
from benchmarks.living.figures import Ended
from benchmarks.living.subjects import KIND, Subject, columns, write_test
from benchmarks.living.units import Strategy
from benchmarks.tuning.drawn import LAYERS
from benchmarks.tuning.units import Row, environment
from xautolm.backends.local import LocalBackend, TrialContext, run_alone
from xautolm.backends.slots import Slots
from xautolm.config import DEFAULT_OBJECTIVES, OBJECTIVES
from xautolm.errors import WorkerError, XAutoLMError
from xautolm.evaluate.isolate import WorkerServer
from xautolm.evaluate.metrics import task_scores
from xautolm.export import ExportContext, export_trial, exported_trial
from xautolm.metafeatures.machine import usable_cores
from xautolm.model_card import INFO_FILE
from xautolm.pareto import recommend
from xautolm.prediction import named, prediction_fields
from xautolm.space.catalogue import resolve_models

_GOALS = tuple(OBJECTIVES[name] for name in DEFAULT_OBJECTIVES)


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The model that a strategy ended with.

    Attributes:
        trial_id: the trial that it came from; None = there is none.
        test: its scores on the test rows; empty without a model or test rows.
        problem: why it could not be scored.
    """

    trial_id: int | None = None
    test: dict[str, float] | None = None
    problem: str = ""


def hand_over(strategy: Strategy, orders: Orders, subject: Subject, trials: Sequence[Ended]) -> HandedOver:
    """Score what a strategy ended with; a model that cannot be scored is told, not raised.

    Args:
        strategy: which; its processes have ended.
        orders: what it was told.
        subject: with the test rows.
        trials: that ended within its time.
    """
    folder = Path(orders.folder) / "handed-over"
    folder.mkdir()
    best = recommend([trial.result for trial in trials], _GOALS)
    if strategy.module == "ours":
        best = exported_trial(orders.run / "model")
    if best is None or subject.task.test is None:
        return HandedOver(best)
    rows, truth = write_test(folder, subject.task)
    try:
        if strategy.is_trainer:
            chosen = next(trial for trial in trials if trial.result.trial_id == best)
            predictions = _by_trainer(orders, subject, chosen, folder)
        else:
            model = orders.run / "model" if strategy.module == "ours" else _exported(orders, subject, trials, best)
            predictions = _by_folder(model, rows, folder, subject)
    except XAutoLMError as error:
        return HandedOver(best, problem=str(error))
    names = [str(label) for label in subject.task.labels]
    return HandedOver(best, task_scores(KIND, truth, predictions, names))


def _by_folder(model: Path, rows: Path, folder: Path, subject: Subject) -> list[int]:
    """Labels by an exported folder, as `xautolm predict` finds them."""
    scratch = folder / "predict"
    scratch.mkdir()
    run_alone("predict", prediction_fields(model, rows), scratch, device="cpu", n_threads=usable_cores())
    values = json.loads((scratch / "predictions.json").read_text())
    labels = json.loads((model / INFO_FILE).read_text(encoding="utf-8"))["labels"]
    names = [str(label) for label in subject.task.labels]
    return [names.index(str(label)) for label in named(values, KIND, labels)]


def _exported(orders: Orders, subject: Subject, trials: Sequence[Ended], best: int) -> Path:
    """Export the kept checkpoint of a uniform draw as our search does with its best trial."""
    models = {model.name: model for model in resolve_models(None, offline=True)[0]}
    result = next(trial.result for trial in trials if trial.result.trial_id == best)
    task = subject.task
    context = ExportContext("live", subject.name, task.labels, columns(task), orders.seed)
    server = WorkerServer(Path(orders.folder) / "export.log")
    try:
        server.start()
        backend = LocalBackend(server, Slots(("cpu",), 1), TrialContext(orders.run, models, 600.0, 1e6, orders.seed))
        export_trial(backend, result, models[result.pipeline.model], context, orders.run / "model")
    finally:
        server.close()
    return orders.run / "model"


def _by_trainer(orders: Orders, subject: Subject, chosen: Ended, folder: Path) -> list[int]:
    """Labels by the weights that the Trainer kept."""
    layers = {model.name: model.n_layers for model in resolve_models(None, offline=True)[0]}
    kept = sorted(Path(orders.folder).glob(f"weights-*/{chosen.result.trial_id}"))
    if not kept:
        raise WorkerError(f"the weights of trial {chosen.result.trial_id} are not there")
    spec: dict[str, Any] = {
        "weights": str(kept[0]),
        "n_layers": layers.get(chosen.result.pipeline.model, LAYERS[0]),
        "n_classes": len(subject.task.labels),
        "rows": str(folder),
        "n_rows": subject.task.test.n_rows if subject.task.test else 0,
        "scratch": str(folder / "scratch"),
        "result": str(folder / "predictions.json"),
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "benchmarks.living.trainer_predict", str(folder / "spec.json")]
    environ = environment(Row("", "", {}))
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkerError("the Trainer's model could not be scored: " + "\n".join(done.stderr.splitlines()[-5:]))
    return [int(label) for label in json.loads(Path(spec["result"]).read_text())]
