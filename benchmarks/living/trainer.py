"""`Trainer.hyperparameter_search` with Optuna on one task: `python -m benchmarks.living.trainer ORDERS`.

As the documentations of transformers and Optuna show it: the rows are tokenised once and padded by the default
collator, `model_init` takes the model from the trial, Optuna's default sampler (TPE) maximises macro F1, which is
scored at the end of each trial (`eval_strategy` is at its default, so that nothing is pruned), and Optuna's `catch`
keeps a trial that fails from ending the search. The space is `default_hp_space_optuna` (epochs, batch size, seed) with
the learning rates of our method `full`, since its own ones end where small encoders begin to learn, and the encoder at
6, 3 or 1 layers. The model is `benchmarks.tuning.hugging_face.LossClassifier`: this project's mean pooling, without
which cut encoders learn nothing.

With our settings: one thread and bf16 per process, the fused optimizer, no checkpoints on the way, and as many
processes as our search has workers, which share the study through Optuna's journal storage (its way to search in
parallel on one machine; `constant_liar` as its documentation advises for that). Else one process with everything at its
default. Either way the weights of the best trial so far are kept (`save_model`).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from transformers import AutoTokenizer, Trainer, TrainingArguments

from benchmarks.living.child import Orders, receive
from benchmarks.tuning.drawn import LAYERS
from benchmarks.tuning.hugging_face import macro_f1, model_maker, tokenised
from xautolm.cost import Cost
from xautolm.evaluate.batches import has_bf16
from xautolm.records import ModelSpec, Pipeline, Status, TrialError, TrialResult
from xautolm.space.catalogue import resolve_models

#: What the encoder's own card gives as its longest text, in tokens.
MAX_LENGTH = 256
#: Parts of messages that mean too little memory.
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
_UNLIMITED = 1_000_000


class JournallingTrainer(Trainer):  # type: ignore[misc]  # transformers is not analysed
    """The Trainer; each trial is written down when it ends, and the weights of the best one are kept.

    Attributes:
        orders: where to.
        names: layers -> name of the model.
    """

    orders: Orders
    names: dict[int, str]
    best: float = -1.0
    began: float = 0.0
    trained_s: float = 0.0
    running: Any = None

    def train(self, *args: Any, trial: Any = None, **options: Any) -> Any:
        self.running, self.began = trial, time.perf_counter()
        try:
            output = super().train(*args, trial=trial, **options)
        except Exception as error:
            self._write("crashed", {}, error)
            raise
        self.trained_s = time.perf_counter() - self.began
        return output

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        try:
            metrics = dict(super().evaluate(*args, **options))
        except Exception as error:
            self._write("crashed", {}, error)
            raise
        f1 = metrics["eval_f1"]
        cost = Cost(time.perf_counter() - self.began, train_s=self.trained_s)
        if f1 > self.best:
            self.save_model(str(weights_of(self.orders, self.running.number)))
        self._write("ok", {"f1": f1}, cost=cost)
        self._tidy(is_best=f1 > self.best)
        self.best = max(self.best, f1)
        return metrics

    def _write(
        self, status: Status, scores: dict[str, float], error: Exception | None = None, cost: Cost | None = None
    ) -> None:
        if error is not None and (isinstance(error, MemoryError) or any(w in str(error) for w in _MEMORY_WORDS)):
            status = "oom"
        params = dict(self.running.params)
        result = TrialResult(
            trial_id=self.running.number,
            status=status,
            pipeline=Pipeline(self.names[params.pop("n_layers", LAYERS[0])], "full", params),
            scores=scores,
            cost=cost or Cost(time.perf_counter() - self.began),
            seed=self.args.seed,
            n_threads=torch.get_num_threads(),
            n_parallel=self.orders.n_workers,
            error=None if error is None else TrialError(type(error).__name__, str(error).partition("\n")[0][:200]),
        )
        write_line(self.orders.journal, result)

    def _tidy(self, *, is_best: bool) -> None:
        """Remove the weights that the new best replaces, and the checkpoints that the Trainer left."""
        mine = weights_of(self.orders, self.running.number)
        for other in mine.parent.glob("*") if is_best else ():
            if other != mine:
                shutil.rmtree(other, ignore_errors=True)
        for left in Path(self.args.output_dir).glob("run-*"):
            shutil.rmtree(left, ignore_errors=True)


def weights_of(orders: Orders, number: int) -> Path:
    """Where a process keeps the weights of its best trial."""
    return Path(orders.folder) / f"weights-{orders.worker}" / str(number)


def write_line(path: Path, result: TrialResult) -> None:
    """Add a trial to a journal that several processes write: in one piece."""
    line = json.dumps(result.to_dict(), allow_nan=False).encode("ascii") + b"\n"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """The hyperparameters, by the names of `TrainingArguments`; `model_init` adds the layers."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 3e-4, log=True),
        "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 5),
        "seed": trial.suggest_int("seed", 1, 40),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [4, 8, 16, 32, 64]),
    }


def main(orders: Orders, n_trials: int = _UNLIMITED) -> None:
    """Search until the process is ended."""
    models = {model.n_layers: model for model in resolve_models(None, offline=True)[0]}
    trainer = make_trainer(orders, models)
    is_shared = orders.n_workers > 1
    sampler = optuna.samplers.TPESampler(seed=1000 * orders.seed + orders.worker, constant_liar=is_shared)
    storage = JournalStorage(JournalFileBackend(str(Path(orders.folder) / "study.log")))
    trainer.hyperparameter_search(
        hp_space=suggest,
        compute_objective=lambda metrics: metrics["eval_f1"],
        n_trials=n_trials,
        direction="maximize",
        backend="optuna",
        sampler=sampler,
        storage=storage,
        study_name="live",
        load_if_exists=True,
        catch=(Exception,),
    )


def make_trainer(orders: Orders, models: dict[int, ModelSpec]) -> JournallingTrainer:
    """The Trainer of a process, with the rows as tokens."""
    rows = Path(orders.rows) / "rows"
    labels = json.loads((rows / "labels.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(models[LAYERS[0]].path)
    data = {
        split: tokenised(tokenizer, rows, split, labels[split], max_length=MAX_LENGTH)
        for split in ("train", "validation")
    }
    ours = {"bf16": has_bf16(torch.device("cpu")), "optim": "adamw_torch_fused", "save_strategy": "no"}
    scratch = str(Path(orders.folder) / f"scratch-{orders.worker}")
    trainer = JournallingTrainer(
        args=TrainingArguments(
            output_dir=scratch, use_cpu=True, report_to="none", **(ours if orders.has_our_settings else {})
        ),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=tokenizer,
        model_init=model_maker(models, len(labels["names"])),
        compute_metrics=macro_f1,
    )
    trainer.orders, trainer.names = orders, {layers: model.name for layers, model in models.items()}
    return trainer


if __name__ == "__main__":
    main(receive())
