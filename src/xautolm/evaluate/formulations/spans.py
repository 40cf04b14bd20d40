"""Answers that stand in a context, read off by a head that says of each token how well an answer starts and ends there.

Worker side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedModel

from xautolm.evaluate.batches import Collator
from xautolm.evaluate.formulations.contexts import (
    ENDS,
    POSSIBLE,
    STARTS,
    Guess,
    answer_text,
    best_span,
    cut_contexts,
    span_labels,
)
from xautolm.evaluate.formulations.formulation import Loss, Params, Predicted
from xautolm.evaluate.formulations.windows import (
    Batching,
    LabelledWindows,
    WindowCollator,
    Windows,
    cached_windows,
    read_windows,
)
from xautolm.evaluate.job_folder import InvalidPipelineError
from xautolm.evaluate.loss import finite
from xautolm.evaluate.spotting import AnswerForm, Span, answer_form, find_answer
from xautolm.evaluate.trial_data import TrialData, affordable_subset, read_targets, training_rows
from xautolm.methods.heads import load_with_head
from xautolm.records import ModelSpec

_BATCH = 32
#: File of an exported folder with what `export.export_trial` says of it.
_INFO_FILE = "xautolm.json"


@dataclass(frozen=True, slots=True)
class SpanData(TrialData):
    """Rows of questions and contexts; `train_rows` are those with an answer that is found, and unanswerable ones.

    Attributes:
        windows: split name -> windows of its rows.
        spans: where the answer of each training row stands, by row.
        contexts: of the validation rows.
        form: of the answers.
    """

    windows: Mapping[str, Windows]
    spans: Mapping[int, Sequence[Span]]
    contexts: Sequence[str]
    form: AnswerForm

    @property
    def notes(self) -> Mapping[str, Any]:
        return {"answer_form": asdict(self.form)}


class SpanLoss:
    """The negative log-likelihood of start and end, the mean of both over the windows of a batch.

    Where an answer stands at several places, each is as good as the others: their probabilities are added (Clark and
    Gardner 2018, section 2.3). Padding and question are no places for an answer and take no probability.
    """

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """As `loss.CrossEntropy`, of `start_logits`, `end_logits` and `contexts.span_labels` (n_windows, n_tokens)."""
        total = self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        loss = torch.zeros((), device=labels.device)
        for name, flag in (("start_logits", STARTS), ("end_logits", ENDS)):
            logits = outputs[name].float()
            is_possible = labels >= POSSIBLE
            is_right = is_possible & (labels & flag > 0)
            possible = logits.masked_fill(~is_possible, -torch.inf).logsumexp(dim=1)
            loss = loss + (possible - logits.masked_fill(~is_right, -torch.inf).logsumexp(dim=1)).sum() / 2
        return finite(loss / total)

    def weight_of(self, labels: Tensor) -> Tensor:
        """The windows."""
        return torch.tensor(float(len(labels)), device=labels.device)


class SpansFormulation:
    """Extractive question answering."""

    def prepare(self, spec: Mapping[str, Any], model: ModelSpec, params: Params) -> SpanData:
        source = Path(spec["data"])
        targets = read_targets(source)
        train, validation = (json.loads((source / f"{name}.json").read_text()) for name in ("train", "validation"))
        windows, collator, cached_s = cached_windows(spec, model, params, "contexts", cut_contexts)
        chosen = training_rows(targets["train"], float(params["train_fraction"]), int(spec["data_seed"]))
        spans = {row: find_answer(train["pairs"][row], targets["train"][row]) for row in chosen}
        usable = [row for row in chosen if spans[row] or not targets["train"][row]]
        if not any(spans.values()):
            raise InvalidPipelineError(f"none of {len(chosen)} training rows has an answer that stands in its context")
        return SpanData(
            kind=targets["kind"],
            names=targets["names"],
            targets={split: targets[split] for split in ("train", "validation")},
            tokens={split: item.tokens for split, item in windows.items()},
            train_rows=usable,
            collator=WindowCollator(collator),
            cached_s=cached_s,
            windows=windows,
            spans=spans,
            contexts=validation["pairs"],
            form=answer_form(targets["train"]),
        )

    def load_model(self, model: ModelSpec, params: Params, n_labels: int, dropout: float) -> nn.Module:
        return load_with_head("spans", model, 2, dropout)

    def examples(self, data: SpanData) -> Dataset[dict[str, Any]]:
        windows = data.windows["train"]

        def labels(window: int) -> NDArray[np.int64]:
            return span_labels(windows.marks_of(window), data.spans[int(windows.rows[window])])

        return LabelledWindows(windows, windows.of_rows(data.train_rows), labels)

    def loss(self, data: SpanData, params: Params, device: torch.device) -> Loss:
        return SpanLoss()

    def monitored_rows(self, data: SpanData, params: Params, seed: int) -> Sequence[int]:
        return affordable_subset(data, int(params["epochs"]), seed)

    def predict(
        self,
        module: nn.Module,
        data: SpanData,
        device: torch.device,
        rows: Sequence[int] | None = None,
        *,
        n_at_once: int,
    ) -> Sequence[Any]:
        how = Batching(data.collator, device, n_at_once)
        return predict_answers(module, data.windows["validation"], rows, data.contexts, data.form, how)

    def settle(self, module: nn.Module, data: SpanData) -> None:
        return None

    def to_hugging_face(
        self, module: nn.Module, kind: str, names: Sequence[str], max_length: int, notes: Mapping[str, Any]
    ) -> PreTrainedModel:
        return module.eval()

    def predict_exported(
        self,
        folder: Path,
        kind: str,
        rows: Mapping[str, Any],
        device: torch.device,
        report: Callable[[int, int], None],
    ) -> Predicted:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForQuestionAnswering.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        windows = cut_contexts(tokenizer, rows, int(tokenizer.model_max_length))
        with_types = "token_type_ids" in tokenizer.model_input_names
        how = Batching(Collator(int(tokenizer.pad_token_id or 0), with_types), device, _BATCH, True, report)
        notes = json.loads((folder / _INFO_FILE).read_text(encoding="utf-8"))["notes"]
        form = AnswerForm(**notes["answer_form"])
        return Predicted(predict_answers(model.to(device), windows, None, rows["pairs"], form, how))


def predict_answers(
    module: nn.Module,
    windows: Windows,
    rows: Sequence[int] | None,
    contexts: Sequence[str],
    form: AnswerForm,
    how: Batching,
) -> list[str]:
    """Answers of some rows.

    Args:
        module: the model.
        windows: of a split.
        rows: which rows of it; None = all.
        contexts: of every row of the split.
        form: of the task's answers.
        how: device and size of batches.

    Returns:
        A part of its context for each row, the empty text for none.
    """
    wanted = range(len(contexts)) if rows is None else rows
    guesses: dict[int, list[Guess]] = {row: [] for row in wanted}

    def take(window: int, logits: NDArray[np.float32]) -> None:
        guess = best_span(windows.marks_of(window), logits, form.max_tokens)
        guesses[int(windows.rows[window])].append(guess)

    def outputs_of(outputs: Any) -> Tensor:
        return torch.stack([outputs["start_logits"], outputs["end_logits"]], dim=-1)

    read_windows(module, outputs_of, windows, windows.of_rows(list(guesses)), take, how)
    return [answer_text(contexts[row], guesses[row], form) for row in wanted]


FORMULATION = SpansFormulation()
