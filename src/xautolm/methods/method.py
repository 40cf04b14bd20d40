"""What a fine-tuning method is, and the hyperparameters that gradient methods share. No torch at import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from xautolm.records import ModelSpec, ParamValue
from xautolm.space.feasibility import Workload
from xautolm.space.params import Categorical, Domain, Float, Int, MethodSpace

Params = Mapping[str, ParamValue]
#: Optimizer -> bytes that it keeps per trained parameter, where they are not the 8 of AdamW; Adafactor keeps sums of
#: rows and columns.
_MOMENT_BYTES: Mapping[str, int] = {"adagrad": 4, "sgd": 4, "adafactor": 0}
#: Task kinds whose rare classes can be weighted up.
_WEIGHTED = ("text-classification", "multi-label")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a method may adapt its space to.

    Attributes:
        models: models of the run, the one to start with first.
        lengths: maximum lengths in tokens that make sense for the data, ascending.
        n_train: rows to train on.
        kind: task kind.
    """

    models: Sequence[ModelSpec]
    lengths: tuple[int, ...]
    n_train: int
    kind: str = "text-classification"


class Method(Protocol):
    """A fine-tuning method.

    `trains_by_gradient` methods get a model from `prepare` in which exactly the parameters to train require
    gradients; the others are fitted on cached features of the frozen encoder.
    """

    name: str
    trains_by_gradient: bool

    def space(self, facts: Facts) -> MethodSpace:
        """The method's hyperparameters and its known-good default."""
        ...

    def workload(self, model: ModelSpec, params: Params) -> Workload:
        """What the method does with a model, for memory and time estimates."""
        ...

    def prepare(self, classifier: Any, params: Params) -> Any:
        """Freeze, wrap or extend a classifier (a `torch.nn.Module`); returns the module to train."""
        ...


def poolings(models: Sequence[ModelSpec]) -> tuple[str, ...]:
    """Every pooling that some model offers, in order of preference."""
    return tuple(dict.fromkeys(name for model in models for name in model.poolings))


def shared_params(facts: Facts) -> dict[str, Domain]:
    """Hyperparameters of every method: what the model reads and of how many rows."""
    shared: dict[str, Domain] = {
        "max_length": Categorical(facts.lengths),
        "pooling": Categorical(poolings(facts.models)),
        "train_fraction": Categorical((0.25, 0.5, 1.0)),
    }
    return {**shared, "class_weighting": Categorical((False, True))} if facts.kind in _WEIGHTED else shared


def shared_default(facts: Facts) -> dict[str, ParamValue]:
    """Known-good values of `shared_params`."""
    default: dict[str, ParamValue] = {
        "max_length": facts.lengths[-1],
        "pooling": facts.models[0].poolings[0],
        "train_fraction": 1.0,
    }
    return {**default, "class_weighting": False} if facts.kind in _WEIGHTED else default


def gradient_params(low: float, high: float) -> dict[str, Domain]:
    """Hyperparameters of the gradient methods; the learning-rate range is the method's own.

    The warm-up is a share of all steps (method.md, weakness 24: absolute warm-up steps can exceed the whole training).
    """
    return {
        "learning_rate": Float(low, high, log=True),
        "batch_size": Categorical((8, 16, 32, 64)),
        "epochs": Int(1, 6, log=True),
        "warmup_ratio": Categorical((0.0, 0.06, 0.15)),
        "weight_decay": Categorical((0.0, 0.01, 0.1)),
        "dropout": Categorical((0.0, 0.1, 0.2)),
    }


def gradient_default(learning_rate: float, epochs: int) -> dict[str, ParamValue]:
    """Known-good values of `gradient_params`."""
    return {
        "learning_rate": learning_rate,
        "batch_size": 16,
        "epochs": epochs,
        "warmup_ratio": 0.06,
        "weight_decay": 0.01,
        "dropout": 0.1,
    }


def gradient_workload(
    params: Params, *, n_trainable: int, backward_layers: int, trains_embeddings: bool = False, n_lora: int = 0
) -> Workload:
    """A workload from the shared hyperparameters and what the method trains."""
    return Workload(
        n_trainable=n_trainable,
        backward_layers=backward_layers,
        trains_embeddings=trains_embeddings,
        epochs=float(params["epochs"]),
        batch_size=int(params["batch_size"]),
        max_length=int(params["max_length"]),
        train_fraction=float(params["train_fraction"]),
        n_lora=n_lora,
        micro_batch_size=int(params["micro_batch_size"]) if "micro_batch_size" in params else None,
        has_dropout=float(params.get("dropout", 0.1)) > 0,
        has_adapter_dropout=float(params.get("lora_dropout", 0.0)) > 0,
        is_checkpointed=bool(params.get("gradient_checkpointing", False)),
        moment_bytes=_MOMENT_BYTES.get(str(params.get("optimizer")), 8),
    )


def block_params(model: ModelSpec, n: int) -> int:
    """Parameters of the last n transformer blocks, the decoder's first where there are two stacks.

    ALBERT's one block is used again and again, so that any n is all of it.
    """
    outside = model.n_params_embedding + model.n_params_decoder
    in_encoder = model.n_params - outside
    if model.model_type == "albert":
        return in_encoder if n > 0 else 0
    from_decoder = min(n, model.n_decoder_layers)
    from_encoder = min(n - from_decoder, model.n_layers)
    return (
        from_decoder * (model.n_params_decoder // max(model.n_decoder_layers, 1))
        + from_encoder * (in_encoder // max(model.n_layers, 1))
    )  # fmt: skip


def adapter_params(model: ModelSpec, rank: int) -> int:
    """Parameters of adapters of a rank on all linear layers of the blocks: rank x (rows + columns) of each.

    Where the matrices were not counted (`ModelSpec.adapter_width`): four attention and two feed-forward ones per layer.
    """
    width = model.adapter_width or model.depth * (8 * model.hidden + 2 * (model.hidden + model.intermediate))
    return rank * width
