"""The models that a user can name: those on this machine, as they are, and those of the hub, as the catalogue has them.

Nothing is downloaded and nobody is asked, so that the answer takes no longer without a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from xautolm import zoo
from xautolm.errors import ModelError
from xautolm.records import ModelSpec
from xautolm.space.catalogue import EMBEDDED_MODELS, EMBEDDED_NAME, find_model
from xautolm.space.config_keys import DEFAULT_CONTEXT, poolings_of
from xautolm.space.figures import ModelFigures, figures_of, known_models, split_cut
from xautolm.space.hub import HubError, cached_models

Place = Literal["package", "cache", "folder"]
#: Figures that the files of a model say, under the names that both records have.
_OF_FILES = (
    "family",
    "model_type",
    "n_params",
    "n_params_embedding",
    "n_decoder_layers",
    "n_params_decoder",
    "adapter_width",
    "adapter_width_decoder",
    "n_layers",
    "hidden",
    "n_heads",
    "n_kv_heads",
    "intermediate",
    "vocabulary",
    "context",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that can be named with `--models`.

    Attributes:
        name: to name it by.
        figures: what is known about it; of a model on this machine, its size and shape are what its files say.
        spec: the figures that estimates need; None = its size is unknown until its configuration is read.
        place: where it is on this machine: installed with a package, in the hub's cache, or a folder of the user's;
            None = it would be downloaded.
        problem: why what is on this machine cannot be used; empty when it can.
    """

    name: str
    figures: ModelFigures
    spec: ModelSpec | None
    place: Place | None = None
    problem: str = ""


def offers(names: Sequence[str] | None = None) -> tuple[Offer, ...]:
    """What a user can choose from, models on this machine first.

    Args:
        names: look at these only, in this order: embedded names, those of the zoo, local folders or hub ids, each
            optionally cut with `@k`; None = what comes with packages or is in the hub's cache, and the catalogue.

    Raises:
        ModelError: a name is neither a model folder nor of the form of a hub id.
    """
    cached = cached_models()
    if names is not None:
        return tuple(_named(name, cached) for name in dict.fromkeys(names))
    here = [_named(name, cached) for name in (*EMBEDDED_MODELS, *zoo.folders(), *cached)]
    taken = {_hub_name(offer.name) for offer in here}
    others = (offer_of(figures) for name, figures in known_models().items() if name not in taken)
    return (*here, *others)


def offer_of(figures: ModelFigures) -> Offer:
    """A model of the catalogue that is not on this machine."""
    return Offer(figures.name, figures, expected_spec(figures))


def expected_spec(figures: ModelFigures) -> ModelSpec | None:
    """What the files of a model will say, as far as estimates need it; None when a figure is unknown.

    >>> expected_spec(known_models()["gpt2"]).intermediate
    3072
    >>> expected_spec(ModelFigures("acme/new", family="decoder")) is None
    True
    """
    model_type, family, vocabulary = figures.model_type, figures.family, figures.vocabulary
    n_params, n_embedding = figures.n_params, figures.n_params_embedding
    n_layers, hidden, n_heads = figures.n_layers, figures.hidden, figures.n_heads
    if not (model_type and family and vocabulary and n_params and n_embedding and n_layers and hidden and n_heads):
        return None
    is_cut = split_cut(figures.name)[1] is not None
    return ModelSpec(
        name=figures.name,
        path="",
        revision="",
        model_type=model_type,
        n_layers=n_layers,
        is_cut=is_cut,
        n_params=n_params,
        n_params_embedding=n_embedding,
        hidden=hidden,
        n_heads=n_heads,
        intermediate=figures.intermediate or 4 * hidden,
        vocabulary=vocabulary,
        context=figures.context or DEFAULT_CONTEXT,
        poolings=poolings_of(model_type, is_cut=is_cut),
        family=family,
        n_decoder_layers=figures.n_decoder_layers or 0,
        n_params_decoder=figures.n_params_decoder or 0,
        adapter_width=figures.adapter_width or 0,
        adapter_width_decoder=figures.adapter_width_decoder or 0,
        n_kv_heads=figures.n_kv_heads or 0,
    )


def unknown_size(offered: Iterable[Offer]) -> tuple[str, ...]:
    """Names of the models whose size nobody has stated, of those that could be used."""
    return tuple(offer.name for offer in offered if offer.spec is None and not offer.problem)


def _named(name: str, cached: Sequence[str]) -> Offer:
    """One name: what is on this machine, else what the catalogue knows, else a hub id of which nothing is known."""
    base = split_cut(name)[0]
    known = replace(figures_of(name) or ModelFigures(name), name=name)
    place: Place | None = "cache" if base in cached else None
    if base in (EMBEDDED_NAME, *zoo.ZOO_MODELS):
        place = "package"
    elif any(Path(path).expanduser().exists() for path in (name, base) if path):
        place = "folder"
    try:
        spec = find_model(name, offline=True)
    except (HubError, ModelError) as error:
        if place is not None:
            return Offer(name, known, None, place, str(error))
        if isinstance(error, ModelError):
            raise
        return Offer(name, known, expected_spec(known))
    return Offer(name, _completed(known, spec), spec, place)


def _completed(known: ModelFigures, spec: ModelSpec) -> ModelFigures:
    """What is known about a model, with the size and shape that its files say; its own card fills in the rest."""
    card = _card(Path(spec.path))
    if card and not known.languages and known.licence is None:
        known = replace(known, languages=card.languages, licence=card.licence, sources=card.sources)
    read: dict[str, Any] = {name: getattr(spec, name) or None for name in _OF_FILES}
    kept = {name: place for name, place in known.sources.items() if name not in read}
    found = [name for name, value in read.items() if value is not None]
    return replace(known, **read, sources={**kept, **dict.fromkeys(found, f"config: {spec.path}")})


def _card(folder: Path) -> ModelFigures | None:
    """Languages and licence by the head of a model's card (`README.md`), if there is one that can be read."""
    path = folder / "README.md"
    try:
        head = path.read_text(encoding="utf-8").split("---", 2)
        stated = yaml.safe_load(head[1]) if len(head) == 3 and not head[0].strip() else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    if not isinstance(stated, dict):
        return None
    languages, licence = stated.get("language") or (), stated.get("license")
    languages = (languages,) if isinstance(languages, str) else languages
    found = {
        "languages": tuple(map(str, languages)) if isinstance(languages, list | tuple) else (),
        "licence": str(licence) if licence else None,
    }
    sources = {name: f"doc: {path}" for name, value in found.items() if value}
    return ModelFigures(folder.name, **found, sources=sources)  # type: ignore[arg-type]  # as the names say


def _hub_name(name: str) -> str:
    """The catalogue's name of a model, whichever of its names is given, without a cut."""
    figures = figures_of(split_cut(name)[0])
    return figures.name if figures else name
