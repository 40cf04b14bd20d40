"""Fine-tunes through `Trainer.hyperparameter_search`, as its documentation shows it; a process of its own.

`python -m benchmarks.tuning.hugging_face SPEC`. Tokenised once before the search, padded by the
default collator, scored at the end of each trial; everything not named here is left at its default, which saves a
checkpoint at the end of each trial. Three things are not from the documentation. The configurations are enqueued in the
Optuna study. The model is this project's (mean pooling: cut encoders learn nothing from the first token), behind the
interface of the library's own models, so that scores can be compared. And the clock is looked at where a trial loads,
trains, saves and evaluates.

`model_init` runs before the settings of a trial are set, so a head starts from the seed of the trial before it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import torch
from datasets import Dataset
from sklearn.metrics import f1_score
from torch import Tensor, nn
from transformers import AutoTokenizer, Trainer, TrainingArguments

from benchmarks.tuning.drawn import BATCH_SIZES, DROPOUT, LAYERS, MAX_LENGTH, MOST_EPOCHS, MOST_SEED, Configuration
from xautolm.evaluate.batches import has_bf16
from xautolm.methods.classifier import load_classifier
from xautolm.records import ModelSpec
from xautolm.space.catalogue import resolve_models


class LossClassifier(nn.Module):  # type: ignore[misc]  # torch is not analysed
    """A classifier of this project with the signature and the loss of the library's own BERT classifier."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits (n_rows, n_classes), and with `labels` (n_rows,) their mean cross-entropy."""
        logits = self.inner(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)["logits"]
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class TimedTrainer(Trainer):  # type: ignore[misc]  # transformers is not analysed
    """The Trainer; notes seconds per trial and stage. `train` is what training leaves after loading and saving."""

    spent: dict[int, dict[str, float]]
    number = -1

    @contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Count the seconds in here for a stage of the present trial."""
        started = time.perf_counter()
        yield
        self.spent[self.number][stage] += time.perf_counter() - started

    def train(self, *args: Any, trial: Any = None, **options: Any) -> Any:
        self.number = trial.number
        self.spent[self.number] = defaultdict(float)
        with self.clock("train"):
            output = super().train(*args, trial=trial, **options)
        stages = self.spent[self.number]
        stages["train"] -= stages["load"] + stages["save"]
        return output

    def call_model_init(self, trial: Any = None) -> nn.Module:
        if trial is None:
            return super().call_model_init(trial)
        with self.clock("load"):
            return super().call_model_init(trial)

    def _save_checkpoint(self, *args: Any, **options: Any) -> None:
        with self.clock("save"):
            super()._save_checkpoint(*args, **options)

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        with self.clock("evaluate"):
            return dict(super().evaluate(*args, **options))


def run(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Search over the configurations of one task.

    Args:
        spec: `rows` = folder of the rows, `scratch` = where checkpoints go, `configurations`, and `with_our_settings` =
            bf16 where the processor has it and the fused optimizer.

    Returns:
        `trials` in order, each with `f1`, `wall_s` and seconds per stage; `once`, seconds per stage before the first;
        `search_s` from the start of the first trial to the end of the last.
    """
    configurations = [Configuration(**fields) for fields in spec["configurations"]]
    models = {model.n_layers: model for model in resolve_models(None, offline=True)[0]}
    labels = json.loads((Path(spec["rows"]) / "labels.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(models[LAYERS[0]].path)
    started = time.perf_counter()
    data = {split: tokenised(tokenizer, Path(spec["rows"]), split, labels[split]) for split in ("train", "validation")}
    tokenise_s = time.perf_counter() - started
    ours = {"use_cpu": True, "bf16": has_bf16(torch.device("cpu")), "optim": "adamw_torch_fused"}
    trainer = TimedTrainer(
        args=TrainingArguments(output_dir=spec["scratch"], **(ours if spec["with_our_settings"] else {})),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=tokenizer,
        model_init=model_maker(models, len(labels["names"])),
        compute_metrics=macro_f1,
    )
    trainer.spent = {}
    study = enqueued(configurations)
    storage = {"storage": study._storage, "study_name": study.study_name, "load_if_exists": True}
    started = time.perf_counter()
    trainer.hyperparameter_search(
        suggest, n_trials=len(configurations), direction="maximize", backend="optuna", **storage
    )
    search_s = time.perf_counter() - started
    fits = [outcome(trial, trainer.spent) for trial in study.trials]
    return {"trials": fits, "once": {"tokenise": tokenise_s}, "search_s": search_s}


def tokenised(tokenizer: Any, folder: Path, split: str, labels: list[int], *, max_length: int = MAX_LENGTH) -> Dataset:
    """Rows of a split as token ids; padding is left to the batches."""
    rows = json.loads((folder / f"{split}.json").read_text())
    columns = ["texts"] if rows["pairs"] is None else ["texts", "pairs"]
    data = Dataset.from_dict({**{name: rows[name] for name in columns}, "labels": labels})

    def encode(batch: Mapping[str, Any]) -> Any:
        return tokenizer(*(batch[name] for name in columns), truncation=True, max_length=max_length)

    return data.map(encode, batched=True)


def model_maker(models: Mapping[int, ModelSpec], n_classes: int) -> Callable[[Any], nn.Module]:
    """What the Trainer calls for a fresh model; before its search it asks for one without a trial."""

    def model_init(trial: Any) -> nn.Module:
        n_layers = trial.suggest_categorical("n_layers", LAYERS) if trial is not None else LAYERS[-1]
        return LossClassifier(load_classifier(models[n_layers], "mean", n_classes, DROPOUT))

    return model_init


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """The other hyperparameters, by the names of `TrainingArguments`."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-3, log=True),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", BATCH_SIZES),
        "num_train_epochs": trial.suggest_int("num_train_epochs", 1, MOST_EPOCHS),
        "seed": trial.suggest_int("seed", 1, MOST_SEED),
    }


def enqueued(configurations: list[Configuration]) -> optuna.Study:
    """A study in which the configurations wait."""
    study = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())
    for wanted in configurations:
        names = {
            "per_device_train_batch_size": wanted.batch_size,
            "num_train_epochs": wanted.epochs,
            "seed": wanted.seed,
        }
        study.enqueue_trial({"n_layers": wanted.n_layers, "learning_rate": wanted.learning_rate, **names})
    return study


def macro_f1(predicted: Any) -> dict[str, float]:
    """Macro F1 of the Trainer's predictions."""
    logits, truth = predicted
    return {"f1": float(f1_score(truth, logits.argmax(-1), average="macro"))}


def outcome(trial: optuna.trial.FrozenTrial, spent: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """What is reported of a finished trial."""
    wall_s = trial.duration.total_seconds() if trial.duration else 0.0
    return {"f1": trial.value, "wall_s": wall_s, "stages": dict(spent[trial.number])}


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    Path(given["result"]).write_text(json.dumps(run(given)))
