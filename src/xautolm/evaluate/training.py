"""Trains and scores one pipeline. Runs in a worker process only."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, set_seed

from xautolm import registry
from xautolm.evaluate.jobs import DivergedError, InvalidPipelineError, JobFolder
from xautolm.evaluate.metrics import classification_scores
from xautolm.evaluate.tokens import TokenRows, cache_entry, load_rows, tokenise
from xautolm.methods.classifier import (
    PooledClassifier,
    final_linear,
    head_parameters,
    load_classifier,
    load_trainable_state,
    trainable_state,
)
from xautolm.records import ModelSpec

N_VALIDATIONS = 8
MAX_SUBSET = 256
_MIN_SUBSET = 64
#: The intermediate validations may cost about this share of the training.
_VALIDATION_SHARE = 0.15
_PREDICT_BATCH = 64


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads a batch of rows on the right to its longest row.

    Attributes:
        pad_id: padding token.
        with_types: whether the model reads segment ids.
    """

    pad_id: int
    with_types: bool

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        types = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            n = len(row["input_ids"])
            ids[i, :n] = torch.tensor(row["input_ids"], dtype=torch.long)
            types[i, :n] = torch.tensor(row["types"], dtype=torch.long)
            mask[i, :n] = 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if self.with_types:
            batch["token_type_ids"] = types
        if "labels" in rows[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in rows])
        return batch


class LabelledRows(Dataset[dict[str, Any]]):
    """Rows of a split for the Trainer."""

    def __init__(self, tokens: TokenRows, labels: Sequence[int], indices: Sequence[int]) -> None:
        self._tokens, self._labels, self._indices = tokens, labels, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> dict[str, Any]:
        index = self._indices[item]
        ids, types = self._tokens.row(index)
        return {"input_ids": ids, "types": types, "labels": self._labels[index]}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a trial needs besides its model.

    Attributes:
        labels: split name -> label index of every row.
        tokens: split name -> tokenised rows.
        train_rows: rows of train that this pipeline uses.
        cached_s: seconds that caches saved, scaled to the rows in use.
    """

    labels: Mapping[str, Sequence[int]]
    tokens: Mapping[str, TokenRows]
    train_rows: Sequence[int]
    n_classes: int
    collator: Collator
    cached_s: float


def model_spec(spec: Mapping[str, Any]) -> ModelSpec:
    """The model of a job."""
    fields = dict(spec["model"])
    fields["poolings"] = tuple(fields["poolings"])
    return ModelSpec(**fields)


def evaluate_pipeline(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Train one pipeline and score it on the whole validation set.

    Returns:
        `scores`, `curve` [[step, seconds, score]], `cost` in seconds, `n_trained` parameters; the trained parameters are in
        `<folder>/checkpoint/trained.safetensors`.
    """
    started = time.monotonic()
    set_seed(int(spec["seed"]))
    model, params = model_spec(spec), dict(spec["params"])
    if params["pooling"] not in model.poolings:
        raise InvalidPipelineError(f"pooling {params['pooling']!r} is not one of {model.poolings} of {model.name}")
    method = registry.load_target(spec["method_target"])
    data = prepare_data(spec, model, params)
    classifier = load_classifier(model, str(params["pooling"]), data.n_classes, float(params.get("dropout", 0.0)))
    device = torch.device(spec["device"])
    module = method.prepare(classifier, params).to(device)
    load_s = time.monotonic() - started
    fit = _fit_by_gradient if method.trains_by_gradient else _fit_head
    fitted = fit(module, data, params, spec, folder)
    folder.report(stage="predict")
    predict_started = time.monotonic()
    scores = fitted.final_scores
    if scores is None:
        logits = predict_logits(module, data.tokens["validation"], data.collator, device)
        scores = _scores(logits, data.labels["validation"], data.n_classes)
    now = time.monotonic()
    cached_s = data.cached_s + fitted.cached_s
    cost = {
        "time_s": now - started + cached_s,
        "cached_s": cached_s,
        "train_s": fitted.train_s,
        "predict_s": now - predict_started + fitted.predict_s,
        "load_s": load_s,
    }
    state = trainable_state(module)
    checkpoint = folder.path / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in state.items()}, checkpoint / "trained.safetensors")
    result = {"scores": scores, "curve": fitted.curve, "cost": cost}
    return {**result, "n_trained": sum(value.numel() for value in state.values())} | _device_memory(device)


def _device_memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    return {"device_mem_mib": torch.cuda.max_memory_allocated(device) / 2**20}


def prepare_data(spec: Mapping[str, Any], model: ModelSpec, params: Mapping[str, Any]) -> Prepared:
    """Tokenised rows and labels of train and validation; the test split is not within reach of a trial."""
    source = Path(spec["data"])
    labels = json.loads((source / "labels.json").read_text())
    tokenizer = None
    tokens, cached_s = {}, 0.0
    fraction = float(params["train_fraction"])
    for split in ("train", "validation"):
        key = f"tokens {model.path} {model.revision} {params['max_length']} {split}"

        def build(target: Path, split: str = split) -> None:
            nonlocal tokenizer
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(model.path)
            rows = json.loads((source / f"{split}.json").read_text())
            tokenise(tokenizer, rows["texts"], rows["pairs"], int(params["max_length"]), target)

        entry, seconds, is_new = cache_entry(Path(spec["cache"]), key, build)
        cached_s += 0.0 if is_new else seconds * (fraction if split == "train" else 1.0)
        tokens[split] = load_rows(entry)
    return Prepared(
        labels={split: labels[split] for split in ("train", "validation")},
        tokens=tokens,
        train_rows=stratified_subset(labels["train"], fraction, int(spec["data_seed"])),
        n_classes=int(labels["n_classes"]),
        collator=collator_for(model),
        cached_s=cached_s,
    )


def collator_for(model: ModelSpec) -> Collator:
    """The collator that matches a model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return Collator(pad_id=int(pad_id or 0), with_types="token_type_ids" in tokenizer.model_input_names)


def stratified_subset(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """Indices of a share of the rows, the same share of every class (at least one row), in row order.

    Subsets of growing share with one seed are nested.
    """
    if fraction >= 1.0:
        return list(range(len(labels)))
    values = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(values))
    chosen = []
    for label in np.unique(values):
        rows = order[values[order] == label]
        chosen.extend(rows[: max(1, round(fraction * len(rows)))].tolist())
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training left besides the module: the curve, seconds, and scores when they came along."""

    curve: list[list[float]]
    train_s: float
    cached_s: float = 0.0
    predict_s: float = 0.0
    final_scores: dict[str, float] | None = None


class _CurveCallback(TrainerCallback):
    """Validates at fixed steps on a fixed subset, keeps the best parameters, reports progress."""

    def __init__(self, module: nn.Module, data: Prepared, rows: Sequence[int], folder: JobFolder) -> None:
        self._module, self._data, self._rows, self._folder = module, data, rows, folder
        self._steps: set[int] = set()
        self._started = self._reported = 0.0
        self.curve: list[list[float]] = []
        self.best: dict[str, Tensor] | None = None
        self._best_score = -1.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        total = max(int(state.max_steps), 1)
        self._steps = {max(1, round(total * (i + 1) / N_VALIDATIONS)) for i in range(N_VALIDATIONS)}
        self._started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = int(state.global_step)
        now = time.monotonic()
        if now - self._reported > 0.5:
            self._reported = now
            self._folder.report(
                stage="train", epoch=float(state.epoch or 0), n_epochs=float(args.num_train_epochs), step=step
            )
        if step in self._steps:
            self._validate(step)

    def _validate(self, step: int) -> None:
        device = next(self._module.parameters()).device
        tokens = self._data.tokens["validation"]
        logits = predict_logits(self._module, tokens, self._data.collator, device, self._rows)
        truth = [self._data.labels["validation"][i] for i in self._rows]
        score = _scores(logits, truth, self._data.n_classes)["f1"]
        self.curve.append([step, time.monotonic() - self._started, score])
        if score > self._best_score:
            self._best_score, self.best = score, trainable_state(self._module)
        self._module.train()


class _Loss:
    """Cross-entropy, optionally weighted by inverse class frequency; a loss that is not finite ends the trial."""

    def __init__(self, weights: Tensor | None) -> None:
        self._weights = weights

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        loss = nn.functional.cross_entropy(logits, labels, weight=self._weights)
        if not bool(torch.isfinite(loss)):
            raise DivergedError(f"the training loss became {float(loss)}")
        return loss


def class_weights(labels: Sequence[int], n_classes: int) -> NDArray[np.float64]:
    """Weights n / (n_classes * count) of shape (n_classes,), as scikit-learn's `balanced`."""
    counts = np.bincount(np.asarray(labels), minlength=n_classes)
    return np.asarray(len(labels) / (n_classes * np.maximum(counts, 1)), dtype=np.float64)


def _fit_by_gradient(
    module: nn.Module, data: Prepared, params: Mapping[str, Any], spec: Mapping[str, Any], folder: JobFolder
) -> Fitted:
    device = torch.device(spec["device"])
    train_labels = data.labels["train"]
    weights = None
    if params["class_weighting"]:
        values = class_weights([train_labels[i] for i in data.train_rows], data.n_classes)
        weights = torch.tensor(values, dtype=torch.float32, device=device)
    n_subset = subset_size(len(data.train_rows), int(params["epochs"]), len(data.labels["validation"]))
    rows = stratified_subset(
        data.labels["validation"], n_subset / max(len(data.labels["validation"]), 1), int(spec["data_seed"])
    )
    callback = _CurveCallback(module, data, rows, folder)
    trainer = Trainer(
        model=module,
        args=_arguments(params, spec, folder, device),
        data_collator=data.collator,
        train_dataset=LabelledRows(data.tokens["train"], train_labels, data.train_rows),
        compute_loss_func=_Loss(weights),
        callbacks=[callback],
    )
    started = time.monotonic()
    trainer.train()
    train_s = time.monotonic() - started
    if callback.best is not None:
        load_trainable_state(module, callback.best)
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters() if p.requires_grad):
        raise DivergedError("a trained parameter is not finite")
    return Fitted(curve=callback.curve, train_s=train_s)


def subset_size(n_rows: int, epochs: int, n_validation: int) -> int:
    """Rows of the fixed validation subset: at most 256, fewer when the training itself is short.

    A forward pass costs about a third of a training step, so s rows validated 8 times cost 8 s / 3 training rows.
    """
    affordable = round(_VALIDATION_SHARE * 3 / N_VALIDATIONS * n_rows * epochs)
    return min(n_validation, MAX_SUBSET, max(_MIN_SUBSET, affordable))


def _arguments(
    params: Mapping[str, Any], spec: Mapping[str, Any], folder: JobFolder, device: torch.device
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder.path / "trainer"),
        per_device_train_batch_size=int(params["batch_size"]),
        num_train_epochs=int(params["epochs"]),
        learning_rate=float(params["learning_rate"]),
        weight_decay=float(params["weight_decay"]),
        warmup_steps=float(params["warmup_ratio"]),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
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


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is native (an emulated one is slower than fp32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def predict_logits(
    module: nn.Module,
    tokens: TokenRows,
    collator: Collator,
    device: torch.device,
    rows: Sequence[int] | None = None,
) -> NDArray[np.float32]:
    """Logits (n_rows, n_classes) in the order of `rows`, computed in batches of similar length."""
    return run_batches(lambda batch: module(**batch)["logits"], module, tokens, collator, device, rows)


def run_batches(
    forward: Any,
    module: nn.Module,
    tokens: TokenRows,
    collator: Collator,
    device: torch.device,
    rows: Sequence[int] | None = None,
) -> NDArray[np.float32]:
    """Apply `forward` to length-sorted batches in evaluation mode; returns (n_rows, n_outputs) in the order of `rows`."""
    chosen = np.arange(len(tokens)) if rows is None else np.asarray(rows)
    lengths = tokens.lengths()[chosen]
    order = np.argsort(-lengths, kind="stable")
    outputs: NDArray[np.float32] | None = None
    module.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
        for start in range(0, len(order), _PREDICT_BATCH):
            places = order[start : start + _PREDICT_BATCH]
            batch = []
            for place in places:
                ids, types = tokens.row(int(chosen[place]))
                batch.append({"input_ids": ids, "types": types})
            inputs = {name: value.to(device) for name, value in collator(batch).items()}
            values = forward(inputs).float().cpu().numpy()
            if outputs is None:
                outputs = np.zeros((len(order), values.shape[1]), dtype=np.float32)
            outputs[places] = values
    if outputs is None:
        return np.zeros((0, 1), dtype=np.float32)
    return outputs


def _scores(logits: NDArray[np.float32], truth: Sequence[int], n_classes: int) -> dict[str, float]:
    if not np.isfinite(logits).all():
        raise DivergedError("a validation score is not finite")
    return classification_scores(truth, logits.argmax(axis=1).tolist(), n_classes)


def _fit_head(
    module: nn.Module, data: Prepared, params: Mapping[str, Any], spec: Mapping[str, Any], folder: JobFolder
) -> Fitted:
    """Logistic regression on features of the frozen encoder, which are computed once per model, pooling and length."""
    from sklearn.linear_model import LogisticRegression

    device = torch.device(spec["device"])
    model = model_spec(spec)
    key = f"features {model.path} {model.revision} {model.n_layers} {params['pooling']} {params['max_length']}"

    def build(target: Path) -> None:
        folder.report(stage="features")
        seconds = {}
        for split in ("train", "validation"):
            began = time.monotonic()
            values = _features(module, data, split, device)
            np.save(target / f"{split}.npy", values)
            seconds[split] = time.monotonic() - began
        (target / "seconds.json").write_text(json.dumps(seconds))

    entry, _, is_new = cache_entry(Path(spec["cache"]), key, build)
    seconds = json.loads((entry / "seconds.json").read_text())
    share = len(data.train_rows) / max(len(data.labels["train"]), 1)
    # The pipeline alone would encode only its own rows; what this trial spent beyond that is not its cost.
    alone_s = seconds["train"] * share + seconds["validation"]
    cached_s = alone_s - (sum(seconds.values()) if is_new else 0.0)
    features = {split: np.load(entry / f"{split}.npy") for split in ("train", "validation")}
    started = time.monotonic()
    folder.report(stage="train", epoch=0.0, n_epochs=1.0)
    labels = np.asarray(data.labels["train"])[data.train_rows]
    regression = LogisticRegression(
        C=float(params["c"]), class_weight="balanced" if params["class_weighting"] else None, max_iter=500
    )
    regression.fit(features["train"][data.train_rows], labels)
    _write_regression(module, regression, data.n_classes)
    train_s = time.monotonic() - started
    logits = _apply_regression(module, features["validation"], data.n_classes)
    scores = _scores(logits, data.labels["validation"], data.n_classes)
    return Fitted(curve=[[1, train_s, scores["f1"]]], train_s=train_s, cached_s=cached_s, final_scores=scores)


def _features(module: nn.Module, data: Prepared, split: str, device: torch.device) -> NDArray[np.float32]:
    """What the final linear layer reads, shape (n_rows, n_features)."""
    if isinstance(module, PooledClassifier):
        return run_batches(
            lambda batch: module.pool(**batch), module, data.tokens[split], data.collator, device
        )
    caught: list[Tensor] = []
    hook = final_linear(module, data.n_classes).register_forward_pre_hook(
        lambda _module, inputs: caught.append(inputs[0])
    )

    def forward(batch: Mapping[str, Tensor]) -> Tensor:
        caught.clear()
        logits = module(**batch)["logits"]
        features = caught[-1]
        return _last_tokens(features, batch["attention_mask"]) if features.dim() > logits.dim() else features

    try:
        return run_batches(forward, module, data.tokens[split], data.collator, device)
    finally:
        hook.remove()


def _last_tokens(features: Tensor, mask: Tensor) -> Tensor:
    """The features of each row's last unmasked token, which is what decoder-only classifiers read."""
    last = mask.sum(1).clamp(min=1) - 1
    return features[torch.arange(len(features), device=features.device), last]


def _write_regression(module: nn.Module, regression: Any, n_classes: int) -> None:
    """Put a logistic regression into the final linear layer; a binary one becomes two opposite rows."""
    coefficients, intercept = regression.coef_, regression.intercept_
    if n_classes == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    layer = final_linear(module, n_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(coefficients, dtype=layer.weight.dtype))
        if layer.bias is not None:
            layer.bias.copy_(torch.as_tensor(intercept, dtype=layer.weight.dtype))
    for parameter in head_parameters(module):
        parameter.requires_grad_(True)  # marks what the checkpoint has to hold


def _apply_regression(module: nn.Module, features: NDArray[np.float32], n_classes: int) -> NDArray[np.float32]:
    layer = final_linear(module, n_classes)
    with torch.inference_mode():
        values = layer(torch.as_tensor(features, device=layer.weight.device))
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)


def measure_speed(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Time full training steps of one model for about two seconds.

    Returns:
        `step_s` (median seconds per step), `batch_size`, `n_tokens` per row, `load_s` of the model.
    """
    batch_size, n_tokens, limit_s = 16, 24, 2.0
    began = time.monotonic()
    model, device = model_spec(spec), torch.device(spec["device"])
    classifier = load_classifier(model, model.poolings[0], 2, 0.1).to(device)
    load_s = time.monotonic() - began
    folder.report(stage="measure")
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(1000, min(20000, model.vocabulary), (batch_size, n_tokens), device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    target = torch.zeros(batch_size, dtype=torch.long, device=device)
    seconds: list[float] = []
    classifier.train()
    while len(seconds) < 3 or (sum(seconds) < limit_s and len(seconds) < 200):
        began = time.monotonic()
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            logits = classifier(**inputs)["logits"]
        nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.monotonic() - began)
    return {
        "step_s": float(np.median(seconds[1:])),
        "batch_size": batch_size,
        "n_tokens": n_tokens,
        "load_s": load_s,
    }
