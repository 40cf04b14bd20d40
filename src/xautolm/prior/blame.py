"""Which decisions a failure speaks against.

A failure is the work of a few decisions together (memory: model, batch, length), so only these are pushed
away. What the machine or the run did (a full disk, a killed process, a missing file, Ctrl-C) speaks against
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xautolm.records import Status, TrialResult

_MEMORY = frozenset({"method", "model", "batch_size", "max_length"})
_TIME = frozenset({"method", "model", "batch_size", "max_length", "epochs", "train_fraction"})
_DIVERGENCE = frozenset({"model", "learning_rate", "warmup_ratio", "batch_size", "optimizer", "weight_decay"})
_CONFIGURATION = frozenset({"method", "model"})

_BLAMED: Mapping[Status, frozenset[str]] = MappingProxyType(
    {
        "oom": _MEMORY,
        "timeout": _TIME,
        "diverged": _DIVERGENCE,
        "crashed": _CONFIGURATION,
        "invalid": _CONFIGURATION,
    }
)
#: Error kinds of `crashed` and `invalid` trials that are the pipeline's own fault. Other kinds are exceptions of
#: unknown cause and dead or hung processes: they teach nothing about the decisions.
PIPELINE_KINDS = frozenset({"settings"})


def blamed(result: TrialResult) -> frozenset[str]:
    """Bare names of the decisions (`method`, `model`, hyperparameters) that a result speaks against.

    Returns:
        The names; empty when the result is no failure or when the failure is not the pipeline's.
    """
    kind = result.error.kind if result.error else ""
    if result.status in ("crashed", "invalid") and kind not in PIPELINE_KINDS:
        return frozenset()
    return _BLAMED.get(result.status, frozenset())
