"""How a pipeline's optimizer and learning-rate schedule are said to the Trainer. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Optimizer -> its name and arguments in transformers, and its learning rate as a multiple of AdamW's, with which it
#: trains as well as AdamW does at the default rate (`python -m benchmarks.optimizers`).
_OPTIMIZERS: dict[str, tuple[str, str | None, float]] = {
    "adamw": ("adamw_torch_fused", None, 1.0),
    "adafactor": ("adafactor", None, 1.0),
    "adagrad": ("adagrad", None, 10.0),
    "sgd": ("sgd", "momentum=0.9", 300.0),
}
#: Schedule -> its name and arguments in transformers; without these, restarts would never happen (one cycle is the
#: plain cosine) and the polynomial would be of degree 1, the line.
_SCHEDULES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {}),
    "cosine": ("cosine", {}),
    "cosine_with_restarts": ("cosine_with_restarts", {"num_cycles": 2}),
    "polynomial": ("polynomial", {"power": 2.0}),
    "constant": ("constant_with_warmup", {}),
}


def optimizer_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `TrainingArguments`; what a pipeline does not name is AdamW, linear decay, norms clipped at 1.

    Args:
        params: `learning_rate`, `weight_decay`, `warmup_ratio`, and maybe `optimizer`, `lr_scheduler`, `max_grad_norm`
            (0 = gradients are not clipped).

    Raises:
        KeyError: the optimizer or schedule is unknown.

    >>> usual = {"learning_rate": 1e-4, "weight_decay": 0.01, "warmup_ratio": 0.06}
    >>> optimizer_settings(usual)["optim"], round(optimizer_settings({**usual, "optimizer": "sgd"})["learning_rate"], 3)
    ('adamw_torch_fused', 0.03)
    """
    name, arguments, factor = _OPTIMIZERS[params.get("optimizer", "adamw")]
    schedule, options = _SCHEDULES[params.get("lr_scheduler", "linear")]
    return {
        "optim": name,
        "optim_args": arguments,
        "learning_rate": factor * float(params["learning_rate"]),
        "weight_decay": float(params["weight_decay"]),
        "warmup_steps": float(params["warmup_ratio"]),
        "lr_scheduler_type": schedule,
        "lr_scheduler_kwargs": options,
        "max_grad_norm": float(params.get("max_grad_norm", 1.0)),
    }
