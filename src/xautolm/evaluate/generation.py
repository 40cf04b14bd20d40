"""Teaches models to write answers, and lets them write: batches, loss, greedy generation. Runs in a worker only.

Decoder-only models read prompt and answer as one text, padded on the left in training as in generation, so that the
answers of a batch end at the same place: logits are then needed for the last few tokens only, and of a large vocabulary
they would outweigh everything else (`space.memory.logit_bytes`). Prompt and padding carry no loss (`method.md`,
weakness 22).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from xautolm.evaluate.batches import has_bf16
from xautolm.evaluate.job_folder import DivergedError
from xautolm.evaluate.loss import finite
from xautolm.evaluate.tokens import TokenRows

#: Labels that carry no loss, as in transformers.
IGNORED = -100


@dataclass(frozen=True, slots=True)
class TextCollator:
    """Makes batches of prompts, and of prompts with the answers to learn.

    Padding is told from text by lengths, never by the token, which may be the one that ends an answer.

    Attributes:
        pad_id: padding token.
        start_id: first token that a decoder with an encoder reads; None for decoder-only models.
        with_positions: whether the model is told positions; otherwise it counts padding too.
        keeps_logits: whether the model can be told to compute logits for the last tokens only.
    """

    pad_id: int
    start_id: int | None
    with_positions: bool
    keeps_logits: bool

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A batch.

        Args:
            rows: `input_ids` = the prompt, with its answer for decoder-only models, and maybe `labels` = the answer.

        Returns:
            Tensors (n_rows, n_tokens); `labels` (n_rows, longest answer) are aligned at the end of the text for
            decoder-only models, and start with the first token for others.
        """
        is_left = self.start_id is None
        ids = _padded([row["input_ids"] for row in rows], self.pad_id, is_left=is_left)
        mask = _padded([[1] * len(row["input_ids"]) for row in rows], 0, is_left=is_left)
        batch: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if is_left and self.with_positions:
            batch["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        if "labels" not in rows[0]:
            return batch
        answers = [row["labels"] for row in rows]
        batch["labels"] = _padded(answers, IGNORED, is_left=is_left)
        if self.start_id is not None:
            batch["decoder_input_ids"] = _padded([[self.start_id, *ids[:-1]] for ids in answers], self.pad_id)
        elif self.keeps_logits:
            batch["logits_to_keep"] = batch["labels"].shape[1] + 1
        return batch


def _padded(rows: Sequence[Sequence[int]], value: int, *, is_left: bool = False) -> Tensor:
    """Rows of numbers as one tensor (n_rows, longest row)."""
    width = max(len(row) for row in rows)
    padded = torch.full((len(rows), width), value, dtype=torch.long)
    for i, row in enumerate(rows):
        padded[i, width - len(row) if is_left else 0 :][: len(row)] = torch.tensor(row, dtype=torch.long)
    return padded


class AnswerRows(Dataset[dict[str, Any]]):  # type: ignore[misc]  # torch is not analysed
    """Prompts with their answers for the Trainer.

    Args:
        prompts: of the training rows.
        answers: of the training rows.
        rows: which rows.
        is_decoder: whether prompt and answer are one text.
    """

    def __init__(self, prompts: TokenRows, answers: TokenRows, rows: Sequence[int], *, is_decoder: bool) -> None:
        self._prompts, self._answers, self._rows, self._is_decoder = prompts, answers, rows, is_decoder

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, item: int) -> dict[str, Any]:
        row = self._rows[item]
        prompt, answer = self._prompts.row(row)[0], self._answers.row(row)[0]
        return {"input_ids": [*prompt, *answer] if self._is_decoder else prompt, "labels": answer}


class AnswerLoss:
    """The mean cross-entropy over the tokens of all answers; a loss that is not finite ends the trial.

    Args:
        is_decoder: whether logits are those of prompt and answer as one text, so that each token is predicted at the
            one before it.
    """

    def __init__(self, *, is_decoder: bool) -> None:
        self._is_decoder = is_decoder

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """Loss of a micro-batch as its part of the mean over the whole batch.

        Args:
            outputs: `logits` (n_rows, n_tokens, vocabulary), of the last tokens at least.
            labels: from `TextCollator`.
            num_items_in_batch: `weight_of` the labels of the whole batch; None = this is the whole batch.
        """
        logits = outputs["logits"]
        if self._is_decoder:
            logits = logits[:, -labels.shape[1] - 1 : -1]
        total = self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        summed = nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return finite(summed / total)

    def weight_of(self, labels: Tensor) -> Tensor:
        """The tokens that carry a loss."""
        return (labels != IGNORED).sum().float()


class _Finite(LogitsProcessor):  # type: ignore[misc]  # transformers is not analysed
    """Lets no token be chosen by scores that are not numbers."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if bool(torch.isnan(scores).any()):
            raise DivergedError("a score of a generated token is not a number")
        return scores


def greedy(
    n_new: int, *, end_id: int, pad_id: int, start_id: int | None, begin_id: int | None = None
) -> GenerationConfig:
    """How answers are written: the most probable token each time, to the end token or to `n_new` tokens.

    Nothing is left to the settings that a model comes with (sampling at a temperature, beams, banned repetitions).
    """
    return GenerationConfig(
        max_new_tokens=n_new,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        bos_token_id=begin_id,
        eos_token_id=end_id,
        pad_token_id=pad_id,
        decoder_start_token_id=start_id,
    )


def write_answers(
    module: nn.Module,
    prompts: Sequence[Sequence[int]],
    collator: TextCollator,
    config: GenerationConfig,
    decode: Callable[[list[int]], str],
    *,
    n_at_once: int,
    is_exact: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Let a model write an answer to each prompt, in batches of similar length.

    Args:
        module: a language model, with or without adapters.
        prompts: token ids.
        collator: of the model.
        config: from `greedy`.
        decode: turns generated tokens, without the prompt, into text.
        n_at_once: prompts in one batch.
        is_exact: whether to compute in 32 bits, as an exported model is used, also where the device has 16.
        report: is told how many of how many rows are done.

    Returns:
        One text per prompt, in their order.

    Raises:
        DivergedError: the model's scores are not numbers.
    """
    order = np.argsort([-len(ids) for ids in prompts], kind="stable").tolist()
    answers = [""] * len(prompts)
    checks = LogitsProcessorList([_Finite()])
    module.eval()
    device = next(module.parameters()).device
    is_mixed = has_bf16(device) and not is_exact
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=is_mixed):
        for start in range(0, len(order), n_at_once):
            chosen = order[start : start + n_at_once]
            batch = collator([{"input_ids": prompts[i]} for i in chosen])
            inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
            written = module.generate(**inputs, generation_config=config, logits_processor=checks)
            # What comes back begins with the prompt, or with the token that a decoder starts with.
            n_given = inputs["input_ids"].shape[1] if collator.start_id is None else 1
            for i, ids in zip(chosen, written[:, n_given:].tolist(), strict=True):
                answers[i] = decode(ids)
            report(min(start + n_at_once, len(order)), len(order))
    return answers
