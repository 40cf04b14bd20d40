"""LoRA: low-rank adapters on every linear layer of the transformer blocks, and the head."""

from __future__ import annotations

from typing import Any

from xautolm.methods.method import (
    Facts,
    Params,
    adapter_params,
    gradient_default,
    gradient_params,
    gradient_workload,
    shared_default,
    shared_params,
)
from xautolm.records import ModelSpec
from xautolm.space.feasibility import Workload
from xautolm.space.params import Categorical, MethodSpace

#: What PEFT calls the ways of drawing the first matrix (the second is 0): Kaiming-uniform or normal.
_INITS = {"kaiming": True, "gaussian": "gaussian"}


class Lora:
    """Low-rank adaptation (Hu et al. 2022) through PEFT.

    All linear layers of the blocks are adapted, the feed-forward ones included, and learning rates are about ten
    times those of full fine-tuning ("LoRA Without Regret", 2025). `lora_alpha` is given as a multiple of the rank.
    A fresh head is trained beside the adapters; embeddings and the language-model head, which often are one table,
    are neither adapted nor trained.
    """

    name = "lora"
    trains_by_gradient = True

    def space(self, facts: Facts) -> MethodSpace:
        return MethodSpace(
            method=self.name,
            models=tuple(model.name for model in facts.models),
            params={
                "lora_r": Categorical((4, 8, 16, 32)),
                "lora_alpha_ratio": Categorical((1, 2)),
                "lora_dropout": Categorical((0.0, 0.1)),
                **gradient_params(1e-4, 5e-3),
                **shared_params(facts),
            },
            default={
                "lora_r": 8,
                "lora_alpha_ratio": 2,
                "lora_dropout": 0.0,
                **gradient_default(1e-3, epochs=2),
                **shared_default(facts),
            },
        )

    def workload(self, model: ModelSpec, params: Params) -> Workload:
        adapters = adapter_params(model, int(params["lora_r"]))
        n_trainable = adapters + model.n_params_head
        return gradient_workload(params, n_trainable=n_trainable, backward_layers=model.depth, n_lora=adapters)

    def prepare(self, classifier: Any, params: Params) -> Any:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers.pytorch_utils import Conv1D

        from xautolm.methods.structure import blocks, head_parameters

        adapted = {
            id(module)
            for block in blocks(classifier)
            for module in block.modules()
            if isinstance(module, torch.nn.Linear | Conv1D)
        }
        names = [name for name, module in classifier.named_modules() if id(module) in adapted]
        rank = int(params["lora_r"])
        config = LoraConfig(
            r=rank,
            lora_alpha=rank * params["lora_alpha_ratio"],
            lora_dropout=float(params["lora_dropout"]),
            bias=str(params.get("lora_bias", "none")),
            init_lora_weights=_INITS[str(params.get("lora_init", "kaiming"))],
            target_modules=names,
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in classifier.modules()),
        )
        head = head_parameters(classifier)
        wrapped = get_peft_model(classifier, config)
        for parameter in head:
            parameter.requires_grad_(True)
        return wrapped


METHOD = Lora()
