"""A fine-tuning method of your own: BitFit (Ben Zaken et al. 2022) trains the bias terms and the head, nothing else.

From the repository root: `PYTHONPATH=examples .venv/bin/python examples/bitfit.py`. Trials run in processes of their
own and import this module by its name, so it must be on PYTHONPATH. An installed package declares the entry point
`bitfit = "bitfit:METHOD"` in the group `xautolm.methods` instead; `xautolm fit --methods bitfit,full` then knows it.
"""

from __future__ import annotations

import sys
from typing import Any

from xautolm import AutoLM, registry
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


class BitFit:
    """Trains every bias of the model, and the head. Biases take larger learning rates than whole matrices."""

    name = "bitfit"
    trains_by_gradient = True

    def space(self, facts: Facts) -> MethodSpace:
        """What may vary: the hyperparameters that all gradient methods share, with a learning-rate range of its own."""
        return MethodSpace(
            method=self.name,
            models=tuple(model.name for model in facts.models),
            params={**gradient_params(3e-4, 1e-2), **shared_params(facts)},
            default={**gradient_default(2e-3, epochs=1), **shared_default(facts)},
        )

    def workload(self, model: ModelSpec, params: Params) -> Workload:
        """What it costs: per layer seven biases of the hidden size and one of the feed-forward size."""
        biases = model.n_layers * (7 * model.hidden + model.intermediate)
        return gradient_workload(params, n_trainable=biases, backward_layers=model.n_layers)

    def prepare(self, classifier: Any, params: Params) -> Any:
        """Which parameters are trained: those that require a gradient when this returns. Called in the worker."""
        from xautolm.methods.structure import head_parameters

        for name, parameter in classifier.named_parameters():
            parameter.requires_grad_(name.endswith("bias"))
        for parameter in head_parameters(classifier):
            parameter.requires_grad_(True)
        return classifier


METHOD = BitFit()


def main(data: str = "examples/data/pros_cons.csv", out: str | None = None) -> None:
    """Three trials of BitFit on the 3-layer encoder."""
    registry.register("methods", "bitfit", "bitfit:METHOD")
    search = AutoLM(budget="3trials", methods=("bitfit",), models=("all-MiniLM-L6-v2@3",), seed=0)
    report = search.fit(data, target="label", out=out)
    print(report.trials[["trial_id", "status", "f1", "time_s", "learning_rate"]].to_string(index=False))
    print(f"test {report.test}; model in {report.best.model_folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
