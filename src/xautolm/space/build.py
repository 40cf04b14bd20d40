"""The search space of one run: what the methods let vary, less what cannot fit; defaults that fit well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from xautolm.errors import UsageError
from xautolm.records import ModelSpec, ParamValue, Pipeline
from xautolm.space.feasibility import Verdict
from xautolm.space.params import (
    Categorical,
    Domain,
    Dropped,
    Int,
    MethodSpace,
    Space,
    domain_from_dict,
    domain_to_dict,
)

Check = Callable[[Pipeline], Verdict]

#: Maximum lengths that are offered, in tokens.
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)

#: Hyperparameters that decide what a pipeline costs.
_COSTLY = ("batch_size", "max_length", "epochs", "train_fraction")
#: Of these, the ones whose single choices are dropped when no model can take them.
_DROPPABLE = ("batch_size", "max_length")
#: What is reduced, in this order, until a default fits: training less first, because it costs the least
#: quality per second on data of some size; memory is saved by a smaller batch before text is cut off.
_SAVES_TIME = ("epochs", "train_fraction", "max_length")
_SAVES_MEMORY = ("batch_size", "max_length")
#: Share of the time limit that a default may use: an estimate is easily wrong by a half, and the first trials
#: must end.
_DEFAULT_TIME_SHARE = 0.6


def build_space(
    models: Sequence[ModelSpec], method_spaces: Sequence[MethodSpace], check: Check, dropped: Sequence[Dropped] = ()
) -> Space:
    """Put the methods' spaces together and drop models, choices and methods that cannot fit.

    A model is judged by its cheapest pipeline with a method: shortest length, fewest epochs, smallest share
    of the rows, the batch size that suits best, everything else at its default. A choice is dropped when it
    fits with no model at the otherwise cheapest setting.

    Args:
        models: usable models, the one to start with first.
        method_spaces: what each method lets vary.
        check: estimates a pipeline and compares it with the limits.
        dropped: what was removed before, kept in the record.

    Raises:
        UsageError: nothing fits; names the limit and what the smallest pipeline would need.
    """
    by_name = {model.name: model for model in models}
    removed = list(dropped)
    kept: dict[str, MethodSpace] = {}
    refused: list[tuple[Pipeline, Verdict]] = []
    for offered in method_spaces:
        part, misfits = _drop_models(offered, tuple(by_name), check)
        refused += misfits
        removed += [Dropped(f"{part.method} with {p.model}", verdict.reason) for p, verdict in misfits]
        if part.models:
            kept[part.method], choices = _drop_choices(part, check)
            removed += choices
        else:
            removed.append(Dropped(part.method, "no model fits"))
    if not kept:
        raise UsageError(_describe_misfit(refused))
    used = {name for part in kept.values() for name in part.models}
    return Space({name: by_name[name] for name in by_name if name in used}, kept, tuple(removed))


def adapt_default(space: Space, method: str, check: Check) -> Pipeline:
    """The method's default pipeline, reduced until it fits in memory and in 60 % of the time limit.

    Time is saved by fewer epochs, then fewer training rows, then shorter texts, then a smaller model; memory
    by a smaller batch, then shorter texts, then a smaller model. When nothing meets the share, the fastest
    tried pipeline that fits is returned.

    Args:
        space: from `build_space`.
        method: one of its methods.
        check: as for `build_space`.
    """
    part = space.methods[method]
    first = space.models[part.models[0]]
    smaller = sorted(
        (name for name in part.models[1:] if space.models[name].n_params < first.n_params),
        key=lambda name: -space.models[name].n_params,
    )
    tried: list[tuple[Pipeline, Verdict]] = []
    for name in (first.name, *smaller):
        for pipeline, verdict in _reductions(_default_pipeline(space, part, name), part, check):
            if _is_comfortable(verdict):
                return pipeline
            tried.append((pipeline, verdict))
    return min(tried, key=lambda item: (not item[1].fits, _excess(item[1]), item[1].time_s))[0]


def cheapest(part: MethodSpace, model: str, check: Check) -> Verdict:
    """The verdict on the cheapest pipeline of a model with a method, by which `build_space` judges the model."""
    return _best_attempt(part, (model,), {}, check)[1]


def length_choices(token_quantiles: Sequence[int], context: int) -> tuple[int, ...]:
    """Maximum lengths that make sense for a data set: from what holds half of the rows to what holds 99 %.

    Args:
        token_quantiles: 101 quantiles of the tokens per row.
        context: the smallest context among the models.

    >>> length_choices([10] * 50 + [20] * 40 + [90] * 11, context=512)
    (32, 64, 128)
    >>> length_choices([900] * 101, context=512), length_choices([900] * 101, context=20)
    ((512,), (20,))
    """
    allowed = [length for length in LENGTHS if length <= context] or [context]
    median, longest = token_quantiles[50], token_quantiles[99]
    low = next((length for length in allowed if length >= median), allowed[-1])
    high = next((length for length in allowed if length >= longest), allowed[-1])
    return tuple(length for length in allowed if low <= length <= high)


def space_to_dict(space: Space) -> dict[str, Any]:
    """JSON form of a space, lossless (the run folder's `space.json`)."""
    return {
        "version": space.version,
        "models": [asdict(model) for model in space.models.values()],
        "methods": [
            {
                "method": part.method,
                "models": list(part.models),
                "params": {name: domain_to_dict(domain) for name, domain in part.params.items()},
                "default": dict(part.default),
            }
            for part in space.methods.values()
        ],
        "dropped": [asdict(item) for item in space.dropped],
    }


def space_from_dict(value: Mapping[str, Any]) -> Space:
    """Inverse of `space_to_dict`."""
    models = [ModelSpec(**{**model, "poolings": tuple(model["poolings"])}) for model in value["models"]]
    parts = [
        MethodSpace(
            method=part["method"],
            models=tuple(part["models"]),
            params={name: domain_from_dict(domain) for name, domain in part["params"].items()},
            default=dict(part["default"]),
        )
        for part in value["methods"]
    ]
    return Space(
        models={model.name: model for model in models},
        methods={part.method: part for part in parts},
        dropped=tuple(Dropped(**item) for item in value["dropped"]),
        version=value["version"],
    )


def _drop_models(
    part: MethodSpace, usable: Sequence[str], check: Check
) -> tuple[MethodSpace, list[tuple[Pipeline, Verdict]]]:
    """Keep the models that fit at the cheapest setting; returns the best attempt of each that does not."""
    fitting: list[str] = []
    misfits: list[tuple[Pipeline, Verdict]] = []
    for model in part.models:
        if model not in usable:
            continue
        attempt = _best_attempt(part, (model,), {}, check)
        if attempt[1].fits:
            fitting.append(model)
        else:
            misfits.append(attempt)
    return replace(part, models=tuple(fitting)), misfits


def _drop_choices(part: MethodSpace, check: Check) -> tuple[MethodSpace, list[Dropped]]:
    """Remove batch sizes and lengths that fit with no model; a default that goes moves to its neighbour."""
    params, default = dict(part.params), dict(part.default)
    dropped: list[Dropped] = []
    for name in _DROPPABLE:
        domain = params.get(name)
        if not isinstance(domain, Categorical):
            continue
        fitting: list[ParamValue] = []
        for choice in domain.choices:
            verdict = _best_attempt(part, part.models, {name: choice}, check)[1]
            if verdict.fits:
                fitting.append(choice)
            else:
                dropped.append(Dropped(f"{part.method}.{name}={choice}", verdict.reason))
        # never empty: every model of the part fits with some choice
        params[name] = Categorical(tuple(fitting))
        if default[name] not in fitting:
            default[name] = min(fitting, key=lambda choice: abs(float(choice) - float(part.default[name])))
    return replace(part, params=params, default=default), dropped


def _best_attempt(
    part: MethodSpace, models: Sequence[str], fixed: Mapping[str, ParamValue], check: Check
) -> tuple[Pipeline, Verdict]:
    """The models' cheapest pipeline; all batch sizes are tried, since small ones save memory and cost time."""
    cheapest = dict(part.default)
    cheapest.update({name: _smallest(part.params[name]) for name in _COSTLY if name in part.params})
    cheapest.update(fixed)
    batches = part.params.get("batch_size")
    sizes = batches.choices if isinstance(batches, Categorical) and "batch_size" not in fixed else (None,)
    attempts = []
    for model in models:
        for size in sizes:
            params = cheapest if size is None else {**cheapest, "batch_size": size}
            pipeline = Pipeline(model, part.method, params)
            verdict = check(pipeline)
            if verdict.fits:
                return pipeline, verdict
            attempts.append((pipeline, verdict))
    return min(attempts, key=lambda attempt: _excess(attempt[1]))


def _smallest(domain: Domain) -> ParamValue:
    if isinstance(domain, Categorical):
        return min(domain.choices, key=float)
    return domain.low


def _excess(verdict: Verdict) -> float:
    """The larger of the two ratios to the limits; infinite when they are unknown."""
    return max(verdict.memory_excess, verdict.time_excess)


def _describe_misfit(refused: Sequence[tuple[Pipeline, Verdict]]) -> str:
    if not refused:
        return "Expected a method with a usable model; got none. Name others with `--methods` or `--models`."
    pipeline, verdict = min(refused, key=lambda attempt: _excess(attempt[1]))
    flags = [
        flag
        for flag, is_exceeded in (
            ("`--memory`", verdict.memory_excess > 1),
            ("`--trial-timeout` (or `--budget`)", verdict.time_excess > 1),
        )
        if is_exceeded
    ]
    return (
        f"Expected limits that some pipeline fits; even the smallest ({pipeline.method} with {pipeline.model!r}) "
        f"{verdict.reason}. Raise {' and '.join(flags)}, or name a smaller model with `--models`."
    )


def _default_pipeline(space: Space, part: MethodSpace, model: str) -> Pipeline:
    """The default with a model; a pooling that the model does not have becomes its best one."""
    params = dict(part.default)
    poolings = space.models[model].poolings
    if "pooling" in params and params["pooling"] not in poolings:
        offered = part.params["pooling"]
        params["pooling"] = next((p for p in poolings if offered.contains(p)), params["pooling"])
    return Pipeline(model, part.method, params)


def _reductions(pipeline: Pipeline, part: MethodSpace, check: Check) -> Iterator[tuple[Pipeline, Verdict]]:
    """The pipeline and ever cheaper versions of it, with their verdicts, until nothing is left to reduce."""
    while True:
        verdict = check(pipeline)
        yield pipeline, verdict
        is_over_memory = verdict.limits is not None and verdict.memory_excess > 1
        for name in _SAVES_MEMORY if is_over_memory else _SAVES_TIME:
            lower = _next_lower(part.params.get(name), pipeline.params.get(name))
            if lower is not None:
                pipeline = replace(pipeline, params={**pipeline.params, name: lower})
                break
        else:
            return


def _next_lower(domain: Domain | None, value: ParamValue | None) -> ParamValue | None:
    """One step down in a domain; None at its end. Real numbers go down by 30 %."""
    if domain is None or value is None:
        return None
    if isinstance(domain, Categorical):
        lower = [choice for choice in domain.choices if float(choice) < float(value)]
        return max(lower, key=float, default=None)
    number = float(value)
    if number <= domain.low:
        return None
    if isinstance(domain, Int):
        return max(domain.low, int(number) - 1)
    return max(domain.low, 0.7 * number)


def _is_comfortable(verdict: Verdict) -> bool:
    if verdict.limits is None:
        return verdict.fits
    return verdict.fits and verdict.time_s <= _DEFAULT_TIME_SHARE * verdict.limits.time_s
