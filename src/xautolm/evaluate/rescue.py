"""The ways of running the same training in less memory, one after the other: smaller micro-batches, then checkpointing.

The effective batch stays what was asked for: a batch of 32 rows becomes two micro-batches of 16 whose gradients are
added up, and so on down to single rows; the last way keeps no activations but those between layers and computes the
others again in the backward pass (gradient checkpointing, Chen et al. 2016). The optimizer sees the same steps.

Every try is a new process: the same way for an exception and for a process that was killed at its limit, from clean
memory, 0.2 s from the fork server. Going on in the same process is not dependable on a CPU: where memory is short,
oneDNN answers "could not create a primitive", which does not tell what it lacks (`benchmarks/soft_limit.py`).

A pipeline that was rescued carries `micro_batch_size` and `gradient_checkpointing` among its settings, beside
`batch_size`, so that it runs in the same way when it is run again. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xautolm.records import ParamValue

MICRO_BATCH = "micro_batch_size"
CHECKPOINTING = "gradient_checkpointing"
#: Rows that are predicted at once; a rescued pipeline predicts a few micro-batches at once, if that is less.
PREDICT_ROWS = 64
_PREDICTED_MICRO_BATCHES = 4


def micro_batch_size(params: Mapping[str, Any]) -> int:
    """Rows whose activations are in memory at the same time.

    >>> micro_batch_size({"batch_size": 32}), micro_batch_size({"batch_size": 32, "micro_batch_size": 4})
    (32, 4)
    """
    return int(params.get(MICRO_BATCH, params["batch_size"]))


def accumulation_steps(params: Mapping[str, Any]) -> int:
    """Micro-batches whose gradients make one step of the optimizer."""
    return int(params["batch_size"]) // micro_batch_size(params)


def is_checkpointed(params: Mapping[str, Any]) -> bool:
    """Whether activations within layers are computed twice instead of kept."""
    return bool(params.get(CHECKPOINTING, False))


def effective(params: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    """The settings with what follows from them spelled out, as other programs name it.

    >>> effective({"batch_size": 32, "micro_batch_size": 4})["gradient_accumulation_steps"], effective({"c": 1.0})
    (8, {'c': 1.0})
    """
    implied: dict[str, ParamValue] = {}
    if MICRO_BATCH in params:
        implied["gradient_accumulation_steps"] = accumulation_steps(params)
    return {**params, **implied}


def rows_per_prediction(params: Mapping[str, Any]) -> int:
    """Rows of a validation batch.

    >>> rows_per_prediction({"c": 1.0}), rows_per_prediction({"batch_size": 16})
    (64, 64)
    >>> rows_per_prediction({"batch_size": 16, "micro_batch_size": 2})
    8
    """
    if MICRO_BATCH not in params:
        return PREDICT_ROWS
    return min(PREDICT_ROWS, _PREDICTED_MICRO_BATCHES * micro_batch_size(params))


def smaller(params: Mapping[str, ParamValue]) -> dict[str, ParamValue] | None:
    """The settings to try after these ran out of memory; None when there is nothing left to try.

    The micro-batch is halved, to the next size that divides the batch.

    >>> smaller({"batch_size": 12})
    {'batch_size': 12, 'micro_batch_size': 6, 'gradient_checkpointing': False}
    >>> smaller({"batch_size": 12, "micro_batch_size": 3})
    {'batch_size': 12, 'micro_batch_size': 1, 'gradient_checkpointing': False}
    >>> last = smaller({"batch_size": 12, "micro_batch_size": 1})
    >>> last, smaller(last), smaller({"c": 1.0})
    ({'batch_size': 12, 'micro_batch_size': 1, 'gradient_checkpointing': True}, None, None)
    """
    if "batch_size" not in params or is_checkpointed(params):
        return None
    batch, micro = int(params["batch_size"]), micro_batch_size(params)
    if micro == 1:
        return {**params, MICRO_BATCH: 1, CHECKPOINTING: True}
    halved = next(n for n in range(micro // 2, 0, -1) if batch % n == 0)
    return {**params, MICRO_BATCH: halved, CHECKPOINTING: False}


def describe(params: Mapping[str, Any]) -> str:
    """How a training is cut down, for people.

    >>> describe({"batch_size": 32, "micro_batch_size": 1, "gradient_checkpointing": True})
    'a micro-batch of 1 row, 32 of them to a step, with gradient checkpointing'
    """
    micro = micro_batch_size(params)
    rows = f"a micro-batch of {micro} row{'s' if micro > 1 else ''}, {accumulation_steps(params)} of them to a step"
    return f"{rows}, with gradient checkpointing" if is_checkpointed(params) else rows
