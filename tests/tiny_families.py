"""Tiny random models of every architecture that matters, with real tokenizers, through the configs of transformers.

The models of `tiny_models` are written without torch and faster; these need it. Hidden size 32, two layers (two of each
in encoder-decoders), words of `tiny_models.WORDS` are one token each and everything else is spelled in bytes or
letters. Sizes that may differ in real models differ here too: heads and key-value heads, head and hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_models import (
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    LAYERS,
    WORDS,
    byte_level_vocabulary,
    merged_vocabulary,
    write_bert,
    write_distilbert,
    write_gpt2,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from xautolm.records import Family

CONTEXT = 256

_SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INTERMEDIATE,
    "max_position_embeddings": CONTEXT,
}
#: Grouped queries: one head of keys and values for both heads.
_GROUPED = {**_SIZES, "num_key_value_heads": 1}
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_T5 = {"d_model": HIDDEN, "d_kv": 12, "d_ff": INTERMEDIATE, "num_layers": LAYERS, "num_heads": HEADS}


_PRINTABLE = [chr(c) for c in range(33, 127)]


def _unigram(class_name: str, *special: str, **options: Any) -> Callable[[], Any]:
    """A SentencePiece unigram model: special tokens, words, letters and everything printable."""
    pieces = [
        *((s, 0.0) for s in special),
        *((f"▁{w}", -2.0) for w in WORDS),
        ("▁", -6.0),
        *((c, -8.0) for c in _PRINTABLE),
    ]
    return lambda: _tokenizer_class(class_name)(vocab=pieces, model_max_length=CONTEXT, **options)


def _byte_level(class_name: str, *special: str, **options: Any) -> Callable[[], Any]:
    vocabulary, merges = byte_level_vocabulary(*special)
    return lambda: _tokenizer_class(class_name)(vocab=vocabulary, merges=merges, model_max_length=CONTEXT, **options)


def _byte_fallback(class_name: str, *special: str) -> Callable[[], Any]:
    """A SentencePiece BPE that spells what it does not know in bytes."""
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *_PRINTABLE]
    vocabulary, merges = merged_vocabulary(tokens, [*(f"▁{word}" for word in WORDS), *WORDS])
    return lambda: _tokenizer_class(class_name)(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def _classless(*special: str, one: str, pair: str, **roles: str) -> Callable[[], Any]:
    """A byte-level BPE without a class of its own, as Llama 3 and ModernBERT have one."""
    vocabulary, merges = byte_level_vocabulary(*special)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    ids = [(name, vocabulary[name]) for name in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=one, pair=pair, special_tokens=ids)
    build = "PreTrainedTokenizerFast"
    return lambda: _tokenizer_class(build)(tokenizer_object=tokenizer, model_max_length=CONTEXT, **roles)


def _tokenizer_class(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


@dataclass(frozen=True)
class _Recipe:
    """How a model is made.

    Attributes:
        family: which stacks it has.
        head: class that holds its weights (`AutoModelFor...`).
        tokenizer: makes its tokenizer.
        ids: special tokens that the configuration names by their ids, by its key.
        config: the rest of the configuration.
    """

    family: Family
    head: str
    tokenizer: Callable[[], Any]
    ids: Mapping[str, str]
    config: Mapping[str, Any]


_BERT_IDS = {"pad_token_id": "[PAD]", "cls_token_id": "[CLS]", "sep_token_id": "[SEP]"}
_RANGE = {"bos_token_id": "<s>", "eos_token_id": "</s>", "pad_token_id": "<pad>"}
_BART = {
    "d_model": HIDDEN,
    **{f"{stack}_{size}": value for stack in ("encoder", "decoder") for size, value in
       (("layers", LAYERS), ("attention_heads", HEADS), ("ffn_dim", INTERMEDIATE))},
    "max_position_embeddings": CONTEXT,
}  # fmt: skip

_RECIPES: dict[str, _Recipe] = {
    "roberta": _Recipe(
        "encoder",
        "MaskedLM",
        _byte_level("RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        _RANGE,
        dict(
            **{**_SIZES, "max_position_embeddings": CONTEXT + 2, "type_vocab_size": 1},
        ),
    ),
    "deberta-v2": _Recipe(
        "encoder",
        "MaskedLM",
        _unigram("DebertaV2Tokenizer", "[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", unk_id=3),
        {"pad_token_id": "[PAD]"},
        dict(
            **_SIZES,
            type_vocab_size=0,
            relative_attention=True,
            position_biased_input=False,
            pos_att_type=["p2c", "c2p"],
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            position_buckets=16,
        ),
    ),
    "modernbert": _Recipe(
        "encoder",
        "MaskedLM",
        _classless(
            *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
            one="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            **{f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")},
        ),
        {**_BERT_IDS, "bos_token_id": "[CLS]", "eos_token_id": "[SEP]"},
        dict(
            **_SIZES,
            local_attention=16,
            global_attn_every_n_layers=2,
        ),
    ),
    "albert": _Recipe(
        "encoder",
        "MaskedLM",
        _unigram("AlbertTokenizer", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        {"pad_token_id": "<pad>", "bos_token_id": "[CLS]", "eos_token_id": "[SEP]"},
        dict(
            **_SIZES,
            embedding_size=16,
        ),
    ),
    "llama": _Recipe(
        "decoder",
        "CausalLM",
        _classless(
            *("<|begin_of_text|>", "<|end_of_text|>"),
            one="<|begin_of_text|> $A",
            pair="<|begin_of_text|> $A <|begin_of_text|> $B",
            bos_token="<|begin_of_text|>",
            eos_token="<|end_of_text|>",
        ),
        {"bos_token_id": "<|begin_of_text|>", "eos_token_id": "<|end_of_text|>"},
        dict(
            **_GROUPED,
        ),
    ),
    "qwen3": _Recipe(
        "decoder",
        "CausalLM",
        _byte_level("Qwen2Tokenizer", "<|endoftext|>", "<|im_start|>", "<|im_end|>", eos_token="<|im_end|>"),
        {"eos_token_id": "<|im_end|>", "pad_token_id": "<|endoftext|>"},
        dict(
            **_GROUPED,
            head_dim=24,
            tie_word_embeddings=True,
        ),
    ),
    "gemma3_text": _Recipe(
        "decoder",
        "CausalLM",
        _byte_fallback("GemmaTokenizer", "<pad>", "<eos>", "<bos>", "<unk>", "<mask>"),
        {"pad_token_id": "<pad>", "eos_token_id": "<eos>", "bos_token_id": "<bos>"},
        dict(
            **_GROUPED,
            head_dim=24,
            query_pre_attn_scalar=24,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"],
        ),
    ),
    "phi3": _Recipe(
        "decoder",
        "CausalLM",
        _byte_level("GPT2Tokenizer", "<|endoftext|>"),
        {"bos_token_id": "<|endoftext|>", "eos_token_id": "<|endoftext|>", "pad_token_id": "<|endoftext|>"},
        dict(
            **_GROUPED,
            original_max_position_embeddings=CONTEXT,
        ),
    ),
    "t5": _Recipe(
        "encoder-decoder",
        "Seq2SeqLM",
        _unigram("T5Tokenizer", "<pad>", "</s>", "<unk>"),
        {"pad_token_id": "<pad>", "eos_token_id": "</s>", "decoder_start_token_id": "<pad>"},
        dict(
            **_T5,
        ),
    ),
    "flan-t5": _Recipe(
        "encoder-decoder",
        "Seq2SeqLM",
        _unigram("T5Tokenizer", "<pad>", "</s>", "<unk>"),
        {"pad_token_id": "<pad>", "eos_token_id": "</s>", "decoder_start_token_id": "<pad>"},
        dict(
            **_T5,
            num_decoder_layers=LAYERS + 1,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        ),
    ),
    "bart": _Recipe(
        "encoder-decoder",
        "Seq2SeqLM",
        _byte_level("RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        {**_RANGE, "decoder_start_token_id": "</s>", "forced_eos_token_id": "</s>"},
        dict(
            **_BART,
        ),
    ),
}
_MODEL_TYPES = {"flan-t5": "t5"}
_WRITERS = {"bert": write_bert, "distilbert": write_distilbert, "gpt2": write_gpt2}

#: Name of a tiny model -> its family.
TINY: Mapping[str, Family] = {
    **{"bert": "encoder", "distilbert": "encoder", "gpt2": "decoder"},
    **{name: recipe.family for name, recipe in _RECIPES.items()},
}


def write_tiny(name: str, folder: Path) -> Path:
    """Write a tiny random model (always the same one) with its tokenizer as `save_pretrained` does.

    Args:
        name: key of `TINY`.
        folder: to write to.
    """
    if name in _WRITERS:
        return _WRITERS[name](folder)
    import torch
    import transformers

    recipe = _RECIPES[name]
    tokenizer = recipe.tokenizer()
    if name == "qwen3":
        tokenizer.chat_template = _CHAT
    ids = {key: tokenizer.convert_tokens_to_ids(token) for key, token in recipe.ids.items()}
    config = transformers.AutoConfig.for_model(
        _MODEL_TYPES.get(name, name), vocab_size=len(tokenizer), **ids, **recipe.config
    )
    model = getattr(transformers, f"AutoModelFor{recipe.head}").from_config(config)
    generator = torch.Generator().manual_seed(0)
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    for parameter in model.parameters():
        if parameter.dim() > 1:
            # as in `tiny_models`: with the usual 0.02 the features of a random model tell nothing apart
            spread = 0.5 if id(parameter) in embeddings else 0.15
            parameter.data.normal_(0, spread, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
