"""Every architecture with every head: what each method trains, what that is counted as, and that it computes right."""

import copy
import re

import pytest
import torch
from safetensors.torch import load, save
from tiny_families import TINY
from tiny_models import BAD, GOOD, NEUTRAL

from xautolm import registry
from xautolm.evaluate.inference import merge_adapters
from xautolm.methods.classifier import (
    checkpoint_activations,
    load_classifier,
    load_trainable_state,
    trainable_state,
)
from xautolm.methods.heads import Readout, load_with_head
from xautolm.methods.readers import load_reader, spelled
from xautolm.methods.structure import blocks
from xautolm.space.catalogue import read_model
from xautolm.space.families import fitted_to
from xautolm.tasks import why_unsupported

GRADIENT = {
    "epochs": 1,
    "batch_size": 8,
    "max_length": 16,
    "train_fraction": 1.0,
    "dropout": 0.0,
}
PARAMS = {
    "full": GRADIENT,
    "partial": GRADIENT | {"n_layers": 1},
    "lora": GRADIENT | {"lora_r": 4, "lora_alpha_ratio": 2, "lora_dropout": 0.0},
}
KIND = {"sequence": "text-classification", "tokens": "token-classification", "spans": "question-answering"}
#: Linear layers of a block, by architecture: what adapters are put on.
LINEAR = {
    "bert": "attention.self.(query|key|value)|attention.output.dense|intermediate.dense|output.dense",
    "distilbert": "attention.(q|k|v|out)_lin|ffn.lin[12]",
    "roberta": "attention.self.(query|key|value)|attention.output.dense|intermediate.dense|output.dense",
    "deberta-v2": "attention.self.(query|key|value)_proj|attention.output.dense|intermediate.dense|output.dense",
    "modernbert": "attn.(Wqkv|Wo)|mlp.(Wi|Wo)",
    "albert": "attention.(query|key|value|dense)|ffn|ffn_output",
    "gpt2": "attn.c_(attn|proj)|mlp.c_(fc|proj)",
    "llama": "self_attn.[qkvo]_proj|mlp.(gate|up|down)_proj",
    "qwen3": "self_attn.[qkvo]_proj|mlp.(gate|up|down)_proj",
    "gemma3_text": "self_attn.[qkvo]_proj|mlp.(gate|up|down)_proj",
    "phi3": "self_attn.(qkv|o)_proj|mlp.(gate_up|down)_proj",
    "t5": "layer.0.SelfAttention.[qkvo]|layer.1.EncDecAttention.[qkvo]|layer.[12].DenseReluDense.w[io]",
    "flan-t5": "layer.0.SelfAttention.[qkvo]|layer.1.EncDecAttention.[qkvo]|layer.[12].DenseReluDense.(wi_[01]|wo)",
    "bart": "(self_attn|encoder_attn).(q|k|v|out)_proj|fc[12]",
}
#: The first list in a parameter's name: the blocks of its stack.
BLOCK = re.compile(r"(?:^|\.)(?:layer|layers|h|block|albert_layers)\.(\d+)\.")
#: Index of the last block of the last stack.
LAST = {"albert": 0, "flan-t5": 2}
#: What `partial` with one block trains outside it and outside the head.
FINAL_NORM = {
    "modernbert": "final_norm",
    "gpt2": "ln_f",
    "llama": "norm",
    "qwen3": "norm",
    "gemma3_text": "norm",
    "phi3": "norm",
    "t5": "decoder.final_layer_norm",
    "flan-t5": "decoder.final_layer_norm",
}
#: Heads over whole texts: the names of their parameters begin so.
HEADS = {
    "bert": ("classifier",),
    "distilbert": ("pre_classifier", "classifier"),
    "roberta": ("classifier",),
    "deberta-v2": ("pooler", "classifier"),
    "modernbert": ("head", "classifier"),
    "albert": ("albert.pooler", "classifier"),
    "t5": ("classification_head",),
    "flan-t5": ("classification_head",),
    "bart": ("classification_head",),
}

#: Architectures of which others here are enough like them for the tests of every day.
RARE = {"albert", "distilbert", "roberta", "qwen3", "gemma3_text", "phi3", "flan-t5"}
each_model = pytest.mark.parametrize("name", TINY)
each_gradient_method = pytest.mark.parametrize("method", PARAMS)
TEXTS = [f"{NEUTRAL[i % 10]} {word} film {word}" for i, word in enumerate(GOOD + BAD)]


def cells(*formulations):
    """(model, formulation) that there is a head for."""
    types = {"flan-t5": "t5"}
    found = []
    for formulation in formulations:
        for name, family in TINY.items():
            if formulation == "text":
                is_possible = family != "encoder"
            else:
                reason = why_unsupported(KIND[formulation], family, model_type=types.get(name, name))
                is_possible = reason is None and (formulation != "spans" or family == "encoder")
            if is_possible:
                marks = [pytest.mark.slow] if name in RARE else []
                found.append(pytest.param(name, formulation, marks=marks))
    return found


each_cell = pytest.mark.parametrize(("name", "formulation"), cells("sequence", "tokens", "spans", "text"))
each_head = pytest.mark.parametrize(("name", "formulation"), cells("sequence", "tokens", "text"))


def fresh(folder, formulation, *, dropout=0.0, seed=0, n_outputs=2):
    torch.manual_seed(seed)
    spec = read_model(folder, folder.name)
    if formulation == "sequence":
        return load_classifier(spec, spec.poolings[0], n_outputs, dropout)
    return load_with_head(formulation, spec, n_outputs, dropout)


def prepared(folder, formulation, method, **options):
    return registry.resolve("methods", method).prepare(fresh(folder, formulation, **options), PARAMS[method])


def trained(module):
    return {name.removeprefix("base_model.model.") for name, p in module.named_parameters() if p.requires_grad}


def encode(folder, texts=TEXTS, pairs=None, **options):
    spec = read_model(folder, folder.name)
    tokenizer = load_reader(spec)
    texts = spelled(texts, tokenizer, spec.family)
    return dict(tokenizer(texts, pairs, padding=True, return_tensors="pt", **options))


def outputs_of(module, inputs, formulation):
    """What a loss reads: logits, start logits, or next-token logits."""
    if formulation == "text" and module.config.is_encoder_decoder:
        inputs = {**inputs, "decoder_input_ids": inputs["input_ids"]}
    found = module(**inputs)
    return found["start_logits"] if formulation == "spans" else found["logits"]


def loss_of(module, inputs, formulation):
    """A loss that the words decide: the class of a text, the class of every token, or every token itself."""
    logits = outputs_of(module, inputs, formulation).float()
    rows = torch.arange(len(logits))
    if formulation == "sequence":
        return torch.nn.functional.cross_entropy(logits, (rows < len(GOOD)).long())
    mask = inputs["attention_mask"].bool()
    if formulation == "tokens":
        return torch.nn.functional.cross_entropy(logits[mask], inputs["input_ids"][mask] % 2)
    if formulation == "spans":
        return torch.nn.functional.cross_entropy(logits, rows % 4)
    targets = inputs["input_ids"]
    return torch.nn.functional.cross_entropy(logits[:, :-1][mask[:, 1:]], targets[:, 1:][mask[:, 1:]])


def train(module, inputs, formulation, *, n_steps=8):
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    module.train()
    for _ in range(n_steps):
        loss = loss_of(module, inputs, formulation)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def evaluate(module, inputs, formulation):
    module.eval()
    with torch.inference_mode():
        return outputs_of(module, inputs, formulation)


def place(name):
    """Index of the block that a parameter belongs to and its name there; None outside the blocks."""
    found = BLOCK.search(name)
    return (int(found[1]), name[found.end() :]) if found else None


def is_in_head(name, parameter):
    return parameter.startswith(tuple(f"{head}." for head in HEADS.get(name, ("score",))))


@each_model
def test_every_linear_layer_of_the_blocks_and_none_else_gets_an_adapter(name, tiny_model):
    module = prepared(tiny_model(name), "sequence", "lora")
    adapted = {n.split(".lora_")[0] for n in trained(module) if "lora_" in n}
    inside = {place(n)[1] for n in adapted}
    assert all(re.fullmatch(LINEAR[name], n) for n in inside), inside
    linear = {
        n for n, m in fresh(tiny_model(name), "sequence").named_modules() if type(m).__name__ in {"Linear", "Conv1D"}
    }
    assert adapted == {n for n in linear if place(n)}
    assert len({n[: BLOCK.search(n).end()] for n in adapted}) == len(blocks(fresh(tiny_model(name), "sequence")))
    others = {n for n in trained(module) if "lora_" not in n}
    assert others
    assert all(is_in_head(name, n) for n in others)


@each_model
def test_partial_trains_the_last_block_its_norm_and_the_head(name, tiny_model):
    folder = tiny_model(name)
    module = prepared(folder, "sequence", "partial")
    names = {n for n, _ in fresh(folder, "sequence").named_parameters()}
    stack = "decoder." if TINY[name] == "encoder-decoder" else ""
    in_block = {n for n in names if stack in n and place(n) and place(n)[0] == LAST.get(name, 1)}
    norm = {n for n in names if name in FINAL_NORM and re.search(rf"\b{FINAL_NORM[name]}\.\w+$", n) and not place(n)}
    assert in_block
    assert trained(module) == in_block | norm | {n for n in names if is_in_head(name, n)}
    assert bool(norm) == (name in FINAL_NORM)


@pytest.mark.parametrize(("name", "depth"), [("t5", 3), ("flan-t5", 4), ("bart", 3), ("bart", 9)])
def test_partial_goes_on_in_the_encoder_when_the_decoder_is_used_up(name, depth, tiny_model):
    module = registry.resolve("methods", "partial").prepare(fresh(tiny_model(name), "text"), {"n_layers": depth})
    found = {
        stack: {place(n)[0] for n in trained(module) if f"{stack}." in n and place(n)}
        for stack in ("encoder", "decoder")
    }
    n_decoder = LAST.get(name, 1) + 1
    assert found == {"decoder": set(range(n_decoder)), "encoder": set(range(2)[-(depth - n_decoder) :])}


@pytest.mark.parametrize(("name", "formulation"), cells("text"))
@pytest.mark.parametrize("method", ["partial", "lora"])
def test_tables_of_words_stay_frozen_where_a_model_writes(name, formulation, method, tiny_model):
    module = prepared(tiny_model(name), formulation, method)
    assert trained(module)
    assert not any(re.search(r"lm_head|embed|wte|wpe|shared", n) for n in trained(module))


@each_cell
@each_gradient_method
def test_the_workload_counts_what_is_trained(name, formulation, method, tiny_model):
    spec = fitted_to(read_model(tiny_model(name), name), formulation)
    load = registry.resolve("methods", method).workload(spec, PARAMS[method])
    module = prepared(tiny_model(name), formulation, method)
    real = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert load.n_trainable == pytest.approx(real, rel=0.05 if method == "lora" else 0.1)


@each_head
@each_gradient_method
def test_the_loss_falls_and_only_what_is_trained_changes(name, formulation, method, tiny_model):
    folder = tiny_model(name)
    module = prepared(folder, formulation, method)
    before = copy.deepcopy(dict(module.named_parameters()))
    losses = train(module, encode(folder), formulation)
    assert losses[-1] < 0.9 * losses[0]
    moved = {n for n, p in module.named_parameters() if not torch.equal(p, before[n])}
    assert {n.removeprefix("base_model.model.") for n in moved} <= trained(module)
    assert len(moved) > 0.6 * len(trained(module))  # some biases have no effect


@each_cell
@each_gradient_method
def test_a_checkpoint_rebuilds_the_same_model(name, formulation, method, tiny_model):
    folder = tiny_model(name)
    module = prepared(folder, formulation, method)
    inputs = encode(folder)
    train(module, inputs, formulation, n_steps=2)
    expected = evaluate(module, inputs, formulation)
    state = load(save({n: value.contiguous() for n, value in trainable_state(module).items()}))
    rebuilt = prepared(folder, formulation, method, seed=1)
    assert not torch.equal(evaluate(rebuilt, inputs, formulation), expected)
    load_trainable_state(rebuilt, state)
    assert torch.equal(evaluate(rebuilt, inputs, formulation), expected)


@each_cell
def test_merged_adapters_give_the_same_outputs(name, formulation, tiny_model):
    folder = tiny_model(name)
    module = prepared(folder, formulation, "lora")
    inputs = encode(folder)
    untrained = evaluate(module, inputs, formulation)
    train(module, inputs, formulation, n_steps=3)
    expected = evaluate(module, inputs, formulation)
    assert not torch.allclose(untrained, expected, atol=1e-3)
    merged = merge_adapters(module)
    assert not any("lora" in n for n, _ in merged.named_parameters())
    torch.testing.assert_close(evaluate(merged, inputs, formulation), expected, rtol=1e-3, atol=1e-4)


@each_cell
@each_gradient_method
def test_checkpointing_activations_changes_no_gradient(name, formulation, method, tiny_model):
    gradients = []
    for is_checkpointed in (False, True):
        module = prepared(tiny_model(name), formulation, method).train()
        if is_checkpointed and name == "albert":
            with pytest.raises(MemoryError, match="no gradient checkpointing"):
                checkpoint_activations(module)
            return
        if is_checkpointed:
            checkpoint_activations(module)
        loss_of(module, encode(tiny_model(name)), formulation).backward()
        gradients.append({n: p.grad for n, p in module.named_parameters() if p.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for n, value in gradients[0].items():
        other = gradients[1][n]
        assert (value is None) == (other is None)
        if value is not None:
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, family in TINY.items() if family != "encoder"])
@pytest.mark.parametrize("with_pairs", [False, True])
def test_padding_changes_no_class(name, with_pairs, tiny_model):
    """Decoders read the last token, encoder-decoders the closing one, whatever stands after it."""
    folder = tiny_model(name)
    module = fresh(folder, "sequence")
    long = "film " * 12
    texts, pairs = ["good film", long], ["was nice", long] if with_pairs else None
    alone = encode(folder, texts[:1], pairs[:1] if pairs else None)
    together = encode(folder, texts, pairs)
    torch.testing.assert_close(
        evaluate(module, together, "sequence")[:1], evaluate(module, alone, "sequence"), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["t5", "bart"])
@pytest.mark.parametrize("with_pairs", [False, True])
def test_rows_of_encoder_decoders_close_alike_also_when_cut_or_when_they_name_the_end(name, with_pairs, tiny_model):
    folder = tiny_model(name)
    texts = ["good", "good </s> film </s>", "film " * 40, ""]
    pairs = ["", "bad " * 40, "</s>", "x"] if with_pairs else None
    tokenizer = load_reader(read_model(folder, name))
    pairs = spelled(pairs, tokenizer, "encoder-decoder") if pairs else None
    inputs = encode(folder, texts, pairs, truncation=True, max_length=12)
    is_end = inputs["input_ids"] == tokenizer.eos_token_id
    assert len(set(is_end.sum(1).tolist())) == 1
    last = inputs["attention_mask"].sum(1) - 1
    assert bool(is_end[torch.arange(len(texts)), last].all())
    logits = evaluate(fresh(folder, "sequence"), inputs, "sequence")
    assert bool(torch.isfinite(logits).all())


def test_a_tokenizer_that_closes_no_row_learns_to(tiny_model, tmp_path):
    from tokenizers.processors import Sequence
    from transformers import AutoTokenizer

    from xautolm.methods.readers import prepare_reader

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("t5"))
    tokenizer.backend_tokenizer.post_processor = Sequence([])
    assert tokenizer.eos_token_id not in tokenizer("good")["input_ids"]
    read = prepare_reader(tokenizer, "encoder-decoder")
    assert read("good film " * 20, truncation=True, max_length=8)["input_ids"][-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("name", ["gpt2", "llama", "roberta"])
def test_outputs_are_in_32_bits_under_autocast_and_drop_out_in_training(name, tiny_model):
    folder = tiny_model(name)
    module = fresh(folder, "sequence", dropout=0.5)
    assert any(isinstance(m, Readout) for m in module.modules())
    inputs = encode(folder)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        logits = module.eval()(**inputs)["logits"]
        assert logits.dtype is torch.float32
        first, second = (module.train()(**inputs)["logits"] for _ in range(2))
    assert not torch.equal(first, second)
