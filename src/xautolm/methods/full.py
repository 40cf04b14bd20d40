"""Full fine-tuning: every parameter is trained."""

from __future__ import annotations

from typing import Any

from xautolm.methods.method import (
    Facts,
    Params,
    gradient_default,
    gradient_params,
    gradient_workload,
    shared_default,
    shared_params,
)
from xautolm.records import ModelSpec
from xautolm.space.feasibility import Workload
from xautolm.space.params import MethodSpace


class FullFineTuning:
    """Trains every parameter of the model and the head.

    Learning rates 1e-5..3e-4 around the 2e-5..5e-5 of Devlin et al. (2019) for base-size encoders; small encoders
    need more (design.md: 1e-4 for the 6-layer MiniLM).
    """

    name = "full"
    trains_by_gradient = True

    def space(self, facts: Facts) -> MethodSpace:
        return MethodSpace(
            method=self.name,
            models=tuple(model.name for model in facts.models),
            params={**gradient_params(1e-5, 3e-4), **shared_params(facts)},
            default={**gradient_default(1e-4, epochs=2), **shared_default(facts)},
        )

    def workload(self, model: ModelSpec, params: Params) -> Workload:
        return gradient_workload(
            params,
            n_trainable=model.n_params + model.n_params_head,
            backward_layers=model.depth,
            trains_embeddings=True,
        )

    def prepare(self, classifier: Any, params: Params) -> Any:
        for parameter in classifier.parameters():
            parameter.requires_grad_(True)
        return classifier


METHOD = FullFineTuning()
