"""Partial fine-tuning: the last k transformer layers and the head are trained."""

from __future__ import annotations

from typing import Any

from xautolm.methods.method import (
    Facts,
    Params,
    gradient_default,
    gradient_params,
    gradient_workload,
    layer_params,
    shared_default,
    shared_params,
)
from xautolm.records import ModelSpec
from xautolm.space.feasibility import Workload
from xautolm.space.params import Categorical, MethodSpace

_DEPTHS = (1, 2, 4, 8, 16)


class PartialFineTuning:
    """Trains the last `n_layers` blocks, found by structure, and the head.

    The deepest choice trains every block of every model and leaves the embeddings frozen: they hold half of a small
    encoder's parameters, and updating them costs as much as a few layers.
    """

    name = "partial"
    trains_by_gradient = True

    def space(self, facts: Facts) -> MethodSpace:
        deepest = max(model.n_layers for model in facts.models)
        depths = (*(k for k in _DEPTHS if k < deepest), deepest)
        return MethodSpace(
            method=self.name,
            models=tuple(model.name for model in facts.models),
            params={
                "n_layers": Categorical(depths),
                **gradient_params(3e-5, 1e-3),
                **shared_params(facts),
            },
            default={
                "n_layers": min(2, depths[-1]),
                **gradient_default(2e-4, epochs=2),
                **shared_default(facts),
            },
        )

    def workload(self, model: ModelSpec, params: Params) -> Workload:
        trained = min(int(params["n_layers"]), model.n_layers)
        return gradient_workload(params, n_trainable=trained * layer_params(model), backward_layers=trained)

    def prepare(self, classifier: Any, params: Params) -> Any:
        from xautolm.methods.classifier import blocks, head_parameters

        for parameter in classifier.parameters():
            parameter.requires_grad_(False)
        for block in blocks(classifier)[-int(params["n_layers"]) :]:
            for parameter in block.parameters():
                parameter.requires_grad_(True)
        for parameter in head_parameters(classifier):
            parameter.requires_grad_(True)
        return classifier


METHOD = PartialFineTuning()
