"""What a generated token costs, measured and estimated: `python -m benchmarks.writing [--json FILE]`.

Random models read prompts and write 1 and 9 tokens; the difference is what 8 tokens of a batch take, in processor time
of one thread. Beside it stands `space.writing`, whose figures were fitted to this table. Takes a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from xautolm.evaluate.generation import TextCollator, greedy, write_answers
from xautolm.records import Family, ModelSpec
from xautolm.space.workload import TaskSize, Workload
from xautolm.space.writing import with_answers, writing_s

#: (architecture, hidden size, layers of each stack, vocabulary); the feed-forward layers are four times as wide.
MODELS = (("qwen3", 128, 2, 4_000), ("qwen3", 384, 4, 8_000), ("qwen3", 384, 4, 30_000), ("t5", 384, 4, 8_000))
#: (rows of a batch, tokens of each prompt).
BATCHES = ((1, 100), (16, 100), (16, 300), (64, 100))
_N_TOKENS, _REPEATS, _HEAD = 8, 2, 64
#: What large products were done at when the figures were fitted.
_FLOPS_PER_S = 200e9


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds of one batch: reading its prompts, and each token that is written, measured and estimated."""

    model: str
    rows: int
    prompt: int
    read_ms: float
    token_ms: float
    estimated_ms: float


def random_model(kind: str, hidden: int, layers: int, vocabulary: int) -> tuple[nn.Module, ModelSpec]:
    """A model with random weights, and its figures."""
    heads = hidden // _HEAD
    torch.manual_seed(0)
    if kind == "t5":
        sizes = {"d_model": hidden, "d_kv": _HEAD, "d_ff": 4 * hidden, "num_layers": layers, "num_heads": heads}
        config = AutoConfig.for_model(kind, vocab_size=vocabulary, decoder_start_token_id=0, **sizes)
        model = AutoModelForSeq2SeqLM.from_config(config)
        n_decoder = sum(p.numel() for p in model.decoder.block.parameters())
    else:
        sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": 4 * hidden}
        sizes |= {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": _HEAD}
        config = AutoConfig.for_model(kind, vocab_size=vocabulary, tie_word_embeddings=True, **sizes)
        model, n_decoder = AutoModelForCausalLM.from_config(config), 0
    model.generation_config = GenerationConfig()
    n_params, in_tables = sum(p.numel() for p in model.parameters()), hidden * vocabulary
    shape = (layers, False, n_params, in_tables, hidden, heads, 4 * hidden, vocabulary, 512, ("native",))
    family: Family = "encoder-decoder" if n_decoder else "decoder"
    stack = {"n_decoder_layers": layers if n_decoder else 0, "n_params_decoder": n_decoder, "n_kv_heads": heads}
    name = f"{kind} {hidden} x {layers}, {vocabulary:,} words"
    return model, ModelSpec(name, "", "", kind, *shape, family, **stack)


def measure(model: nn.Module, spec: ModelSpec, rows: int, prompt: int) -> Row:
    """One batch."""
    is_decoder = spec.family == "decoder"
    collator = TextCollator(0, None if is_decoder else 0, with_positions=is_decoder, keeps_logits=is_decoder)
    prompts = torch.randint(5, spec.vocabulary, (rows, prompt), generator=torch.Generator().manual_seed(0)).tolist()
    seconds = []
    for n_new in (1, 1 + _N_TOKENS):
        config = greedy(n_new, end_id=1, pad_id=0, start_id=collator.start_id)
        config.min_new_tokens = n_new
        seconds.append(min(_timed(model, prompts, collator, config) for _ in range(_REPEATS)))
    size = TaskSize(1, rows, 1, (prompt,) * 101, (_N_TOKENS,) * 101)
    load = with_answers(Workload(0, 0, False, 0.0, rows, prompt, 1.0), spec, size)
    estimated = writing_s(load, spec, size, _FLOPS_PER_S, rows)
    token_s = (seconds[1] - seconds[0]) / _N_TOKENS
    return Row(spec.name, rows, prompt, *(round(1000 * s, 1) for s in (seconds[0], token_s, estimated / _N_TOKENS)))


def _timed(
    model: nn.Module, prompts: Sequence[Sequence[int]], collator: TextCollator, config: GenerationConfig
) -> float:
    began = time.process_time()
    write_answers(model, prompts, collator, config, str, n_at_once=len(prompts))
    return time.process_time() - began


def main() -> None:
    """Measure, print the table, and write it where the user says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for shape in MODELS:
        model, spec = random_model(*shape)
        found += [measure(model, spec, *batch) for batch in BATCHES]
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")
    print(f"{'model':32} {'rows':>4} {'prompt':>6} {'read ms':>8} {'token ms':>8} {'estimate':>8}")
    for row in found:
        figures = f"{row.read_ms:8.1f} {row.token_ms:8.1f} {row.estimated_ms:8.1f}"
        print(f"{row.model:32} {row.rows:4} {row.prompt:6} {figures}")


if __name__ == "__main__":
    main()
