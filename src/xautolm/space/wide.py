"""The wide space: the hyperparameters of the published search (method.md, 3.2) that make a difference, repaired.

The usual space is what methods declare; it is small, so that a short search has a chance. This one widens it for any
method that trains by gradients, and adds what the usual one leaves at its default. A pipeline without one of the added
settings means their defaults (`ADDED`), so that experience of both spaces counts in both.

Left out, because they are no choices of a search here: `gradient_accumulation_steps` (a batch is split as memory asks,
with the same gradient), `warmup_steps` (a ratio: 2,000 steps can exceed a whole training), `early_stopping_*` (the
best of eight validations is kept, and trials that cannot enter the front end early), `use_mixed_precision` (bf16 where
the machine has it: fp16 destabilises T5 and DeBERTa), `num_workers` (rows are tokenised before), `optimizer=adam`
(`adamw` with `weight_decay=0`), `fan_in_fan_out` (a property of the layer), `init_lora_weights` of PiSSA and LoftQ
(they change the pretrained weights, which checkpoints do not hold), `max_length` beyond what the data's texts need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xautolm.records import ParamValue
from xautolm.space.params import Categorical, Domain, Float, Int, MethodSpace

#: Published choices, here for every method that has the parameter. Warm-up is a ratio (weakness 24).
_WIDER: Mapping[str, Domain] = {
    "batch_size": Categorical((2, 4, 8, 16, 32, 64, 128, 256)),
    "epochs": Int(1, 10, log=True),
    "warmup_ratio": Categorical((0.0, 0.06, 0.15, 0.3)),
    "weight_decay": Categorical((0.0, 0.001, 0.005, 0.01, 0.1)),
    "dropout": Categorical((0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
    "lora_r": Categorical((1, 2, 4, 8, 16, 32)),
    # of the rank, as 8 to 64 at the published ranks
    "lora_alpha_ratio": Categorical((0.25, 0.5, 1, 2, 4, 8)),
    "lora_dropout": Categorical((0.0, 0.1, 0.2, 0.3)),
}
#: Depths of partial fine-tuning; deeper ones than the models are left out.
_DEPTHS = (1, 2, 4, 8, 16, 32, 64)
#: The smallest published learning rate; methods keep their own largest one, which is larger.
_LEAST_RATE = 5e-6

#: Settings that the usual space leaves alone -> their choices, the default first. Learning rates are those of AdamW;
#: the other optimizers take a multiple (`evaluate.optimizers`): at the same rates they do not train (weakness 25).
ADDED: Mapping[str, tuple[ParamValue, ...]] = {
    "optimizer": ("adamw", "adafactor", "adagrad", "sgd"),
    "lr_scheduler": ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant"),
    "max_grad_norm": (1.0, 0.5, 5.0, 0.0),
}
#: The same for adapters.
ADDED_TO_ADAPTERS: Mapping[str, tuple[ParamValue, ...]] = {
    "lora_bias": ("none", "lora_only", "all"),
    "lora_init": ("kaiming", "gaussian"),
}


def widened(part: MethodSpace) -> MethodSpace:
    """A method's part of the space with the published choices; its default stays what it is.

    Methods without a learning rate are left as they are.

    >>> mine = MethodSpace("mine", ("m",), {"learning_rate": Float(1e-4, 1e-2), "k": Int(1, 3)}, {"k": 1})
    >>> wide = widened(mine)
    >>> wide.params["learning_rate"], wide.params["k"] == mine.params["k"], wide.default["optimizer"]
    (Float(low=5e-06, high=0.01, log=True), True, 'adamw')
    """
    rate = part.params.get("learning_rate")
    if not isinstance(rate, Float):
        return part
    params = {name: _WIDER.get(name, domain) for name, domain in part.params.items()}
    params["learning_rate"] = Float(min(rate.low, _LEAST_RATE), rate.high, log=True)
    depths = part.params.get("n_layers")
    if isinstance(depths, Categorical):
        deepest = max(int(depth) for depth in depths.choices)
        params["n_layers"] = Categorical((*(depth for depth in _DEPTHS if depth < deepest), deepest))
    added = {**ADDED, **(ADDED_TO_ADAPTERS if "lora_r" in part.params else {})}
    new = {name: choices for name, choices in added.items() if name not in params}
    return replace(
        part,
        params={**params, **{name: Categorical(choices) for name, choices in new.items()}},
        default={**part.default, **{name: choices[0] for name, choices in new.items()}},
    )
