"""Partial fine-tuning: the last k transformer blocks, the norm after them and the head are trained."""

from __future__ import annotations

from typing import Any

from xautolm.methods.method import (
    Facts,
    Params,
    block_params,
    gradient_default,
    gradient_params,
    gradient_workload,
    shared_default,
    shared_params,
)
from xautolm.records import ModelSpec
from xautolm.space.feasibility import Workload
from xautolm.space.params import Categorical, MethodSpace

_DEPTHS = (1, 2, 4, 8, 16)


class PartialFineTuning:
    """Trains the last `n_layers` blocks, found by structure, the final norm after them, and a fresh head.

    In encoder-decoders the last blocks are those of the decoder, then those of the encoder, as a gradient reaches them;
    with k up to the decoder's depth the encoder is frozen. The deepest choice trains every block of every model and
    leaves the embeddings frozen: they hold half of a small encoder's parameters, and updating them costs as much as a
    few layers. A language-model head, which is as large and mostly the same table, stays frozen too.
    """

    name = "partial"
    trains_by_gradient = True

    def space(self, facts: Facts) -> MethodSpace:
        deepest = max(model.depth for model in facts.models)
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
        trained = min(int(params["n_layers"]), model.depth)
        n_trainable = block_params(model, trained) + model.n_params_head
        # one block of ALBERT is all of its blocks
        passed = model.depth if model.model_type == "albert" else trained
        return gradient_workload(params, n_trainable=n_trainable, backward_layers=passed)

    def prepare(self, classifier: Any, params: Params) -> Any:
        from xautolm.methods.structure import head_parameters, last_blocks

        for parameter in classifier.parameters():
            parameter.requires_grad_(False)
        for part in last_blocks(classifier, int(params["n_layers"])):
            for parameter in part.parameters():
                parameter.requires_grad_(True)
        for parameter in head_parameters(classifier):
            parameter.requires_grad_(True)
        return classifier


METHOD = PartialFineTuning()
