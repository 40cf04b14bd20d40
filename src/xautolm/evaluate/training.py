"""Trains and scores one pipeline. Runs in a worker process only."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainingArguments, set_seed

from xautolm import registry
from xautolm.evaluate.batches import has_bf16, latency_ms
from xautolm.evaluate.formulations import formulation_of
from xautolm.evaluate.formulations.formulation import Formulation
from xautolm.evaluate.job_folder import DivergedError, InvalidPipelineError, JobFolder
from xautolm.evaluate.loss import BatchTrainer, allocate_optimizer_state
from xautolm.evaluate.metrics import task_scores
from xautolm.evaluate.optimizers import optimizer_settings
from xautolm.evaluate.regression import fit_head
from xautolm.evaluate.rescue import accumulation_steps, is_checkpointed, micro_batch_size, rows_per_prediction
from xautolm.evaluate.trial_data import N_VALIDATIONS, Fitted, TrialData, model_spec
from xautolm.methods.classifier import checkpoint_activations, load_trainable_state, trainable_state
from xautolm.tasks import kind_of

_FP32_BYTES = 4


def evaluate_pipeline(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Train one pipeline and score it on the whole validation set.

    Returns:
        `scores`, `curve` [[step, seconds, score]], `cost` in seconds, `parts` = seconds within and beside these, which
        only the throughput benchmark reads, `n_trained` parameters; the trained parameters are in
        `<folder>/checkpoint/trained.safetensors`.
    """
    started = time.monotonic()
    model, params = model_spec(spec), dict(spec["params"])
    if params["pooling"] not in model.poolings:
        raise InvalidPipelineError(f"pooling {params['pooling']!r} is not one of {model.poolings} of {model.name}")
    method = registry.load_target(spec["method_target"])
    formulation = formulation_of(str(spec["kind"]), model.family)
    # Features that trials share go through the untrained layers of a native head: those must be the same in all trials.
    set_seed(int(spec["seed" if method.trains_by_gradient else "data_seed"]))
    data = formulation.prepare(spec, model, params)
    tokenise_s = time.monotonic() - started
    loaded = formulation.load_model(model, params, len(data.names), float(params.get("dropout", 0.0)))
    device = torch.device(spec["device"])
    module = method.prepare(loaded, params).to(device)
    load_s = time.monotonic() - started
    fit: Callable[..., Fitted] = _fit_by_gradient if method.trains_by_gradient else fit_head
    fitted = fit(module, formulation, data, params, spec, folder)
    folder.report(stage="predict")
    predict_started = time.monotonic()
    scores = fitted.final_scores
    if scores is None:
        predictions = formulation.predict(module, data, device, n_at_once=rows_per_prediction(params))
        scores = task_scores(data.kind, data.targets["validation"], predictions, data.names)
    scored = time.monotonic()
    latency = latency_ms(
        lambda row: formulation.predict(module, data, device, [row], n_at_once=1), len(data.targets["validation"])
    )
    measured = time.monotonic()
    cached_s = data.cached_s + fitted.cached_s
    cost = {
        "time_s": scored - started + cached_s,
        "cached_s": max(cached_s, 0.0),  # below 0 when this trial filled a cache with more rows than it uses
        "train_s": fitted.train_s,
        "predict_s": scored - predict_started + fitted.predict_s,
        "load_s": load_s + data.cached_s,
        "latency_ms": latency,
        "size_mib": merged_size_mib(module),
    }
    formulation.settle(module, data)
    state = trainable_state(module)
    checkpoint = folder.path / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in state.items()}, checkpoint / "trained.safetensors")
    (checkpoint / "notes.json").write_text(json.dumps(dict(data.notes)))
    parts = {
        "tokenise_s": tokenise_s,
        "validate_s": fitted.validate_s,
        "latency_s": measured - scored,
        "save_s": time.monotonic() - measured,
    }
    result = {"scores": scores, "curve": fitted.curve, "cost": cost, "parts": parts}
    return {**result, "n_trained": sum(value.numel() for value in state.values())} | _device_memory(device)


def merged_size_mib(module: nn.Module) -> float:
    """Weights of the model that would be deployed, in fp32: adapters are merged into what they adapt."""
    n_kept = sum(int(parameter.numel()) for name, parameter in module.named_parameters() if "lora_" not in name)
    return n_kept * _FP32_BYTES / 2**20


def _device_memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    return {"device_mem_mib": torch.cuda.max_memory_allocated(device) / 2**20}


class _CurveCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not analysed
    """Validates at fixed steps on a fixed subset, keeps the best parameters, reports progress."""

    def __init__(self, validate: Callable[[], float], module: nn.Module, folder: JobFolder) -> None:
        self._validated, self._module, self._folder = validate, module, folder
        self._steps: set[int] = set()
        self._started = self._reported = 0.0
        self._n_steps = 1
        self.curve: list[list[float]] = []
        self.validate_s = 0.0
        self.best: dict[str, Tensor] | None = None
        self._best_score = -math.inf

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        allocate_optimizer_state(optimizer)  # still `load`: no smaller micro-batch helps where this does not fit
        self._folder.report(stage="train", epoch=0.0, n_epochs=float(args.num_train_epochs))
        self._n_steps = total = max(int(state.max_steps), 1)
        self._steps = {max(1, round(total * (i + 1) / N_VALIDATIONS)) for i in range(N_VALIDATIONS)}
        self._started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = int(state.global_step)
        is_validated = step in self._steps
        if is_validated:
            self._validate(step)
        now = time.monotonic()
        if is_validated or now - self._reported > 0.5:
            self._reported = now
            epochs = {"epoch": float(state.epoch or 0), "n_epochs": float(args.num_train_epochs)}
            self._folder.report(stage="train", **epochs, step=step, n_steps=self._n_steps, curve=self.curve)

    def _validate(self, step: int) -> None:
        started = time.monotonic()
        score = self._validated()
        self.curve.append([step, time.monotonic() - self._started, score])
        if score > self._best_score:
            self._best_score, self.best = score, trainable_state(self._module)
        self._module.train()
        self.validate_s += time.monotonic() - started


def _fit_by_gradient(
    module: nn.Module,
    formulation: Formulation,
    data: TrialData,
    params: Mapping[str, Any],
    spec: Mapping[str, Any],
    folder: JobFolder,
) -> Fitted:
    device = torch.device(spec["device"])
    rows = list(formulation.monitored_rows(data, params, int(spec["data_seed"])))
    truth = [data.targets["validation"][row] for row in rows]
    metric = kind_of(data.kind).metrics[0]

    def validate() -> float:
        predictions = formulation.predict(module, data, device, rows, n_at_once=rows_per_prediction(params))
        return task_scores(data.kind, truth, predictions, data.names)[metric]

    if is_checkpointed(params):
        checkpoint_activations(module)
    callback = _CurveCallback(validate, module, folder)
    trainer = BatchTrainer(
        model=module,
        args=training_arguments(params, spec, folder, device),
        data_collator=data.collator,
        train_dataset=formulation.examples(data),
        compute_loss_func=formulation.loss(data, params, device),
        callbacks=[callback],
    )
    started = time.monotonic()
    trainer.train()
    train_s = time.monotonic() - started
    if callback.best is not None:
        load_trainable_state(module, callback.best)
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters() if p.requires_grad):
        raise DivergedError("a trained parameter is not finite")
    return Fitted(curve=callback.curve, train_s=train_s, validate_s=callback.validate_s)


def training_arguments(
    params: Mapping[str, Any], spec: Mapping[str, Any], folder: JobFolder, device: torch.device
) -> TrainingArguments:
    """The Trainer's settings for a pipeline: nothing is saved or reported by it, rows are grouped by length."""
    return TrainingArguments(
        output_dir=str(folder.path / "trainer"),
        per_device_train_batch_size=micro_batch_size(params),
        gradient_accumulation_steps=accumulation_steps(params),
        num_train_epochs=int(params["epochs"]),
        **optimizer_settings(params),
        bf16=has_bf16(device),
        use_cpu=device.type == "cpu",
        train_sampling_strategy="group_by_length",
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        seed=int(spec["seed"]),
        data_seed=int(spec["seed"]),
    )
