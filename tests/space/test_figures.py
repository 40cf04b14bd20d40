"""Every figure of the catalogue has a source, and what is counted on a configuration can be counted again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from tiny_families import TINY

from benchmarks import catalogue
from xautolm.experience.importers.published import ENCODERS, GENERATORS, model_of
from xautolm.records import Family
from xautolm.space.catalogue import embedded_folder, read_model
from xautolm.space.figures import COUNTED, figures_of, known_models, read_rows

PAPER_STORE = Path(__file__).parents[2] / "../shared/paper-store"
ROWS = {row["name"]: row for row in read_rows()}
#: `method.md` 3.1: listed by the authors, absent from their registry.
ABSENT = [f"google/gemma-3-{size}-{kind}" for size in ("1b", "4b", "12b", "27b") for kind in ("pt", "it")] + [
    "mistralai/Mistral-7B-Instruct-v0.1",
    "mistralai/Mistral-7B-Instruct-v0.2",
    "mistralai/Mistral-Nemo-Base-2407",
    "mistralai/Mistral-Nemo-Instruct-2407",
    "mistralai/Mixtral-8x7B-v0.1",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
]
DOCUMENTED = {"context", "languages", "licence", "gated"}
#: One of each kind of architecture, small enough for every test run.
SAMPLE = [
    "bert-base-uncased",
    "distilbert-base-cased",
    "roberta-base",
    "albert-xxlarge-v1",
    "google/electra-small-discriminator",
    "microsoft/mdeberta-v3-base",
    "google-t5/t5-small",
    "facebook/bart-base",
    "gpt2",
    "HuggingFaceTB/SmolLM2-135M",
    "camembert-base",
    "jhu-clsp/mmBERT-small",
    "google/mt5-small",
    "google/flan-t5-small",
    "Qwen/Qwen2.5-0.5B",
    "Qwen/Qwen3-0.6B",
    "microsoft/Phi-4-mini-instruct",
    "google/gemma-3-1b-pt",
]
#: What somebody who fine-tunes today expects to find, besides the published registry (issue 6).
EXPECTED = [
    "answerdotai/ModernBERT-base",
    "microsoft/deberta-v3-large",
    "xlm-roberta-base",
    "jhu-clsp/mmBERT-base",
    "intfloat/multilingual-e5-small",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "Qwen/Qwen3-1.7B",
    "Qwen/Qwen2.5-0.5B-Instruct",
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.3-70B-Instruct",
    "google/flan-t5-small",
    "facebook/bart-large",
]

#: Parameters that others publish by the same definition: keras-hub 0.32.0 (`metadata` of its presets), for XLM-RoBERTa
#: mteb 2.26.24 (`n_parameters`).
PUBLISHED = {
    "bert-base-uncased": 109_482_240,
    "bert-base-cased": 108_310_272,
    "bert-base-multilingual-cased": 177_853_440,
    "bert-base-chinese": 102_267_648,
    "bert-large-uncased": 335_141_888,
    "bert-large-cased": 333_579_264,
    "distilbert-base-uncased": 66_362_880,
    "distilbert-base-cased": 65_190_912,
    "distilbert-base-multilingual-cased": 134_734_080,
    "sentence-transformers/all-MiniLM-L6-v2": 22_713_216,
    "intfloat/multilingual-e5-small": 117_653_760,
    "albert-base-v1": 11_683_584,
    "albert-large-v1": 17_683_968,
    "albert-xlarge-v1": 58_724_864,
    "albert-xxlarge-v1": 222_595_584,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "google-t5/t5-small": 60_506_624,
    "google-t5/t5-base": 222_903_552,
    "google-t5/t5-large": 737_668_096,
    "google/flan-t5-large": 750_251_008,
    "microsoft/deberta-v3-base": 183_831_552,
    "microsoft/deberta-v3-small": 141_304_320,
    "microsoft/deberta-v3-xsmall": 70_682_112,
    "microsoft/deberta-v3-large": 434_012_160,
    "microsoft/mdeberta-v3-base": 278_218_752,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "google/gemma-3-1b-it": 999_885_952,
    "xlm-roberta-base": 278_043_648,
    "xlm-roberta-large": 559_890_432,
}
#: Of keras-hub as well, with an output head of its own.
PUBLISHED_WITH_HEAD = {
    "google/flan-t5-small": 76_961_152,
    "google/flan-t5-base": 247_577_856,
    "google/flan-t5-xl": 2_849_757_184,
    "google/flan-t5-xxl": 11_135_332_352,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.2-1B": 1_498_482_688,
    "meta-llama/Llama-3.2-3B": 3_606_752_256,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "Qwen/Qwen3-8B": 8_190_735_360,
}


def is_count(value: object) -> bool:
    return type(value) is int and value > 0


@pytest.mark.parametrize("name", ROWS)
def test_rows_have_the_schema(name: str) -> None:
    row = ROWS[name]

    assert re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
    assert set(row) <= {"name", "aliases", "family", "config", "sources", *COUNTED, *DOCUMENTED}
    assert row.get("family") in {None, "encoder", "decoder", "encoder-decoder"}
    assert all(is_count(row[figure]) for figure in (*COUNTED, "context") if figure in row)
    assert ("config" in row) == ("family" in row) == ("n_params" in row)
    assert "config" not in row or isinstance(row["config"]["model_type"], str)
    assert all(re.fullmatch(r"[a-z]{2,3}|multilingual", language) for language in row.get("languages", ()))
    assert type(row.get("gated", True)) is bool


@pytest.mark.parametrize("name", ROWS)
def test_every_figure_has_a_source_and_every_source_a_figure(name: str) -> None:
    figures, row = known_models()[name], ROWS[name]
    known = set(figures.__dataclass_fields__) - {"name", "sources", *figures.unknown}

    assert set(figures.sources) == known
    assert all(re.match(r"(config|doc): \S", place) for place in figures.sources.values())
    assert set(row["sources"]) == {key for key in ("config", *DOCUMENTED) if key in row}
    assert all(place.strip() == place and place for place in row["sources"].values())


def test_names_are_unique() -> None:
    names = [name for row in read_rows() for name in (row["name"], *row.get("aliases", ()))]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*ENCODERS, *GENERATORS, *ABSENT, *EXPECTED])
def test_models_that_are_expected_are_there(name: str) -> None:
    assert name in known_models()


def test_models_of_every_family_and_of_several_languages_can_be_compared_by_size() -> None:
    sized = [model for model in known_models().values() if model.n_params is not None]
    languages = {language for model in sized for language in model.languages}

    assert len(sized) >= 40
    assert all(sum(model.family == family for model in sized) >= 10 for family in get_args(Family))
    assert languages >= {"en", "es", "de", "fr", "zh", "multilingual"}


def test_every_model_of_the_published_evaluations_is_there() -> None:
    if not PAPER_STORE.is_dir():
        pytest.skip(f"the published evaluations are not on this machine: {PAPER_STORE}")
    lines = [line for file in PAPER_STORE.glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
    classes = {json.loads(line)["model"] for line in lines}

    assert len(classes) == 60
    assert [name for name in classes if figures_of(model_of(name)) is None] == []


def test_families_are_those_that_the_published_classes_say() -> None:
    models = known_models()

    assert {models[name].family for name in ENCODERS} == {"encoder"}
    assert {models[name].family for name in GENERATORS} == {"decoder", "encoder-decoder", None}


@pytest.mark.timeout(60)  # the first one imports transformers
@pytest.mark.parametrize("name", SAMPLE)
def test_counting_again_gives_the_same(name: str) -> None:
    assert catalogue.compare([ROWS[name]]) == {}


@pytest.mark.parametrize("name", [*PUBLISHED, *PUBLISHED_WITH_HEAD])
def test_counts_are_those_that_others_published(name: str) -> None:
    figures = known_models()[name]
    assert figures.n_params is not None
    assert figures.vocabulary is not None
    assert figures.hidden is not None

    if name in PUBLISHED:
        assert figures.n_params == PUBLISHED[name]
    else:
        assert figures.n_params + figures.vocabulary * figures.hidden == PUBLISHED_WITH_HEAD[name]


@pytest.mark.timeout(60)  # the first one imports transformers
@pytest.mark.parametrize("name", TINY)
def test_counts_of_an_architecture_are_those_of_its_files(name: str, tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model(name)
    spec = read_model(folder, name)
    config = json.loads((folder / "config.json").read_text())
    shape = {
        key: value for key, value in config.items() if key not in {"architectures", "transformers_version", "dtype"}
    }
    counted = catalogue.count(shape, spec.family)
    counted.pop("n_params_layer")
    pooler = spec.hidden * (spec.hidden + 1)  # a masked language model is saved without it
    missing = counted["n_params"] - spec.n_params if counted["n_params"] else None

    assert missing in {0, pooler}
    assert {**counted, "n_params": spec.n_params} == {key: getattr(spec, key) or None for key in counted}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_counting_all_again_gives_the_same() -> None:
    assert catalogue.compare(read_rows()) == {}


def test_a_wrong_count_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ROWS["google/electra-small-discriminator"]
    wrong = {**row, "n_params": row["n_params"] + 1}
    monkeypatch.setattr(catalogue.figures, "read_rows", lambda: (wrong,))

    assert catalogue.compare([wrong])[row["name"]]["n_params"] == row["n_params"]


def test_counts_are_written_where_they_belong() -> None:
    first = '[[model]]\nname = "a"\naliases = ["b"]\nfamily = "encoder"\nn_params = 1\nconfig = {}\n\n'
    text = first + '[[model]]\nname = "c"\nfamily = "decoder"\n'
    counts = {"a": {"n_params": 1_200, "n_params_layer": None}, "c": {"n_params": 3}}

    written = catalogue.rewrite(text, counts)

    assert written == text.replace("n_params = 1\n", "n_params = 1_200\n") + "n_params = 3\n"
    assert catalogue.rewrite(written, counts) == written


@pytest.mark.parametrize("keep_layers", [1, 3, 6])
def test_a_cut_model_has_the_figures_that_its_weights_say(keep_layers: int) -> None:
    spec = read_model(embedded_folder(), "all-MiniLM-L6-v2", keep_layers=keep_layers)
    figures = figures_of(f"all-MiniLM-L6-v2@{keep_layers}")

    assert figures is not None
    assert (figures.n_params, figures.n_params_embedding) == (spec.n_params, spec.n_params_embedding)
    assert (figures.n_layers, figures.hidden, figures.n_heads) == (spec.n_layers, spec.hidden, spec.n_heads)
    assert (figures.intermediate, figures.vocabulary) == (spec.intermediate, spec.vocabulary)
    assert figures.model_type == spec.model_type


@pytest.mark.parametrize("name", ["acme/new", "bert-base-uncased@13", "bert-base-uncased@0", "gpt2@2", "@3", ""])
def test_models_that_are_unknown_or_cannot_be_cut_have_no_figures(name: str) -> None:
    assert figures_of(name) is None


def test_a_model_without_sources_has_no_figures() -> None:
    figures = figures_of("mistralai/Mistral-Nemo-Instruct-FP8-2407")

    assert figures is not None
    assert (figures.family, figures.n_params, figures.context, figures.gated) == (None, None, None, None)
    assert figures.sources == {}


def test_positions_that_hold_no_token_are_no_context() -> None:
    models = known_models()

    assert (models["roberta-base"].context, models["pysentimiento/robertuito-base-uncased"].context) == (512, 128)
    assert models["google/flan-t5-xxl"].context is None


def test_figures_can_be_read_without_the_training_stack(tmp_path: Path) -> None:
    code = (
        "import sys; from xautolm.space.figures import figures_of\n"
        "assert figures_of('gpt2').n_layers == 12\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'sklearn', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_catalogue_cannot_be_changed_by_its_readers() -> None:
    models: Any = known_models()

    with pytest.raises(TypeError):
        models["gpt2"] = None
    with pytest.raises(TypeError):
        models["gpt2"].sources["n_params"] = "here"
