"""The space that a set of pipelines came from, as far as it can be seen from them.

Past experiences name no space: they may come from other machines, releases or systems. What was tried shows which
choices there were and how far numbers ranged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from xautolm.records import ParamValue, Pipeline
from xautolm.space.params import Categorical, Domain, Float, Int, MethodSpace, Space

_Distinct = dict[tuple[bool, ParamValue], ParamValue]

#: A number with more distinct values than this was drawn from a range, not out of a list.
MAX_CHOICES = 12
#: A positive range that spans this factor is taken to be logarithmic.
LOG_FACTOR = 10.0


def observed_space(pipelines: Iterable[Pipeline]) -> Space:
    """The smallest space that holds all of the pipelines, without models' figures and defaults.

    >>> tried = [Pipeline("s", "head", {"c": 0.1, "pooling": "mean"}), Pipeline("m", "head", {"c": 1.0})]
    >>> observed_space(tried).methods["head"].params
    mappingproxy({'c': Categorical(choices=(0.1, 1.0)), 'pooling': Categorical(choices=('mean',))})
    """
    models: dict[str, set[str]] = {}
    values: dict[str, dict[str, _Distinct]] = {}
    for pipeline in pipelines:
        models.setdefault(pipeline.method, set()).add(pipeline.model)
        of_method = values.setdefault(pipeline.method, {})
        for name, value in pipeline.params.items():
            # A truth value is another choice than the number that equals it.
            of_method.setdefault(name, {})[isinstance(value, bool), value] = value
    methods = {
        method: MethodSpace(method, tuple(sorted(models[method])), _domains(values[method]), MappingProxyType({}))
        for method in sorted(models)
    }
    return Space({}, methods)


def observed_domain(values: Sequence[ParamValue]) -> Domain:
    """The domain that distinct values were drawn from.

    A few values are choices. Integers that fill at least half of their range are a range, as are many numbers.

    >>> observed_domain([8, 16, 32]), observed_domain([1, 2, 3, 5])
    (Categorical(choices=(8, 16, 32)), Int(low=1, high=5, log=False))
    >>> observed_domain([0.001 * n for n in range(1, 20)])
    Float(low=0.001, high=0.019, log=True)
    """
    numbers = [value for value in values if not isinstance(value, bool | str)]
    if len(numbers) < len(values):
        return Categorical(tuple(sorted(values, key=lambda value: (type(value).__name__, str(value)))))
    numbers = sorted(numbers)
    low, high = numbers[0], numbers[-1]
    log = low > 0 and high >= LOG_FACTOR * low
    integers = [value for value in numbers if isinstance(value, int)]
    if len(integers) == len(numbers):
        fills = len(integers) > 2 and 2 * len(integers) >= integers[-1] - integers[0] + 1
        is_range = fills or len(integers) > MAX_CHOICES
        return Int(integers[0], integers[-1], log and not fills) if is_range else Categorical(tuple(integers))
    return Categorical(tuple(numbers)) if len(numbers) <= MAX_CHOICES else Float(float(low), float(high), log)


def widened(space: Space, pipelines: Iterable[Pipeline]) -> Space:
    """A space with room for pipelines that were tried outside it: baselines, or what a rescue made of a proposal.

    >>> part = MethodSpace("head", ("m",), {"c": Float(0.1, 1.0), "seed": Categorical((1,))}, {})
    >>> tried = [Pipeline("m", "head", {"c": 5.0}), Pipeline("none", "bag-of-words", {"terms": 100})]
    >>> wider = widened(Space({}, {"head": part}), tried)
    >>> wider.methods["head"].params["c"], wider.methods["bag-of-words"].params["terms"]
    (Float(low=0.1, high=5.0, log=False), Categorical(choices=(100,)))
    """
    outside = [pipeline for pipeline in pipelines if not space.contains(pipeline)]
    methods = dict(space.methods)
    for method, seen in observed_space(outside).methods.items():
        known = methods.get(method, MethodSpace(method, (), {}, {}))
        of_method = [pipeline.params for pipeline in outside if pipeline.method == method]
        params = {
            name: _with_room(domain, [tried[name] for tried in of_method if name in tried])
            for name, domain in known.params.items()
        }
        models = tuple(dict.fromkeys((*known.models, *seen.models)))
        methods[method] = replace(known, models=models, params={**seen.params, **params})
    return replace(space, methods=methods)


def _with_room(domain: Domain, values: Sequence[ParamValue]) -> Domain:
    """A domain that holds some values as well."""
    others = [value for value in values if not domain.contains(value)]
    if not others:
        return domain
    if isinstance(domain, Categorical):
        return Categorical((*domain.choices, *dict.fromkeys(others)))
    if any(isinstance(value, bool | str) for value in others):
        return observed_domain(list(dict.fromkeys(values)))
    low, high = min(domain.low, *others), max(domain.high, *others)
    is_whole = isinstance(domain, Int) and all(isinstance(value, int) for value in others)
    log = domain.log and float(low) > 0
    return Int(int(low), int(high), log) if is_whole else Float(float(low), float(high), log)


def _domains(values: Mapping[str, _Distinct]) -> Mapping[str, Domain]:
    return MappingProxyType({name: observed_domain(list(values[name].values())) for name in sorted(values)})
