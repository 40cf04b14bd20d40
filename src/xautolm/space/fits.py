"""Records of which models and methods fit a data set and a machine, and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from xautolm.records import Pipeline
from xautolm.space.feasibility import Limits, Speed
from xautolm.space.inventory import Offer


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model fits with a method.

    Attributes:
        method: the method.
        reason: why not, as a phrase for users; empty when it fits.
        pipeline: what a run would try first, reduced until it fits; None when nothing does.
        is_reduced: whether that pipeline had to be reduced: fewer epochs, rows or tokens, or smaller batches.
        time_s: estimated seconds of that pipeline, else of the cheapest one; None when the model cannot learn the task.
        memory_mib: its estimated peak memory in MiB above the idle worker.
        excess: the larger one of both, over its limit.
        lacks: what the cheapest pipeline has not enough of.
        is_able: whether the model can learn the task with this method at all.
    """

    method: str
    reason: str
    pipeline: Pipeline | None = None
    is_reduced: bool = False
    time_s: float | None = None
    memory_mib: float | None = None
    excess: float | None = None
    lacks: tuple[Literal["time", "memory"], ...] = ()
    is_able: bool = True

    @property
    def fits(self) -> bool:
        return self.pipeline is not None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "fits": self.fits,
            "reason": self.reason or None,
            "time_s": _finite(self.time_s),
            "memory_mib": _finite(self.memory_mib),
            "pipeline": self.pipeline.to_dict() if self.pipeline else None,
            "is_reduced": self.is_reduced,
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model with its verdicts, one per method; none when its size is unknown or it cannot be used."""

    offer: Offer
    fits: tuple[Fit, ...] = ()

    @property
    def is_fitting(self) -> bool:
        """Whether it fits with some method."""
        return any(fit.fits for fit in self.fits)

    @property
    def refusal(self) -> str | None:
        """Why no method can teach it the task; None when one can."""
        able = [fit for fit in self.fits if fit.is_able]
        return self.fits[0].reason if self.fits and not able else None

    @property
    def closest(self) -> Fit | None:
        """The verdict that is nearest to fitting; None when there is none with estimates."""
        able = [fit for fit in self.fits if fit.excess is not None]
        return min(able, key=lambda fit: fit.excess or 0.0, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**offer_to_dict(self.offer), "methods": {fit.method: fit.to_dict() for fit in self.fits}}


@dataclass(frozen=True, slots=True)
class Bench:
    """What the trials of a model get.

    Attributes:
        device: `cpu` or `cuda:N`.
        n_threads: threads of each trial.
        n_at_once: trials at the same time.
        limits: of each trial.
        speed: that times are estimated by.
        largest: parameters of the largest model that gets it.
    """

    device: str
    n_threads: int
    n_at_once: int
    limits: Limits
    speed: Speed
    largest: int = 0


@dataclass(frozen=True, slots=True)
class Shortlist:
    """All candidates for a task.

    Attributes:
        dataset_id: name of the data.
        kind: task kind.
        data: what there is to say about them, in lines.
        machine: processor and GPU in words.
        methods: in the order of `Candidate.fits`.
        candidates: in the order of the models.
        benches: what trials get, each once.
    """

    dataset_id: str
    kind: str
    data: tuple[str, ...]
    machine: str
    methods: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    benches: tuple[Bench, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "dataset_id": self.dataset_id,
            "task": self.kind,
            "machine": self.machine,
            "trials": [asdict(bench) for bench in self.benches],
            "models": [candidate.to_dict() for candidate in self.candidates],
        }


def _finite(number: float | None) -> float | None:
    """JSON has no infinity: an estimate that cannot be made is null."""
    return None if number is None or not math.isfinite(number) else number


def offer_to_dict(offer: Offer) -> dict[str, Any]:
    """The JSON form of a model that can be named: figures are null where nobody stated them."""
    figures, spec = offer.figures, offer.spec
    sources: Mapping[str, str] = figures.sources
    return {
        "name": offer.name,
        "here": offer.place,
        "problem": offer.problem or None,
        "revision": spec.revision or None if spec else None,
        "path": spec.path or None if spec else None,
        "family": figures.family,
        "model_type": figures.model_type,
        "n_params": figures.n_params,
        "n_params_embedding": figures.n_params_embedding,
        "n_decoder_layers": figures.n_decoder_layers,
        "n_layers": figures.n_layers,
        "hidden": figures.hidden,
        "n_heads": figures.n_heads,
        "n_kv_heads": figures.n_kv_heads,
        "intermediate": figures.intermediate,
        "vocabulary": figures.vocabulary,
        "context": figures.context,
        "languages": list(figures.languages),
        "licence": figures.licence,
        "gated": figures.gated,
        "sources": dict(sources),
    }
