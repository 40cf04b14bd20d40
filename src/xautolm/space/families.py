"""Which stacks a model has, and which heads transformers can put on it; told from its configuration, without torch.

What a `model_type` is and can is read from the tables of the installed transformers: their source is searched for
names, since importing them takes seconds. A table that another release does not have decides nothing.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from xautolm.records import Family, ModelSpec

Head = Literal["sequence", "tokens", "spans", "causal", "seq2seq"]

#: Table of transformers (`models/auto/modeling_auto.py`) by what its classes do.
TABLES: Mapping[str, str] = {
    "sequence": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "tokens": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "spans": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "masked": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
}
#: In the table of causal models, but every token reads all others (Yang et al. 2019, permutation language models).
_BIDIRECTIONAL = frozenset({"xlnet"})
#: Their tagger is their encoder; the decoder is not loaded (`T5ForTokenClassification`).
_TAGGED_BY_ENCODER = frozenset({"t5", "mt5", "umt5"})


def family_of(config: Mapping[str, Any]) -> Family:
    """Which stacks a model has.

    In this order: what the configuration says of itself (`is_encoder_decoder`; `is_decoder`, which also makes a BERT
    causal); the tables, where a masked language model is an encoder whatever else it can be; the class that saved it.

    Args:
        config: `config.json`.

    >>> family_of({"model_type": "t5", "is_encoder_decoder": True}), family_of({"model_type": "bert"})
    ('encoder-decoder', 'encoder')
    >>> family_of({"model_type": "bert", "is_decoder": True}), family_of({"model_type": "gpt2"})
    ('decoder', 'decoder')
    >>> family_of({"model_type": "of-tomorrow", "architectures": ["TomorrowForCausalLM"]})
    'decoder'
    """
    kind = str(config.get("model_type"))
    if config.get("is_encoder_decoder") is True or kind in model_types("seq2seq"):
        return "encoder-decoder"
    if config.get("is_decoder") is True:
        return "decoder"
    if kind in model_types("masked") or kind in _BIDIRECTIONAL:
        return "encoder"
    if kind in model_types("causal"):
        return "decoder"
    stated = config.get("architectures")
    classes = [str(name) for name in stated] if isinstance(stated, list) else []
    return "decoder" if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in classes) else "encoder"


def head_for(formulation: str, family: Family) -> Head:
    """The head that a formulation needs.

    >>> head_for("text", "decoder"), head_for("text", "encoder-decoder"), head_for("spans", "encoder")
    ('causal', 'seq2seq', 'spans')
    """
    if formulation == "text":
        return "causal" if family == "decoder" else "seq2seq"
    heads: tuple[Head, ...] = ("sequence", "tokens", "spans")
    return next(head for head in heads if head == formulation)


def has_head(model_type: str, head: Head) -> bool:
    """Whether transformers has a class with this head for a model type; types that no table knows are not refused.

    >>> has_head("bart", "sequence"), has_head("bart", "tokens"), has_head("of-tomorrow", "tokens")
    (True, False, True)
    """
    return model_type in model_types(head) or not any(model_type in model_types(name) for name in TABLES)


def fitted_to(model: ModelSpec, formulation: str) -> ModelSpec:
    """A model's facts as it is loaded for a formulation: what is read, which stacks, and which head.

    Heads over whole texts that transformers provides have a layer of hidden x hidden before the last one, but for
    decoders, and so do all of ModernBERT's. A language-model head that is no copy of the embeddings counts as one more
    such table.
    """
    one_layer = model.hidden * (model.hidden + 1)
    if formulation == "sequence":
        is_deep = model.family != "decoder" and model.poolings == ("native",)
        return replace(model, n_params_head=one_layer if is_deep else 0)
    is_deep = model.model_type == "modernbert" and formulation != "text"
    model = replace(model, poolings=("native",), n_params_head=one_layer if is_deep else 0)
    if formulation == "text":
        head = model.n_params_lm_head
        return replace(
            model,
            n_params=model.n_params + head,
            n_params_embedding=model.n_params_embedding + head,
            n_params_lm_head=0,
        )
    if model.model_type in _TAGGED_BY_ENCODER:
        return replace(
            model,
            n_params=model.n_params - model.n_params_decoder,
            adapter_width=model.adapter_width - model.adapter_width_decoder,
            n_decoder_layers=0,
            n_params_decoder=0,
            adapter_width_decoder=0,
        )
    return model


@cache
def model_types(head: str) -> frozenset[str]:
    """Model types in one of `TABLES`; empty when it cannot be read."""
    found = re.search(rf"^{TABLES[head]}\b[^\n]*\((.*?)^\)", _tables(), re.MULTILINE | re.DOTALL)
    return frozenset(re.findall(r'\(\s*"([^"]+)",', found[1])) if found else frozenset()


@cache
def _tables() -> str:
    package = importlib.util.find_spec("transformers")  # does not import it
    if package is None or not package.submodule_search_locations:
        return ""
    source = Path(package.submodule_search_locations[0]) / "models" / "auto" / "modeling_auto.py"
    return source.read_text(encoding="utf-8") if source.is_file() else ""
