"""The training itself: bf16 autocast, fused AdamW, cosine schedule, a checkpoint every few minutes.

The schedule follows the clock or the steps, whichever the budget names: the learning rate reaches zero with it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.pretraining.objectives import Batches

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: As for GPT-3 and Llama (Touvron et al. 2023, section 2.3).
BETAS, WEIGHT_DECAY, MAX_NORM = (0.9, 0.95), 0.1, 1.0
#: AdamW moves a value by at most its rate: at 0.003 a bias would need 1,000 steps and more to say "the token before".
POSITION_RATE_FACTOR = 10.0
CHECKPOINT_S = 300.0
_LOG_EVERY = 20


@dataclass(frozen=True, slots=True)
class Budget:
    """When a training ends; exactly one is given.

    Attributes:
        seconds: of training on the clock, over all calls together.
        steps: updates.
    """

    seconds: float | None = None
    steps: int | None = None

    def share_used(self, progress: Progress) -> float:
        """0 at the start, 1 at the end.

        >>> Budget(steps=10).share_used(Progress(step=5)), Budget(seconds=4.0).share_used(Progress(seconds=8.0))
        (0.5, 1.0)
        """
        if self.steps is not None:
            return min(1.0, progress.step / self.steps)
        return min(1.0, progress.seconds / (self.seconds or math.inf))


@dataclass(slots=True)
class Progress:
    """How far a training is.

    Attributes:
        step: updates done, which is also the number of the next batch.
        seconds: spent in training, over all calls.
        tokens: seen, padding included.
    """

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Training:
    """What one training is made of.

    Attributes:
        model: changed in place.
        batches: of the training, by the share of the budget that is used up when they begin, in order.
        budget: when it ends.
        learning_rate: highest one.
        warmup_steps: linear ones.
        checkpoint: file that is written and gone on from.
        log: gets one line at a time.
        check: called with every checkpoint, returns what to say about the model.
        should_stop: asked after every step; the training can go on later.
    """

    model: PreTrainedModel
    batches: Mapping[float, Batches]
    budget: Budget
    learning_rate: float
    warmup_steps: int
    checkpoint: Path
    log: Callable[[str], None]
    check: Callable[[], str]
    should_stop: Callable[[], bool]

    def batches_at(self, share: float) -> Batches:
        """The batches for when a share of the budget is used up."""
        return [batches for start, batches in self.batches.items() if start <= share][-1]


def scale(share: float, step: int, warmup_steps: int) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine to zero.

    >>> scale(0.0, 0, 10), scale(0.5, 1000, 10), round(scale(1.0, 2000, 10), 6)
    (0.1, 0.5, 0.0)
    """
    return min(1.0, (step + 1) / warmup_steps) * 0.5 * (1 + math.cos(math.pi * share))


def train(training: Training) -> Progress:
    """Train until the budget is used up, or until told to stop; goes on from the checkpoint where there is one."""
    optimizer = make_optimizer(training.model, training.learning_rate)
    progress = load_checkpoint(training.checkpoint, training.model, optimizer)
    training.model.train()
    saved_s = progress.seconds
    losses: list[float] = []
    since = (progress.tokens, progress.seconds)
    while (share := training.budget.share_used(progress)) < 1.0 and not training.should_stop():
        started = time.perf_counter()
        factor = scale(share, progress.step, training.warmup_steps)
        losses.append(_step(training, training.batches_at(share), optimizer, progress, factor))
        progress.seconds += time.perf_counter() - started
        if progress.step % _LOG_EVERY == 0:
            speed = (progress.tokens - since[0]) / max(progress.seconds - since[1], 1e-9)
            training.log(
                f"step {progress.step}  {progress.seconds / 60:.1f} min  {progress.tokens / 1e6:.2f} M tokens  "
                f"loss {sum(losses) / len(losses):.3f}  rate {factor * training.learning_rate:.1e}  "
                f"{speed:.0f} tokens/s"
            )
            losses, since = [], (progress.tokens, progress.seconds)
        if progress.seconds - saved_s >= CHECKPOINT_S:
            saved_s = progress.seconds
            save_checkpoint(training.checkpoint, training.model, optimizer, progress)
            training.log(training.check())
            training.model.train()
    save_checkpoint(training.checkpoint, training.model, optimizer, progress)
    return progress


def _step(
    training: Training, batches: Batches, optimizer: torch.optim.Optimizer, progress: Progress, factor: float
) -> float:
    import torch

    for group in optimizer.param_groups:
        group["lr"] = factor * training.learning_rate * group["rate_factor"]
    batch = {name: torch.from_numpy(values) for name, values in batches.batch(progress.step).items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = training.model(**batch, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(training.model.parameters(), MAX_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    progress.step += 1
    progress.tokens += batches.n_tokens
    return float(loss.detach())


def make_optimizer(model: PreTrainedModel, learning_rate: float) -> torch.optim.Optimizer:
    """Fused AdamW; matrices decay, norms and biases do not.

    Of a T5, queries learn slower, as its attention does not divide by the root of the width of a head, and the biases
    of attention by position faster.
    """
    import torch

    is_t5 = model.config.is_encoder_decoder
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, values in model.named_parameters():
        decay, factor = WEIGHT_DECAY if values.ndim > 1 else 0.0, 1.0
        if "relative_attention_bias" in name:
            decay, factor = 0.0, POSITION_RATE_FACTOR
        elif is_t5 and ".q." in name:
            factor = model.config.d_kv**-0.5
        groups.setdefault((decay, factor), []).append(values)
    listed = [{"params": found, "weight_decay": decay, "rate_factor": f} for (decay, f), found in groups.items()]
    return torch.optim.AdamW(listed, lr=learning_rate, betas=BETAS, fused=True)


def save_checkpoint(file: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write everything a training needs to go on; the file is replaced at once."""
    import torch

    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": {"step": progress.step, "seconds": progress.seconds, "tokens": progress.tokens},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, file)


def load_checkpoint(file: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer | None = None) -> Progress:
    """Restore a model, and its optimizer, where there is a checkpoint.

    Returns:
        How far it was; nothing done where there is none.
    """
    import torch

    if not file.is_file():
        return Progress()
    state = torch.load(file, weights_only=True)
    model.load_state_dict(state["model"])
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])
