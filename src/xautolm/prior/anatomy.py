"""What is known about the models that experiences name: from this run, from the catalogue, or from the name itself.

An experience names its model only. Priors need its size, so that what was learned with one model speaks about others;
a figure that nobody knows is derived from the others, and a model of which nothing is known has no figures at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace

from xautolm.records import ModelSpec
from xautolm.space.figures import figures_of

#: Architectures by `model_type` of `config.json`; what is neither is an encoder.
DECODERS = frozenset(
    {
        *("gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "llama", "mistral", "mixtral", "phi", "phi3", "qwen2"),
        *("qwen3", "gemma", "gemma2", "gemma3_text", "falcon", "deepseek_v2", "deepseek_v3", "stablelm", "olmo2"),
    }
)
SEQ2SEQ = frozenset({"t5", "mt5", "umt5", "bart", "mbart", "pegasus", "led", "marian"})
#: A `model_type` for a model of which only the family is known.
_TYPICAL_TYPE = {"encoder": "bert", "decoder": "llama", "encoder-decoder": "t5"}

#: A size in a name: `Llama-3.2-1B`, `opt-350m`, `Mixtral-8x7B`.
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:(\d{1,2})x)?(\d{1,4}(?:\.\d{1,3})?)([bm])(?![A-Za-z0-9])", re.IGNORECASE)
_UNITS = {"b": 1e9, "m": 1e6}
#: Parameters of a layer over h^2: 4 in the attention, 8 in a feed-forward part of four times the hidden size h.
_PER_LAYER = 12
#: Layers of a model whose shape is not known: hidden / 96, between BERT (64) and Llama (128).
_HIDDEN_PER_LAYER = 96
#: Dimensions of one attention head, from BERT to Llama 64 to 128.
_HEAD = 64
_CONTEXT, _VOCABULARY = 512, 32_000


class ModelBook:
    """Figures of models by name; every name is looked up once.

    Args:
        models: of the current run; they win over the catalogue.
    """

    def __init__(self, models: Iterable[ModelSpec] = ()) -> None:
        self._known: dict[str, ModelSpec | None] = {model.name: model for model in models}

    def find(self, name: str) -> ModelSpec | None:
        """The figures of a model; None when nothing is known about it."""
        if name not in self._known:
            self._known[name] = catalogued(name) or named(name)
        return self._known[name]


def catalogued(name: str) -> ModelSpec | None:
    """The figures of a model of the catalogue, completed; None when it has none for it.

    >>> found = catalogued("google-t5/t5-small")
    >>> found.n_layers, found.n_params  # both stacks
    (12, 60506624)
    """
    figures = figures_of(name)
    if figures is None:
        return None
    n_stacks = 2 if figures.family == "encoder-decoder" else 1
    whole = completed(
        name,
        figures.model_type or _TYPICAL_TYPE.get(figures.family or "", ""),
        figures.n_params or size_in(name),
        n_layers=figures.n_layers and n_stacks * figures.n_layers,
        hidden=figures.hidden,
        context=figures.context,
        vocabulary=figures.vocabulary,
    )
    if whole is None:
        return None
    return replace(
        whole,
        n_params_embedding=figures.n_params_embedding or whole.n_params_embedding,
        n_heads=figures.n_heads or whole.n_heads,
        intermediate=figures.intermediate or whole.intermediate,
    )


def named(name: str) -> ModelSpec | None:
    """What a name alone says about the size of a model."""
    n_params = size_in(name)
    return None if n_params is None else completed(name, "", n_params)


def size_in(name: str) -> int | None:
    """Parameters that a model's name speaks of; the experts of a mixture count fully.

    >>> size_in("meta-llama/Llama-3.2-1B"), size_in("acme/Tiny-350m-chat"), size_in("bert-base-uncased")
    (1000000000, 350000000, None)
    """
    found = _SIZE.search(name)
    if found is None:
        return None
    n_params = int(found[1] or 1) * float(found[2]) * _UNITS[found[3].lower()]
    return round(n_params) if 1e5 <= n_params <= 1e13 else None


def completed(
    name: str,
    model_type: str,
    n_params: int | None,
    *,
    n_layers: int | None = None,
    hidden: int | None = None,
    context: int | None = None,
    vocabulary: int | None = None,
) -> ModelSpec | None:
    """Figures of a model from those that are known; the others follow from the usual shape of a transformer.

    Args:
        name: of the model.
        model_type: as in `config.json`, empty when not known.
        n_params: parameters, embeddings included.
        n_layers: layers; of encoder and decoder together in a model that has both.
        hidden: hidden size.
        context: tokens of one input.
        vocabulary: tokens of the vocabulary.

    Returns:
        None when neither the number of parameters nor the shape is known.

    >>> completed("x", "bert", 110_000_000, n_layers=12, hidden=768).n_params_embedding
    24576000
    """
    if n_params is None and (n_layers is None or hidden is None):
        return None
    hidden = hidden or _hidden_of(n_params or 0, n_layers)
    n_layers = n_layers or max(1, round(hidden / _HIDDEN_PER_LAYER))
    blocks = _PER_LAYER * n_layers * hidden**2
    embedding = (vocabulary or _VOCABULARY) * hidden
    if n_params is None:
        n_params = blocks + embedding
    return ModelSpec(
        name=name,
        path="",
        revision="",
        model_type=model_type,
        n_layers=n_layers,
        is_cut=False,
        n_params=n_params,
        n_params_embedding=min(embedding, n_params // 2),
        hidden=hidden,
        n_heads=max(1, hidden // _HEAD),
        intermediate=4 * hidden,
        vocabulary=vocabulary or _VOCABULARY,
        context=context or _CONTEXT,
        poolings=(),
    )


def _hidden_of(n_params: int, n_layers: int | None) -> int:
    """Hidden size of a model with so many parameters, most of them in its layers."""
    if n_layers is None:
        hidden = math.cbrt(n_params * _HIDDEN_PER_LAYER / _PER_LAYER)
    else:
        hidden = math.sqrt(n_params / (_PER_LAYER * n_layers))
    return max(_HEAD, round(hidden))
