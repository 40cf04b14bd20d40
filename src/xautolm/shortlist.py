"""Which models and methods fit a data set and this machine, with what they would take: a space without a search.

Every model is judged as if a run had no other: with the threads, the memory and the speed that its trials would get.
Models that are not here are judged by the catalogue's figures; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from xautolm import planning, preparation, registry
from xautolm.backends.slots import Slots
from xautolm.config import Settings
from xautolm.data.summary import answer_lengths, summarise, summary_lines, token_lengths
from xautolm.metafeatures.machine import system_name
from xautolm.planning import Subject
from xautolm.profiling import speed_alone
from xautolm.records import ModelSpec
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.build import adapt_default, cheapest
from xautolm.space.catalogue import embedded_folder
from xautolm.space.feasibility import Verdict
from xautolm.space.fits import Bench, Candidate, Fit, Shortlist
from xautolm.space.inventory import offers
from xautolm.space.params import Space
from xautolm.suitability import suitable_models
from xautolm.tasks import why_unsupported


def shortlist(settings: Settings) -> Shortlist:
    """Judge models by a data set and this machine.

    Args:
        settings: the data, the models (None = all that are known), the methods, limits and devices, as for `fit`.

    Raises:
        XAutoLMError: the data, a folder or a device cannot be used.
    """
    preparation.check_names(settings)
    device = planning.devices_of(settings)[0]
    offered = offers(settings.models)
    task = preparation.load(settings)
    lengths = token_lengths(embedded_folder(), task.train)
    answers = answer_lengths(embedded_folder(), task.train).tolist()
    subject = Subject(task, (), (), lengths.tolist(), summarise(task, lengths), answers)
    judge = _Judge(settings, subject, tuple(settings.methods or registry.names("methods")))
    return Shortlist(
        dataset_id=task.dataset_id,
        kind=task.kind,
        data=tuple(summary_lines(subject.summary)),
        machine=system_name(device),
        methods=judge.methods,
        candidates=tuple(Candidate(offer, judge.fits(offer.spec) if offer.spec else ()) for offer in offered),
        benches=judge.benches,
    )


class _Judge:
    """Judges one model after the other; models whose trials get the same share limits and a measured speed.

    Args:
        settings: of the run that the verdicts are for.
        subject: its data, without models.
        methods: names.
    """

    def __init__(self, settings: Settings, subject: Subject, methods: Sequence[str]) -> None:
        self._settings, self._subject, self.methods = settings, subject, tuple(methods)
        self._size = planning.task_size(subject.task, subject.lengths, subject.answers)
        self._benches: dict[Slots, Bench] = {}
        self._by_gradient = {name: bool(registry.resolve("methods", name).trains_by_gradient) for name in methods}

    @property
    def benches(self) -> tuple[Bench, ...]:
        """What trials get, each once, those of smaller models first."""
        return tuple(sorted(self._benches.values(), key=lambda bench: bench.largest))

    def fits(self, model: ModelSpec) -> tuple[Fit, ...]:
        """The verdicts on a model, one per method."""
        return tuple(self._fit(model, method) for method in self.methods)

    def _fit(self, model: ModelSpec, method: str) -> Fit:
        kind = self._subject.task.kind
        refusal = why_unsupported(kind, model.family, model_type=model.model_type) or why_unsupported(
            kind, model.family, trains_by_gradient=self._by_gradient[method]
        )
        if refusal is not None:
            return Fit(method, refusal, is_able=False)
        bench = self._bench(model)
        (model,), _ = suitable_models([model], kind)
        space = self._space(model, method)
        part = space.methods[method]
        check = FitCheck(Plan(space, self._size, bench.limits, bench.speed, ()), is_cautious=False)
        least = cheapest(part, model.name, check)
        if not least.fits:
            return _sized(Fit(method, least.reason), least)
        first = adapt_default(space, method, check)
        is_reduced = any(first.params[name] != value for name, value in part.default.items() if name != "pooling")
        return _sized(Fit(method, "", first, is_reduced), check(first))

    def _space(self, model: ModelSpec, method: str) -> Space:
        settings = self._settings.model_copy(update={"methods": (method,)})
        return planning.whole_space(settings, replace(self._subject, models=[model]))

    def _bench(self, model: ModelSpec) -> Bench:
        slots = planning.choose_machine(self._settings, [model])
        if slots not in self._benches:
            n_at_once = len(slots.devices)
            limits = planning.trial_limits(self._settings, slots)
            self._benches[slots] = Bench(slots.devices[0], slots.n_threads, n_at_once, limits, speed_alone(slots))
        bench = self._benches[slots]
        self._benches[slots] = replace(bench, largest=max(bench.largest, model.n_params))
        return bench


def _sized(fit: Fit, verdict: Verdict) -> Fit:
    """A verdict with its estimates."""
    excesses: Mapping[Literal["time", "memory"], float] = {
        "time": verdict.time_excess,
        "memory": verdict.memory_excess,
    }
    return replace(
        fit,
        time_s=verdict.time_s,
        memory_mib=verdict.memory_mib,
        excess=max(excesses.values()),
        lacks=tuple(name for name, excess in excesses.items() if excess > 1),
    )
