"""Figures of models that need not be on this machine: what `catalogue.toml` knows about models of the hub.

An experience names its model, and most of those models are not installed where the experience is read. Their size and
shape tell more about cost and failure than their names do. Every figure has a source (`ModelFigures.sources`); what
nobody stated is None.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, cast

from xautolm.records import Family
from xautolm.space.config_keys import CUTTABLE, count_positions, find_figure

_CUT = re.compile(r"^(.+)@([0-9]+)$")
#: Figures that a row's `config` states under its family's own names.
_SHAPE = ("n_layers", "hidden", "n_heads", "n_kv_heads", "intermediate", "vocabulary")
#: Figures that `python -m benchmarks.catalogue` counts from a row's `config`.
COUNTED = (
    "n_params",
    "n_params_embedding",
    "n_params_layer",
    "n_decoder_layers",
    "n_params_decoder",
    "adapter_width",
    "adapter_width_decoder",
)
#: Figures that most models do not have: of a second stack, or of fewer heads for keys and values.
PARTICULAR = ("n_params_layer", "n_decoder_layers", "n_params_decoder", "adapter_width_decoder", "n_kv_heads")


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What is known about a model; None (`languages`: empty) where no source was found.

    Attributes:
        name: hub id; `name@k` for its first k layers.
        family: which stacks it has.
        model_type: as in its `config.json` (`bert`, `gpt2`, ...).
        n_params: parameters without task heads, embeddings included, as `ModelSpec.n_params`; all experts of a
            mixture, the language model alone of a model that also sees.
        n_params_embedding: of those, the ones in embedding tables.
        n_params_layer: of those, the ones in its last layer; None where layers share them or there are two stacks.
        n_decoder_layers: layers of the decoder where there are two stacks, else None.
        n_params_decoder: parameters of those layers.
        adapter_width: as `ModelSpec.adapter_width`.
        adapter_width_decoder: of that, in the decoder where there are two stacks.
        n_layers: transformer layers, of the encoder where there are two stacks.
        hidden: hidden size.
        n_heads: attention heads.
        n_kv_heads: heads with keys and values of their own; None = all have.
        intermediate: width of the feed-forward layers, of the dense ones in a mixture of experts.
        vocabulary: rows of the token embedding table.
        context: tokens that fit.
        languages: as its card names them (`en`); `multilingual` for about a hundred.
        licence: identifier or name of its licence.
        gated: whether the hub asks to accept terms before a download.
        sources: figure -> where it is from: `config: ` and the place of the configuration for what the configuration
            states or what was counted on it, `doc: ` and an address for the others.
    """

    name: str
    family: Family | None = None
    model_type: str | None = None
    n_params: int | None = None
    n_params_embedding: int | None = None
    n_params_layer: int | None = None
    n_decoder_layers: int | None = None
    n_params_decoder: int | None = None
    adapter_width: int | None = None
    adapter_width_decoder: int | None = None
    n_layers: int | None = None
    hidden: int | None = None
    n_heads: int | None = None
    n_kv_heads: int | None = None
    intermediate: int | None = None
    vocabulary: int | None = None
    context: int | None = None
    languages: tuple[str, ...] = ()
    licence: str | None = None
    gated: bool | None = None
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Figures without a source.

        >>> ModelFigures("acme/new", n_layers=2, languages=("en",)).unknown[:3]
        ('family', 'model_type', 'n_params')
        """
        return tuple(f.name for f in fields(self) if f.name != "sources" and getattr(self, f.name) in {None, ()})


def split_cut(name: str) -> tuple[str, int | None]:
    """Split `name@k`, a model cut to its first k layers, into name and layers.

    >>> split_cut("all-MiniLM-L6-v2@3"), split_cut("bert-base-uncased")
    (('all-MiniLM-L6-v2', 3), ('bert-base-uncased', None))
    """
    found = _CUT.match(name)
    return (found[1], int(found[2])) if found else (name, None)


def known_models() -> Mapping[str, ModelFigures]:
    """All models of the catalogue by hub id, in its order; read when first asked for.

    >>> known_models()["bert-base-uncased"].n_layers
    12
    """
    return _read()[0]


def figures_of(name: str) -> ModelFigures | None:
    """What is known about a model.

    Args:
        name: hub id, one of its other names (`google-bert/bert-base-uncased`), or either with `@k`.

    Returns:
        None for a model that is not in the catalogue, and for a cut that does not exist.

    >>> figures_of("roberta-base") == figures_of("FacebookAI/roberta-base"), figures_of("acme/new") is None
    (True, True)
    """
    base, keep_layers = split_cut(name)
    models, aliases = _read()
    figures = models.get(aliases.get(base, base))
    if figures is None or keep_layers is None:
        return figures
    return _cut(figures, keep_layers)


def read_rows() -> tuple[Mapping[str, Any], ...]:
    """The rows of `catalogue.toml` as they stand there."""
    text = resources.files("xautolm.space").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["model"])


@cache
def _read() -> tuple[Mapping[str, ModelFigures], Mapping[str, str]]:
    """Models by name, and names by alias."""
    rows = read_rows()
    models = {row["name"]: _figures(row) for row in rows}
    aliases = {alias: row["name"] for row in rows for alias in row.get("aliases", ())}
    return MappingProxyType(models), MappingProxyType(aliases)


def _figures(row: Mapping[str, Any]) -> ModelFigures:
    config: Mapping[str, Any] = row.get("config", {})
    places: Mapping[str, str] = row["sources"]
    stated = {name: find_figure(config, cast("Any", name)) for name in _SHAPE}
    counted = {name: row.get(name) for name in COUNTED}
    values: dict[str, Any] = {"family": row.get("family"), "model_type": config.get("model_type"), **stated, **counted}
    values["context"] = row.get("context", count_positions(config))
    sources = {name: f"config: {places['config']}" for name, value in values.items() if value is not None}
    documented = {name: row[name] for name in ("context", "languages", "licence", "gated") if name in row}
    sources |= {name: f"doc: {places[name]}" for name in documented}
    values |= documented
    values["languages"] = tuple(values.get("languages", ()))
    return ModelFigures(row["name"], **values, sources=MappingProxyType(sources))


def _cut(figures: ModelFigures, keep_layers: int) -> ModelFigures | None:
    """The first k layers of a model; its layers are equal in the families that can be cut."""
    n_layers = figures.n_layers
    if n_layers is None or figures.model_type not in CUTTABLE or not 1 <= keep_layers <= n_layers:
        return None
    n_params, in_layer, width = figures.n_params, figures.n_params_layer, figures.adapter_width
    if n_params is not None:
        n_params = None if in_layer is None else n_params - (n_layers - keep_layers) * in_layer
    return replace(
        figures,
        name=f"{figures.name}@{keep_layers}",
        n_layers=keep_layers,
        n_params=n_params,
        adapter_width=None if width is None else width * keep_layers // n_layers,
    )
