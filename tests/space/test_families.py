"""Which stacks a model has and which heads it can get, from its configuration alone, as transformers itself says."""

import json
import subprocess
import sys

import pytest
from tiny_families import TINY
from tiny_models import HEADS, HIDDEN, INTERMEDIATE, LAYERS

from xautolm.errors import ModelError
from xautolm.space.catalogue import read_model
from xautolm.space.families import TABLES, family_of, fitted_to, has_head, model_types
from xautolm.space.figures import read_rows

#: Audio models and pairs of whole models, which are no models of text to fine-tune.
_NO_TEXT_CONFIG = {"encoder-decoder"}
#: No attention heads, blocks of layers, latents, two stacks of two parts each: reading a folder of one is refused.
_UNREAD = {"fnet", "funnel", "perceiver", "t5gemma2"}


@pytest.mark.parametrize("name", TINY)
def test_a_folder_tells_its_family_and_its_sizes(name, tiny_model):
    from transformers import AutoModel

    folder = tiny_model(name)
    spec = read_model(folder, name)
    assert spec.family == TINY[name]
    assert (spec.n_layers, spec.hidden, spec.n_heads) == (LAYERS, HIDDEN, HEADS)
    assert spec.intermediate == (4 * HIDDEN if name == "gpt2" else INTERMEDIATE)
    two_stacks = {"t5": 2, "flan-t5": 3, "bart": 2}
    assert spec.n_decoder_layers == two_stacks.get(name, 0)
    assert spec.depth == LAYERS + two_stacks.get(name, 0)
    assert spec.n_kv_heads in {0, 1}
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert spec.vocabulary == model.get_input_embeddings().num_embeddings
    assert spec.n_params == sum(p.numel() for n, p in model.named_parameters() if n not in info["missing_keys"])
    if spec.family == "encoder-decoder":
        blocks = getattr(model.decoder, "block", None) or model.decoder.layers
        assert spec.n_params_decoder == sum(p.numel() for p in blocks.parameters())


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "t5"}, "encoder-decoder"),
        ({"model_type": "bart", "is_encoder_decoder": True, "architectures": ["BartModel"]}, "encoder-decoder"),
        ({"model_type": "of-tomorrow", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"]}, "encoder"),
        ({"model_type": "bert", "is_decoder": False}, "encoder"),
        ({"model_type": "bert", "is_decoder": True, "architectures": ["BertLMHeadModel"]}, "decoder"),
        ({"model_type": "xlnet", "architectures": ["XLNetLMHeadModel"]}, "encoder"),
        ({"model_type": "canine"}, "encoder"),
        ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}, "decoder"),
        ({"model_type": "modernbert-decoder"}, "decoder"),
        ({"model_type": "of-tomorrow", "architectures": ["TomorrowForCausalLM"]}, "decoder"),
        ({"model_type": "of-tomorrow", "architectures": ["TomorrowForMaskedLM"]}, "encoder"),
        ({}, "encoder"),
    ],
)
def test_the_family_follows_the_configuration(config, family):
    assert family_of(config) == family


def test_the_catalogue_agrees():
    rows = [row for row in read_rows() if "config" in row and "family" in row]
    assert len(rows) > 60
    assert {row["name"] for row in rows if family_of(row["config"]) != row["family"]} == set()


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_read_as_transformers_has_them(table):
    from transformers.models.auto import modeling_auto

    assert model_types(table) == frozenset(getattr(modeling_auto, TABLES[table]))
    assert len(model_types(table)) > 20


def test_families_are_told_without_importing_transformers():
    code = (
        "import sys; from xautolm.space.families import family_of, has_head; "
        "assert family_of({'model_type': 'gpt2'}) == 'decoder' and not has_head('bart', 'tokens'); "
        "heavy = {'torch', 'transformers'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_transformers_that_cannot_be_read_decides_nothing(monkeypatch):
    monkeypatch.setattr("xautolm.space.families._tables", lambda: "")
    model_types.cache_clear()
    try:
        assert family_of({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}) == "decoder"
        assert family_of({"model_type": "bert", "architectures": ["BertForMaskedLM"]}) == "encoder"
        assert has_head("bart", "tokens")
    finally:
        model_types.cache_clear()


@pytest.mark.parametrize("missing", ["encoder", "decoder"])
def test_half_of_an_encoder_decoder_is_refused(missing, tiny_model, tmp_path):
    from safetensors.numpy import load_file, save_file

    source = tiny_model("t5")
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = {n: w for n, w in load_file(source / "model.safetensors").items() if not n.startswith(missing)}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"found none of the {missing}"):
        read_model(tmp_path, "half")


def test_facts_follow_the_head_that_a_model_gets(tiny_model):
    llama, t5, bert = (read_model(tiny_model(name), name) for name in ("llama", "t5", "bert"))
    table = llama.vocabulary * HIDDEN
    writing = fitted_to(llama, "text")
    assert writing.n_params == llama.n_params + table  # Llama's own head is no copy of its embeddings
    assert writing.n_params_embedding == llama.n_params_embedding + table
    assert fitted_to(writing, "text") == writing
    assert fitted_to(t5, "text").n_params == t5.n_params
    tagging = fitted_to(t5, "tokens")
    assert (tagging.depth, tagging.n_params) == (LAYERS, t5.n_params - t5.n_params_decoder)
    assert fitted_to(bert, "sequence").poolings == ("mean", "first")
    assert fitted_to(bert, "spans").poolings == ("native",)


@pytest.mark.slow
def test_every_configuration_class_of_transformers_tells_its_family():
    """Configurations as they are saved, read back as files: what a table of heads says of them is what we say."""
    from transformers import CONFIG_MAPPING

    from xautolm.space.config_keys import find_figure

    masked, causal, two = (model_types(name) for name in ("masked", "causal", "seq2seq"))
    n_checked, wrong, unread = 0, {}, {}
    for kind in sorted((masked | causal | two) - _NO_TEXT_CONFIG):
        try:
            config = CONFIG_MAPPING[kind]()
            saved = json.loads(config.to_json_string(use_diff=True))
        except Exception:  # noqa: BLE001 - whatever a class wants that it did not get
            continue
        if kind in two or config.is_encoder_decoder:
            expected = "encoder-decoder"
        elif getattr(config, "is_decoder", False):
            expected = "decoder"
        else:
            expected = "encoder" if kind in masked or kind == "xlnet" else "decoder"
        n_checked += 1
        if family_of(saved) != expected:
            wrong[kind] = family_of(saved)
        missing = [figure for figure in ("hidden", "n_layers", "n_heads") if find_figure(saved, figure) is None]
        if missing and has_head(kind, "sequence"):
            unread[kind] = missing
    assert n_checked > 150
    assert wrong == {}
    assert set(unread) <= _UNREAD
