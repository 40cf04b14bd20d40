"""The recorded space (`design.md` section 5) and its pipelines: pipeline i is a pure function of (seed, i).

The published choices of batch size, maximum length and epochs (`method.md` 3.2; lengths above the encoder's 512 do not
exist here), everything else as the methods declare it. Nothing is removed and nothing depends on a task, so that every
task is recorded with the same pipelines.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

from xautolm import registry
from xautolm.methods.method import Facts
from xautolm.records import ParamValue, Pipeline, canonical_json
from xautolm.space.catalogue import resolve_models
from xautolm.space.params import Categorical, Domain, Float, Int, MethodSpace, Space, domain_to_dict

#: The four methods of the published comparison that exist offline; a plug-in must not change the table.
METHODS = ("head", "partial", "lora", "full")
BATCH_SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
LENGTHS = (64, 128, 256, 512)
EPOCHS = (1, 10)
#: Rows that methods are told to expect, whatever the task has.
_N_TRAIN = 1000
_SIGNIFICANT_DIGITS = 4


def recorded_space() -> Space:
    """The embedded encoder at 6, 3 and 1 layers under the four methods, with the published domains.

    Raises:
        ModelError: the embedded model is missing or damaged.
    """
    models, _ = resolve_models(None, offline=True)
    context = min(model.context for model in models)
    facts = Facts(models, tuple(length for length in LENGTHS if length <= context), _N_TRAIN)
    parts = [_published(registry.resolve("methods", name).space(facts)) for name in METHODS]
    return Space(models={model.name: model for model in models}, methods={part.method: part for part in parts})


def _published(part: MethodSpace) -> MethodSpace:
    """Replace a method's own batch sizes and epochs, where it has them."""
    published: dict[str, Domain] = {"batch_size": Categorical(BATCH_SIZES), "epochs": Int(*EPOCHS)}
    return replace(part, params={name: published.get(name, domain) for name, domain in part.params.items()})


def space_id(space: Space) -> str:
    """Identity of what pipelines are drawn from: 16 hex digits over domains and model revisions, defaults left out."""
    domains = {
        name: {"models": list(part.models), "params": {key: domain_to_dict(d) for key, d in part.params.items()}}
        for name, part in space.methods.items()
    }
    revisions = {model.name: [model.revision, *model.poolings] for model in space.models.values()}
    return hashlib.sha256(canonical_json({"methods": domains, "models": revisions}).encode()).hexdigest()[:16]


def draw_pipeline(space: Space, seed: int, index: int) -> Pipeline:
    """Draw pipeline `index` uniformly: the method, its model, then each hyperparameter (log-uniform where declared).

    Each decision has a random number of its own, a hash of (seed, index, its name), so that a draw depends neither on
    the order of the hyperparameters nor on the version of a random generator.

    Args:
        space: from `recorded_space`.
        seed: of the table.
        index: number of the pipeline, from 0.

    The pooling is one that the drawn model has.
    """
    method = str(_pick(tuple(space.methods), _random(seed, index, "method")))
    part = space.methods[method]
    model = str(_pick(part.models, _random(seed, index, f"{method}.model")))
    domains = {**part.params, "pooling": Categorical(space.models[model].poolings)}
    params = {name: _value(domain, _random(seed, index, f"{method}.{name}")) for name, domain in domains.items()}
    return Pipeline(model, method, params)


def _random(seed: int, index: int, handle: str) -> float:
    """A number in [0, 1) with 53 random bits."""
    digest = hashlib.sha256(f"{seed}/{index}/{handle}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _pick(choices: Sequence[ParamValue], position: float) -> ParamValue:
    return choices[int(position * len(choices))]


def _value(domain: Domain, position: float) -> ParamValue:
    """The value at a position in [0, 1) of a domain.

    >>> [_value(Int(1, 10), position) for position in (0.0, 0.5, 0.999)]
    [1, 6, 10]
    >>> _value(Float(1e-5, 1e-3, log=True), 0.5)
    0.0001
    """
    if isinstance(domain, Categorical):
        return _pick(domain.choices, position)
    if isinstance(domain, Int) and not domain.log:
        return domain.low + int(position * (domain.high - domain.low + 1))
    value = domain.low + position * (domain.high - domain.low)
    if domain.log:
        value = math.exp(math.log(domain.low) + position * math.log(domain.high / domain.low))
    if isinstance(domain, Float):
        return min(max(float(f"{value:.{_SIGNIFICANT_DIGITS}g}"), domain.low), domain.high)
    return min(max(round(value), domain.low), domain.high)
