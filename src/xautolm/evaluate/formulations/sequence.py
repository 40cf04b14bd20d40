"""One answer per text: classes, label sets and numbers, read off by a head over the whole text. Worker side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from xautolm.evaluate.batches import LabelledRows, predict_logits
from xautolm.evaluate.formulations.formulation import Loss, Params, Predicted
from xautolm.evaluate.job_folder import DivergedError
from xautolm.evaluate.loss import BinaryCrossEntropy, CrossEntropy, SquaredError, class_weights, positive_weights
from xautolm.evaluate.metrics import softmax
from xautolm.evaluate.trial_data import TrialData, affordable_subset, prepare_data
from xautolm.methods.classifier import load_classifier, to_hugging_face
from xautolm.methods.readers import spelled
from xautolm.methods.structure import final_linear
from xautolm.records import Family, ModelSpec

_BATCH = 32
#: transformers' names of what a head over a whole text is for.
_PROBLEMS = {
    "text-classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "text-regression": "regression",
}


@dataclass(frozen=True, slots=True)
class SequenceData(TrialData):
    """Rows of texts; numbers are learned on a scale on which they are about as large as a fresh head's outputs.

    Attributes:
        shift: what is taken off a number before it is divided by `scale`.
        scale: the standard deviation of the training numbers.
    """

    shift: float = 0.0
    scale: float = 1.0


class SequenceFormulation:
    """A head over the whole text with one output per label, or one for a number."""

    def prepare(self, spec: Mapping[str, Any], model: ModelSpec, params: Params) -> SequenceData:
        data = prepare_data(spec, model, params)
        shared = {item.name: getattr(data, item.name) for item in fields(data)}
        if data.kind != "text-regression":
            return SequenceData(**shared)
        numbers = np.asarray([data.targets["train"][row] for row in data.train_rows], dtype=np.float64)
        # The heads of decoder-only models have no bias to hold a shift.
        shift = 0.0 if model.family == "decoder" else float(numbers.mean())
        scale = float(np.sqrt(np.mean((numbers - shift) ** 2))) or 1.0
        return SequenceData(**shared, shift=shift, scale=scale)

    def load_model(self, model: ModelSpec, params: Params, n_labels: int, dropout: float) -> nn.Module:
        return load_classifier(model, str(params["pooling"]), n_labels or 1, dropout)

    def examples(self, data: SequenceData) -> Dataset[dict[str, Any]]:
        return LabelledRows(data.tokens["train"], _encoded(data), data.train_rows)

    def loss(self, data: SequenceData, params: Params, device: torch.device) -> Loss:
        targets = [data.targets["train"][row] for row in data.train_rows]
        is_weighted = bool(params.get("class_weighting", False))
        if data.kind == "text-regression":
            return SquaredError()
        if data.kind == "multi-label":
            weights = positive_weights(targets, data.n_outputs) if is_weighted else None
            return BinaryCrossEntropy(_tensor(weights, device))
        return CrossEntropy(_tensor(class_weights(targets, data.n_outputs) if is_weighted else None, device))

    def monitored_rows(self, data: SequenceData, params: Params, seed: int) -> Sequence[int]:
        return affordable_subset(data, int(params["epochs"]), seed)

    def predict(
        self,
        module: nn.Module,
        data: SequenceData,
        device: torch.device,
        rows: Sequence[int] | None = None,
        *,
        n_at_once: int,
    ) -> Sequence[Any]:
        tokens = data.tokens["validation"]
        return self.decide(predict_logits(module, tokens, data.collator, device, rows, n_at_once=n_at_once), data)

    def decide(self, logits: NDArray[np.float32], data: SequenceData) -> Sequence[Any]:
        """Predictions for logits (n_rows, n_outputs).

        Raises:
            DivergedError: a logit is not finite.
        """
        if not np.isfinite(logits).all():
            raise DivergedError("a validation score is not finite")
        return _answers(logits * data.scale + data.shift, data.kind)

    def settle(self, module: nn.Module, data: SequenceData) -> None:
        if data.kind != "text-regression":
            return
        layer = final_linear(module, 1)
        with torch.no_grad():
            layer.weight.mul_(data.scale)
            if layer.bias is not None:
                layer.bias.mul_(data.scale).add_(data.shift)

    def to_hugging_face(
        self, module: nn.Module, kind: str, names: Sequence[str], max_length: int, notes: Mapping[str, Any]
    ) -> PreTrainedModel:
        plain = to_hugging_face(module, names or ("number",), max_length)
        plain.config.problem_type = _PROBLEMS[kind]
        return plain

    def predict_exported(
        self,
        folder: Path,
        kind: str,
        rows: Mapping[str, Any],
        device: torch.device,
        report: Callable[[int, int], None],
    ) -> Predicted:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        model.to(device).eval()
        family: Family = "encoder-decoder" if model.config.is_encoder_decoder else "encoder"
        texts, pairs = (rows[name] and spelled(rows[name], tokenizer, family) for name in ("texts", "pairs"))
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]) - (len(pairs[i]) if pairs else 0))
        logits = np.zeros((len(texts), model.config.num_labels), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                chosen = order[start : start + _BATCH]
                encoded = [_encode(tokenizer, texts[i], pairs[i] if pairs else None, family) for i in chosen]
                inputs = tokenizer.pad(encoded, return_tensors="pt").to(device)
                logits[chosen] = model(**inputs).logits.float().cpu().numpy()
                report(min(start + _BATCH, len(order)), len(order))
        return Predicted(_answers(logits, kind), _probabilities(logits, kind))


def _encoded(data: SequenceData) -> Sequence[Any]:
    """Targets of the training rows as the loss reads them."""
    targets = data.targets["train"]
    if data.kind == "text-regression":
        return [(float(number) - data.shift) / data.scale for number in targets]
    if data.kind == "multi-label":
        return [[float(label in set(target)) for label in range(data.n_outputs)] for target in targets]
    return targets


def _answers(logits: NDArray[np.floating], kind: str) -> Sequence[Any]:
    if kind == "text-regression":
        return [float(value) for value in logits[:, 0]]
    if kind == "multi-label":
        return [np.flatnonzero(row > 0).tolist() for row in logits]
    return [int(label) for label in logits.argmax(axis=1)]


def _probabilities(logits: NDArray[np.float32], kind: str) -> NDArray[np.float64] | None:
    if kind == "text-regression":
        return None
    if kind == "multi-label":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -500, 500))))
    return softmax(logits)


def _tensor(values: NDArray[np.float64] | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=torch.float32, device=device)


def _encode(tokenizer: Any, text: str, pair: str | None, family: Family) -> Any:
    """One row as `transformers.pipeline` encodes it; a batch would read an empty second text differently.

    Encoder-decoders close each text of a pair and need as many such tokens in every row, so they read the empty one
    too. Decoders' tokenizers make no token of an empty text: such a row reads one padding token.
    """
    encoded = tokenizer(text, pair if family == "encoder-decoder" else pair or None, truncation=True)
    if not encoded["input_ids"]:
        encoded["input_ids"], encoded["attention_mask"] = [tokenizer.pad_token_id], [1]
    return encoded


FORMULATION = SequenceFormulation()
