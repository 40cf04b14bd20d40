"""Every method on every family: what is trained, that it learns, and that nothing is lost on the way to the export."""

from itertools import chain

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from tiny_models import BAD, GOOD, LAYERS, NEUTRAL
from transformers import AutoTokenizer

from xautolm import registry
from xautolm.evaluate.inference import merge_adapters
from xautolm.evaluate.regression import write_linear
from xautolm.methods.classifier import load_classifier, load_trainable_state, to_hugging_face, trainable_state
from xautolm.methods.structure import base_encoder, blocks, final_linear, head_parameters
from xautolm.space.catalogue import read_model

FAMILIES = [("tiny_bert", "mean"), ("tiny_bert", "first"), ("tiny_distilbert", "native"), ("tiny_gpt2", "native")]
METHODS = ["full", "partial", "lora", "head"]
PARAMS = {
    "full": {},
    "partial": {"n_layers": 1},
    "lora": {"lora_r": 4, "lora_alpha_ratio": 2, "lora_dropout": 0.0},
    "head": {"c": 1.0},
}
#: What belongs to the head, by family.
HEADS = {
    "tiny_bert": {"classifier.weight", "classifier.bias"},
    "tiny_distilbert": {"pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"},
    "tiny_gpt2": {"score.weight"},
}
#: Prefix of the blocks, their linear layers in the attention and after it, by family.
BLOCKS = {
    "tiny_bert": (
        "encoder.encoder.layer",
        [f"attention.{name}" for name in ("self.query", "self.key", "self.value", "output.dense")],
        ["intermediate.dense", "output.dense"],
    ),
    "tiny_distilbert": (
        "distilbert.transformer.layer",
        [f"attention.{name}" for name in ("q_lin", "k_lin", "v_lin", "out_lin")],
        ["ffn.lin1", "ffn.lin2"],
    ),
    "tiny_gpt2": ("transformer.h", ["attn.c_attn", "attn.c_proj"], ["mlp.c_fc", "mlp.c_proj"]),
}
TEXTS = [f"{NEUTRAL[i % 10]} {word} film {word}" for i, word in enumerate(GOOD + BAD)]
LABELS = torch.tensor([1] * len(GOOD) + [0] * len(BAD))


each_family = pytest.mark.parametrize(("family", "pooling"), FAMILIES)
each_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def folder(family, request):
    return request.getfixturevalue(family)


def prepared(folder, pooling, method, *, seed=0, n_classes=2):
    """A classifier that a method is ready to train."""
    torch.manual_seed(seed)
    classifier = load_classifier(read_model(folder, folder.name), pooling, n_classes, 0.0)
    return registry.resolve("methods", method).prepare(classifier, PARAMS[method])


def encode(folder, texts, pairs=None):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer(texts, pairs, padding=True, return_tensors="pt")


def logits_of(module, inputs):
    module.eval()
    with torch.inference_mode():
        return module(**inputs)["logits"]


def train(module, inputs, *, n_steps=12):
    """The losses of a few steps on one batch."""
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    module.train()
    for _ in range(n_steps):
        loss = torch.nn.functional.cross_entropy(module(**inputs)["logits"], LABELS)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def fit(module, folder, method):
    """Change what a method changes."""
    if registry.resolve("methods", method).trains_by_gradient:
        return train(module, encode(folder, TEXTS))

    coefficients = np.full((2, final_linear(module, 2).in_features), 0.15) * [[-1], [1]]
    return write_linear(module, (coefficients, np.array([-0.05, 0.05])), 2)


def trained_names(module):
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def all_names(folder, pooling):
    return {n for n, _ in load_classifier(read_model(folder, folder.name), pooling, 2, 0.0).named_parameters()}


@each_family
def test_full_trains_every_parameter(family, pooling, folder):
    assert trained_names(prepared(folder, pooling, "full")) == all_names(folder, pooling)


@each_family
@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_partial_trains_the_last_blocks_and_the_head(family, pooling, folder, n_layers):
    classifier = load_classifier(read_model(folder, folder.name), pooling, 2, 0.0)
    module = registry.resolve("methods", "partial").prepare(classifier, {"n_layers": n_layers})
    prefix, *_ = BLOCKS[family]
    last = tuple(f"{prefix}.{i}." for i in range(max(0, LAYERS - n_layers), LAYERS))
    assert trained_names(module) == {
        *HEADS[family],
        *(n for n in all_names(folder, pooling) if n.startswith(last) or ".ln_f." in n),
    }


@each_family
def test_lora_trains_two_matrices_per_linear_layer_of_the_blocks_and_the_head(family, pooling, folder):
    module = prepared(folder, pooling, "lora")
    prefix, *linear = BLOCKS[family]
    adapters = {
        f"base_model.model.{prefix}.{i}.{name}.lora_{part}.default.weight"
        for i in range(LAYERS)
        for name in chain(*linear)
        for part in "AB"
    }
    assert trained_names(module) == adapters | {f"base_model.model.{name}" for name in HEADS[family]}


@each_family
def test_head_trains_nothing_by_gradient_and_marks_the_head_once_fitted(family, pooling, folder):
    module = prepared(folder, pooling, "head")
    assert trained_names(module) == set()
    fit(module, folder, "head")
    assert trained_names(module) == HEADS[family]


@each_family
@pytest.mark.parametrize("method", ["full", "partial", "lora"])
def test_the_loss_falls_and_frozen_parameters_stay(family, pooling, folder, method):
    module = prepared(folder, pooling, method)
    before = {name: p.detach().clone() for name, p in module.named_parameters() if not p.requires_grad}
    losses = fit(module, folder, method)
    assert losses[-1] < 0.8 * losses[0]
    after = dict(module.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


@each_family
@each_method
def test_a_checkpoint_rebuilds_the_same_classifier(family, pooling, folder, method):
    module = prepared(folder, pooling, method)
    fit(module, folder, method)
    inputs = encode(folder, TEXTS)
    expected = logits_of(module, inputs)
    state = load(save({name: value.contiguous() for name, value in trainable_state(module).items()}))
    rebuilt = prepared(folder, pooling, method, seed=1)
    assert not torch.equal(logits_of(rebuilt, inputs), expected)
    load_trainable_state(rebuilt, state)
    assert torch.equal(logits_of(rebuilt, inputs), expected)


@each_family
def test_merged_lora_gives_the_same_logits(family, pooling, folder):
    module = prepared(folder, pooling, "lora")
    fit(module, folder, "lora")
    inputs = encode(folder, TEXTS)
    expected = logits_of(module, inputs)
    merged = merge_adapters(module)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    torch.testing.assert_close(logits_of(merged, inputs), expected, rtol=1e-4, atol=1e-5)


@each_family
@each_method
@pytest.mark.parametrize("with_pairs", [False, True])
def test_the_plain_hugging_face_model_gives_the_same_probabilities(family, pooling, folder, method, with_pairs):
    module = prepared(folder, pooling, method)
    fit(module, folder, method)
    texts = [*TEXTS, " ", "good " * 40, "zebra!?"]  # white space is no token, 40 words are more than most
    inputs = encode(folder, texts, [text[::-1][:20] for text in texts] if with_pairs else None)
    expected = torch.softmax(logits_of(module, inputs), dim=1)
    plain = to_hugging_face(merge_adapters(module), ["no", "yes"], 32)
    assert type(plain).__module__.startswith("transformers.")
    assert plain.config.id2label == {0: "no", 1: "yes"}
    found = torch.softmax(logits_of(plain, inputs), dim=1)
    assert float((found - expected).abs().max()) < 1e-3


@each_family
def test_structure_is_found(family, pooling, folder):
    classifier = load_classifier(read_model(folder, folder.name), pooling, 3, 0.1)
    prefix, *_ = BLOCKS[family]
    assert [name for name, m in classifier.named_modules() if any(m is block for block in blocks(classifier))] == [
        f"{prefix}.{i}" for i in range(LAYERS)
    ]
    by_id = {id(p): name for name, p in classifier.named_parameters()}
    assert {by_id[id(p)] for p in head_parameters(classifier)} == HEADS[family]
    assert final_linear(classifier, 3).out_features == 3
    assert sum(1 for _ in base_encoder(classifier).parameters()) < len(by_id)


@pytest.mark.parametrize("family", ["tiny_bert", "tiny_distilbert"])
def test_a_cut_model_has_the_first_layers(family, folder):
    whole, cut = read_model(folder, folder.name), read_model(folder, folder.name, keep_layers=1)
    pooling = whole.poolings[0]
    full, short = (blocks(load_classifier(spec, pooling, 2, 0.0)) for spec in (whole, cut))
    assert (len(full), len(short)) == (2, 1)
    for a, b in zip(full[0].parameters(), short[0].parameters(), strict=True):
        assert torch.equal(a, b)


@each_family
def test_dropout_is_the_pipelines_own(family, pooling, folder):
    spec = read_model(folder, folder.name)
    classifier = load_classifier(spec, pooling, 2, 0.3)
    rates = {m.p for m in classifier.modules() if isinstance(m, torch.nn.Dropout)}
    assert 0.3 in rates
    without = load_classifier(spec, pooling, 2, 0.0).train()
    inputs = encode(folder, TEXTS[:2])
    with torch.inference_mode():
        assert torch.equal(without(**inputs)["logits"], without(**inputs)["logits"])


def test_a_tensor_of_another_model_is_refused(tiny_bert):
    module = prepared(tiny_bert, "mean", "full")
    with pytest.raises(KeyError):
        load_trainable_state(module, {"no.such.parameter": torch.zeros(1)})


def test_mean_pooling_ignores_padding_and_counts_every_token(tiny_bert):
    module = prepared(tiny_bert, "mean", "full")
    alone, together = encode(tiny_bert, TEXTS[:1]), encode(tiny_bert, [TEXTS[0], "good " * 30])
    torch.testing.assert_close(logits_of(module, together)[:1], logits_of(module, alone), rtol=1e-5, atol=1e-6)
