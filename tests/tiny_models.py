"""Tiny random models with real tokenizers, written without torch; a trial with one takes a fraction of a second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

LAYERS, HIDDEN, HEADS, INTERMEDIATE, POSITIONS = 2, 32, 2, 64, 64
GOOD = ["good", "great", "nice", "fine", "happy"]
BAD = ["bad", "poor", "ugly", "awful", "sad"]
NEUTRAL = ["the", "a", "film", "was", "seems", "very", "today", "plot", "actor", "music"]
#: Words that are one token; anything else is spelled in letters.
WORDS = [*GOOD, *BAD, *NEUTRAL, "yes", "no", "yo", "maybe", "train", "ticket", "hotel", "river"]
_LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)]

Shapes = dict[str, tuple[int, ...]]


def write_bert(folder: Path) -> Path:
    """A random BERT encoder with a WordPiece tokenizer."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{c}" for c in _LETTERS), *".,!?-'", *WORDS]
    tokens = list(dict.fromkeys(names))
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": POSITIONS,
        "vocab_size": len(tokens),
        "hidden_act": "gelu",
        "type_vocab_size": 2,
        "pad_token_id": 0,
        "layer_norm_eps": 1e-12,
    }
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (len(tokens), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        **_norm("embeddings.LayerNorm"),
        **_linear("pooler.dense", HIDDEN, HIDDEN),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= _linear(f"{layer}.{name}", HIDDEN, HIDDEN)
        shapes |= _linear(f"{layer}.intermediate.dense", HIDDEN, INTERMEDIATE)
        shapes |= _linear(f"{layer}.output.dense", INTERMEDIATE, HIDDEN)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm") | _norm(f"{layer}.output.LayerNorm")
    _write(folder, config, shapes)
    _write_wordpiece(folder, tokens, "BertTokenizer", ["input_ids", "token_type_ids", "attention_mask"])
    return folder


def write_distilbert(folder: Path) -> Path:
    """A random DistilBERT encoder: a family that keeps its own classification head."""
    write_bert(folder)
    n_tokens = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = {
        "model_type": "distilbert",
        "architectures": ["DistilBertModel"],
        "dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "hidden_dim": INTERMEDIATE,
        "max_position_embeddings": POSITIONS,
        "vocab_size": n_tokens,
        "activation": "gelu",
        "pad_token_id": 0,
    }
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (n_tokens, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        **_norm("embeddings.LayerNorm"),
    }
    for i in range(LAYERS):
        layer = f"transformer.layer.{i}"
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= _linear(f"{layer}.attention.{name}", HIDDEN, HIDDEN)
        shapes |= _linear(f"{layer}.ffn.lin1", HIDDEN, INTERMEDIATE)
        shapes |= _linear(f"{layer}.ffn.lin2", INTERMEDIATE, HIDDEN)
        shapes |= _norm(f"{layer}.sa_layer_norm") | _norm(f"{layer}.output_layer_norm")
    _write(folder, config, shapes)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "DistilBertTokenizer", "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_gpt2(folder: Path) -> Path:
    """A random GPT-2 decoder: linear layers are `Conv1D`, and there is no padding token."""
    vocabulary, merges = byte_level_vocabulary("<|endoftext|>")
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": HIDDEN,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": POSITIONS,
        "vocab_size": len(vocabulary),
        "bos_token_id": vocabulary["<|endoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
    }
    shapes: Shapes = {
        "wte.weight": (len(vocabulary), HIDDEN),
        "wpe.weight": (POSITIONS, HIDDEN),
        **_norm("ln_f"),
    }
    for i in range(LAYERS):
        for name, n_in, n_out in (
            ("attn.c_attn", HIDDEN, 3 * HIDDEN),
            ("attn.c_proj", HIDDEN, HIDDEN),
            ("mlp.c_fc", HIDDEN, 4 * HIDDEN),
            ("mlp.c_proj", 4 * HIDDEN, HIDDEN),
        ):
            shapes |= {f"h.{i}.{name}.weight": (n_in, n_out), f"h.{i}.{name}.bias": (n_out,)}
        shapes |= _norm(f"h.{i}.ln_1") | _norm(f"h.{i}.ln_2")
    _write(folder, config, shapes)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "model_max_length": POSITIONS,
        "add_prefix_space": True,
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def byte_level_vocabulary(*special: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE: special tokens first, every word of `WORDS` becomes one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return merged_vocabulary([*special, *alphabet], [*(f"Ġ{word}" for word in WORDS), *WORDS])


def merged_vocabulary(tokens: Sequence[str], words: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a BPE that builds each word from left to right; the pieces join the vocabulary.

    Args:
        tokens: what there is without merges.
        words: of letters that are among the tokens.
    """
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        piece = word[0]
        for letter in word[1:]:
            merges.setdefault((piece, letter))
            piece += letter
            vocabulary.setdefault(piece, len(vocabulary))
    return vocabulary, list(merges)


def _linear(name: str, n_in: int, n_out: int) -> Shapes:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str) -> Shapes:
    return {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}


def _write(folder: Path, config: dict[str, object], shapes: Shapes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            values = np.zeros(shape)
        elif len(shape) == 1:
            values = np.ones(shape)
        else:
            spread = 0.5 if "embeddings" in name or name.startswith("wte") else 0.15
            values = spread * rng.standard_normal(shape)
        tensors[name] = values.astype(np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _write_wordpiece(folder: Path, tokens: list[str], class_name: str, inputs: list[str]) -> None:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.add_special_tokens(tokens[:5])
    # As in the embedded encoder: the file's own truncation is shorter than what the model reads.
    tokenizer.enable_truncation(24)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    settings = {
        "tokenizer_class": class_name,
        "do_lower_case": True,
        "model_max_length": POSITIONS,
        "model_input_names": inputs,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
