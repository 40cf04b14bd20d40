"""The answer as a text that the model writes, after a prompt or for one. Worker side."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
)

from xautolm.evaluate.formulations.formulation import Loss, Params, Predicted
from xautolm.evaluate.generation import AnswerLoss, AnswerRows, TextCollator, greedy, write_answers
from xautolm.evaluate.prompting import Scribe, make_scribe
from xautolm.evaluate.tokens import TokenRows, cache_entry, load_rows, save_rows
from xautolm.evaluate.trial_data import TrialData, read_targets, stratified_subset, training_rows
from xautolm.methods.language_model import load_language_model
from xautolm.records import Family, ModelSpec
from xautolm.space.writing import affordable_rows, new_tokens
from xautolm.tasks.prompts import make_prompt, rows_of

#: Prompts that an exported model answers at once.
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Habits:
    """How a model is asked and how it answers; what an export keeps of it.

    Attributes:
        template: the prompt with what a chat puts around it.
        adds_special: whether the tokenizer adds its special tokens to a prompt.
        max_length: tokens of a prompt, more where its question alone is longer.
        limit: tokens of a prompt that the model can read.
        n_new: tokens that it may write.
        end_id: token that ends an answer.
        pad_id: padding token.
        start_id: first token of the decoder, None for decoder-only models.
        with_positions: whether the model is told positions.
        keeps_logits: whether the model can be told to compute the last logits only.
        keeps_cache: whether keys and values are kept between tokens.
    """

    template: str
    adds_special: bool
    max_length: int
    limit: int
    n_new: int
    end_id: int
    pad_id: int
    start_id: int | None
    with_positions: bool
    keeps_logits: bool
    keeps_cache: bool

    @property
    def collator(self) -> TextCollator:
        return TextCollator(self.pad_id, self.start_id, self.with_positions, self.keeps_logits)


@dataclass(frozen=True, slots=True)
class TextData(TrialData):
    """Prompts (`tokens`) and the answers to learn.

    Attributes:
        answers: the main answer of each training row, its end token included; the end token alone for a question
            that has no answer.
        habits: how the model is asked.
        decode: turns generated tokens into text.
    """

    answers: TokenRows
    habits: Habits
    decode: Callable[[Sequence[int]], str]

    @property
    def notes(self) -> Mapping[str, Any]:
        return asdict(self.habits)


class TextFormulation:
    """The answer is written token by token: after the prompt, or by a decoder that reads what an encoder made of it."""

    def prepare(self, spec: Mapping[str, Any], model: ModelSpec, params: Params) -> TextData:
        source, cache = Path(spec["data"]), Path(spec["cache"])
        targets = read_targets(source)
        fraction = float(params["train_fraction"])
        template = targets.get("prompt")
        scribe = partial(_scribe, model.path, targets["kind"], template, model.family)
        key = f"text {model.path} {model.revision} {params['max_length']} {template}"
        train = cache_entry(
            cache, f"{key} train", lambda folder: _build(folder, source, scribe(), model, int(params["max_length"]))
        )
        habits = Habits(**json.loads((train.folder / "habits.json").read_text()))
        validation = cache_entry(
            cache, f"{key} validation", lambda folder: _read(folder, source, "validation", scribe(), habits)
        )
        saved = [
            (0.0 if entry.is_new else entry.seconds * share) - entry.waited_s
            for entry, share in ((train, fraction), (validation, 1.0))
        ]
        return TextData(
            kind=targets["kind"],
            names=targets["names"],
            targets={split: targets[split] for split in ("train", "validation")},
            tokens={"train": load_rows(train.folder), "validation": load_rows(validation.folder)},
            train_rows=training_rows(targets["train"], fraction, int(spec["data_seed"])),
            collator=habits.collator,
            cached_s=sum(saved),
            answers=load_rows(train.folder / "answers"),
            habits=habits,
            decode=lambda ids: scribe().decode(ids),
        )

    def load_model(self, model: ModelSpec, params: Params, n_labels: int, dropout: float) -> nn.Module:
        return load_language_model(model, dropout)

    def examples(self, data: TextData) -> Dataset[dict[str, Any]]:
        is_decoder = data.habits.start_id is None
        return AnswerRows(data.tokens["train"], data.answers, data.train_rows, is_decoder=is_decoder)

    def loss(self, data: TextData, params: Params, device: torch.device) -> Loss:
        return AnswerLoss(is_decoder=data.habits.start_id is None)

    def monitored_rows(self, data: TextData, params: Params, seed: int) -> Sequence[int]:
        n_rows = len(data.targets["validation"])
        n_chosen = affordable_rows(
            prompt=float(np.mean(data.tokens["train"].lengths())),
            answer=float(np.mean(data.answers.lengths())),
            n_trained=len(data.train_rows) * int(params["epochs"]),
        )
        return stratified_subset([0] * n_rows, n_chosen / max(n_rows, 1), seed)

    def predict(
        self,
        module: nn.Module,
        data: TextData,
        device: torch.device,
        rows: Sequence[int] | None = None,
        *,
        n_at_once: int,
    ) -> Sequence[str]:
        tokens = data.tokens["validation"]
        prompts = [tokens.row(row)[0] for row in (range(len(tokens)) if rows is None else rows)]
        return write_answers(
            module, prompts, data.habits.collator, _config(data.habits), data.decode, n_at_once=n_at_once
        )

    def settle(self, module: nn.Module, data: TextData) -> None:
        """Nothing was done to the targets."""

    def to_hugging_face(
        self, module: nn.Module, kind: str, names: Sequence[str], max_length: int, notes: Mapping[str, Any]
    ) -> PreTrainedModel:
        module.generation_config = _config(Habits(**notes))
        module.config.use_cache = True
        return module

    def predict_exported(
        self,
        folder: Path,
        kind: str,
        rows: Mapping[str, Any],
        device: torch.device,
        report: Callable[[int, int], None],
    ) -> Predicted:
        info = json.loads((folder / "xautolm.json").read_text(encoding="utf-8"))
        habits = Habits(**info["notes"])
        is_decoder = habits.start_id is None
        auto = AutoModelForCausalLM if is_decoder else AutoModelForSeq2SeqLM
        model = auto.from_pretrained(folder, use_safetensors=True, dtype=torch.float32).to(device)
        prompt = make_prompt(kind, habits.template)
        scribe = Scribe(AutoTokenizer.from_pretrained(folder), prompt, is_decoder, habits.adds_special)
        asked = rows_of(kind, rows["texts"], rows["pairs"])
        prompts = list(scribe.read(asked, habits.max_length, habits.limit))
        config = _config(habits)
        answers = write_answers(
            model, prompts, habits.collator, config, scribe.decode, n_at_once=_BATCH, is_exact=True, report=report
        )
        return Predicted(answers)


def _config(habits: Habits) -> GenerationConfig:
    config = greedy(habits.n_new, end_id=habits.end_id, pad_id=habits.pad_id, start_id=habits.start_id)
    config.use_cache = habits.keeps_cache
    return config


@lru_cache(maxsize=2)
def _scribe(path: str, kind: str, template: str | None, family: Family) -> Scribe:
    """The scribe of a model, made when a trial first needs its tokenizer."""
    prompt = make_prompt(kind, template)
    return make_scribe(AutoTokenizer.from_pretrained(path), prompt, is_decoder=family == "decoder")


def _build(folder: Path, source: Path, scribe: Scribe, model: ModelSpec, max_length: int) -> None:
    """Fill the cache entry of the training rows: answers, the habits that follow from them, and prompts.

    Raises:
        InvalidPipelineError: the tokenizer has no end token.
    """
    targets = read_targets(source)
    answers = scribe.write([row[0]["text"] if row else "" for row in targets["train"]])
    usual = float(np.quantile([len(ids) for ids in answers], 0.99, method="inverted_cdf"))
    n_new = new_tokens(usual, model.context if scribe.is_decoder else None)
    limit = model.context - n_new if scribe.is_decoder else model.context
    config = AutoConfig.from_pretrained(model.path, trust_remote_code=False)
    habits = Habits(
        template=scribe.prompt.template,
        adds_special=scribe.adds_special,
        max_length=min(max_length, limit),
        limit=limit,
        n_new=n_new,
        end_id=scribe.end,
        pad_id=scribe.padding,
        start_id=None if scribe.is_decoder else _start_token(config, scribe),
        **_accepted(config),
    )
    (folder / "habits.json").write_text(json.dumps(asdict(habits)))
    (folder / "answers").mkdir()
    # Of an answer that is too long the end is not learned, and neither is that it ends there.
    save_rows([ids[:n_new] for ids in answers], folder / "answers")
    _read(folder, source, "train", scribe, habits)


def _read(folder: Path, source: Path, split: str, scribe: Scribe, habits: Habits) -> None:
    """Save the prompts of a split."""
    rows = json.loads((source / f"{split}.json").read_text())
    asked = rows_of(scribe.prompt.kind, rows["texts"], rows["pairs"])
    save_rows(list(scribe.read(asked, habits.max_length, habits.limit)), folder)


def _start_token(config: Any, scribe: Scribe) -> int:
    """The first token of a decoder: as configured, else the one that begins texts, else padding (as in T5)."""
    for value in (getattr(config, "decoder_start_token_id", None), scribe.tokenizer.bos_token_id):
        if value is not None:
            return int(value)
    return scribe.padding


def _accepted(config: Any) -> dict[str, bool]:
    """What a model takes besides tokens and mask.

    transformers makes room for the keys and values of as many layers as a T5 has in its encoder, which fails where its
    decoder is deeper.
    """
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    names = inspect.signature(kind.forward).parameters if kind else {}
    deepest = config.get_text_config(decoder=True).num_hidden_layers
    return {
        "with_positions": "position_ids" in names,
        "keeps_logits": "logits_to_keep" in names,
        "keeps_cache": (getattr(config, "num_decoder_layers", None) or deepest) <= deepest,
    }


FORMULATION = TextFormulation()
