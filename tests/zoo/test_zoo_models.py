"""The models that come with the package: size, offline loading with plain `transformers`, cards that are true."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from safetensors import safe_open

from xautolm.space.catalogue import resolve_models
from xautolm.zoo import CAUSAL, SEQ2SEQ, folders, zoo_folder

ROOT = Path(__file__).parents[2]
ADDRESS = ROOT / "tests" / "fixtures" / "zoo" / "inaugural_1949.txt"
MAX_BYTES = 6_000_000
PRESENT = tuple(folders())
#: Type, family, layers, parameters.
FACTS = {CAUSAL: ("llama", "decoder", 5, 2_754_624), SEQ2SEQ: ("t5", "encoder-decoder", 3, 2_835_456)}


def load(name):
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    loader = AutoModelForCausalLM if name == CAUSAL else AutoModelForSeq2SeqLM
    folder = zoo_folder(name)
    model = loader.from_pretrained(folder, local_files_only=True, dtype="float32")
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def figures(name):
    return json.loads((zoo_folder(name) / "figures.json").read_text(encoding="utf-8"))


def test_the_decoder_only_model_is_there():
    assert CAUSAL in PRESENT


@pytest.mark.parametrize("name", PRESENT)
def test_a_model_is_small_and_holds_no_pickle(name):
    files = list(zoo_folder(name).iterdir())

    assert sum(file.stat().st_size for file in files) <= MAX_BYTES
    assert {file.suffix for file in files} == {".json", ".md", ".safetensors"}


@pytest.mark.parametrize("name", PRESENT)
def test_weights_are_bf16(name):
    with safe_open(zoo_folder(name) / "model.safetensors", framework="numpy") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118

    assert kinds == {"BF16"}


def test_the_package_takes_its_models_along():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["xautolm"]
    package = ROOT / "src" / "xautolm"
    taken = {path for pattern in patterns for path in package.glob(pattern)}

    assert {path for name in PRESENT for path in zoo_folder(name).iterdir()} <= taken


@pytest.mark.parametrize(("name", "facts"), FACTS.items())
def test_facts_are_read_like_those_of_any_model(name, facts):
    if name not in PRESENT:
        pytest.skip(f"{name} is not part of the package yet")
    (model,), dropped = resolve_models([name], [], offline=True)

    assert dropped == []
    assert (model.name, model.model_type, model.family, model.n_layers, model.n_params) == (name, *facts)
    assert (model.context, model.vocabulary) == (512, 4096)


@pytest.mark.parametrize("name", PRESENT)
@pytest.mark.timeout(30)
def test_plain_transformers_writes_text_with_them_offline(name):
    model, tokenizer = load(name)
    batch = tokenizer(["My fellow citizens, we must", "The old man"], return_tensors="pt", padding=True)
    written = model.generate(**batch, max_new_tokens=8, do_sample=False)

    assert written.shape[0] == 2
    assert tokenizer.batch_decode(written, skip_special_tokens=True)[0].strip()


@pytest.mark.parametrize("name", PRESENT)
def test_a_card_states_licence_data_and_the_measured_perplexities(name):
    card = (zoo_folder(name) / "README.md").read_text(encoding="utf-8")

    assert card.startswith("---\nlicense: apache-2.0\n")
    for part in ("100_english_novels", "State of the Union", "inaugural", "MASC"):
        assert part in card
    assert "$" not in card.replace("$ OMP_NUM_THREADS", "")
    for key in ("validation_per_token", "validation_per_byte", "wikitext_per_token", "wikitext_per_byte"):
        value = figures(name)[key]
        stated = f"{value:.3g}" if value < 100 else f"{value:.0f}"
        assert re.search(rf"\| {re.escape(stated)} \|", card), (key, stated)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PRESENT)
def test_the_perplexity_of_a_speech_is_what_the_card_says(name):
    """Measured here with `transformers` alone, in the way the card describes."""
    import torch

    model, tokenizer = load(name)
    ids = tokenizer(ADDRESS.read_text(encoding="utf-8"), add_special_tokens=False, verbose=False)["input_ids"]
    ids = torch.tensor([*ids, tokenizer.eos_token_id])
    nats, n_tokens = 0.0, 0
    for inputs, labels in causal_windows(ids) if name == CAUSAL else continuations(ids, tokenizer.eos_token_id):
        with torch.inference_mode():
            loss = model(input_ids=inputs[None], labels=labels[None]).loss
        n = int((labels != -100).sum())
        nats += float(loss) * n
        n_tokens += n

    assert torch.tensor(nats / n_tokens).exp().item() == pytest.approx(figures(name)["address_per_token"], rel=0.01)


def causal_windows(ids):
    """Windows of 512 that overlap by half; the first token of the text cannot be predicted, so it never counts."""
    for start in range(0, len(ids) - 1 - 256, 256):
        inputs = ids[start : start + 512]
        labels = inputs.clone()
        labels[: 1 if start == 0 else 256] = -100
        yield inputs, labels


def continuations(ids, end_id):
    """255 tokens and `</s>` for the encoder, the next 128 for the decoder."""
    import torch

    for start in range(0, len(ids) - 383 + 1, 383):
        yield torch.cat([ids[start : start + 255], torch.tensor([end_id])]), ids[start + 255 : start + 383]
