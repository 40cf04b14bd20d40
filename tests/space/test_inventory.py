"""What a user can choose from: what is on this machine as it is, the rest as the catalogue has it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from model_folders import MakeModel

from xautolm import zoo
from xautolm.errors import ModelError
from xautolm.space.catalogue import EMBEDDED_MODELS, embedded_folder, read_model
from xautolm.space.figures import ModelFigures, figures_of, known_models
from xautolm.space.inventory import expected_spec, offers, unknown_size

N_HERE = len(EMBEDDED_MODELS) + len(zoo.folders())
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's library."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def put_into_cache(cache: Path, name: str, model: Path) -> None:
    """As a download of the main branch would."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(model, repository / "snapshots" / COMMIT)


def test_all_that_can_be_named_is_there_once_what_is_here_first(hub_cache: Path) -> None:
    offered = offers()
    names = [offer.name for offer in offered]

    assert names[: len(EMBEDDED_MODELS)] == list(EMBEDDED_MODELS)
    assert {offer.place for offer in offered[: len(EMBEDDED_MODELS)]} == {"package"}
    assert names[len(EMBEDDED_MODELS) : N_HERE] == list(zoo.folders())
    assert len(names) == len(set(names)) == len(known_models()) - 1 + N_HERE
    assert "sentence-transformers/all-MiniLM-L6-v2" not in names  # it is the embedded one
    assert {offer.place for offer in offered[N_HERE:]} == {None}


def test_only_a_model_whose_size_nobody_states_has_no_estimates(hub_cache: Path) -> None:
    unknown = unknown_size(offers())

    assert set(unknown) == {name for name, figures in known_models().items() if figures.n_params is None}
    assert "jhu-clsp/mmBERT-base" in unknown


def test_figures_of_the_catalogue_are_those_of_the_files() -> None:
    for name in EMBEDDED_MODELS:
        figures = figures_of(name)
        assert figures is not None
        expected, (found,) = expected_spec(figures), offers([name])
        assert expected is not None
        assert found.spec is not None
        # the tokenizer of the package allows 512 tokens, the card of the hub's copy 256
        known = {"name": name, "path": found.spec.path, "revision": found.spec.revision, "context": found.spec.context}
        assert replace(expected, **known) == found.spec


def test_a_folder_is_described_by_its_files(make_model: MakeModel, hub_cache: Path) -> None:
    folder = make_model()
    whole, cut = offers([str(folder), f"{folder}@2"])

    assert (whole.place, whole.figures.n_layers, cut.figures.n_layers) == ("folder", 4, 2)
    assert (whole.figures.family, whole.figures.hidden, whole.figures.licence) == ("encoder", 8, None)
    assert whole.spec == read_model(folder, "tiny")


def test_models_of_the_zoo_come_with_the_package(monkeypatch: pytest.MonkeyPatch, make_model: MakeModel) -> None:
    folder = make_model("somewhere")
    monkeypatch.setattr("xautolm.zoo.folders", lambda: {zoo.CAUSAL: folder})
    monkeypatch.setattr("xautolm.space.catalogue.zoo_folder", lambda name: folder)
    found = next(offer for offer in offers() if offer.name == zoo.CAUSAL)

    assert found.place == "package"
    assert found.spec == read_model(folder, zoo.CAUSAL)


@pytest.mark.parametrize(
    ("card", "languages", "licence"),
    [
        ("---\nlicense: mit\nlanguage:\n- en\n- de\n---\n# A model\n", ("en", "de"), "mit"),
        ("---\nlicense: apache-2.0\nlanguage: fr\n---\n", ("fr",), "apache-2.0"),
        ("# A model\n---\nlicense: mit\n---\n", (), None),
        ("---\n: [\n---\n", (), None),
        ("---\n- mit\n---\n", (), None),
    ],
)
def test_a_folder_with_a_card_has_its_languages_and_licence(
    make_model: MakeModel, card: str, languages: tuple[str, ...], licence: str | None
) -> None:
    folder = make_model()
    (folder / "README.md").write_text(card)
    (found,) = offers([str(folder)])

    assert (found.figures.languages, found.figures.licence) == (languages, licence)
    places = {name: place for name, place in found.figures.sources.items() if place.startswith("doc: ")}
    assert set(places) == {name for name, value in (("languages", languages), ("licence", licence)) if value}
    assert set(places.values()) <= {f"doc: {folder.resolve() / 'README.md'}"}
    assert found.figures.sources["n_params"] == f"config: {folder.resolve()}"


def test_a_model_in_the_cache_is_here_at_the_commit_that_was_downloaded(make_model: MakeModel, hub_cache: Path) -> None:
    put_into_cache(hub_cache, "acme/new", make_model())
    found = next(offer for offer in offers() if offer.place == "cache")

    assert found.name == "acme/new"
    assert found.spec is not None
    assert found.spec.revision == COMMIT


def test_a_model_of_the_catalogue_in_the_cache_keeps_its_licence_and_is_listed_once(
    make_model: MakeModel, hub_cache: Path
) -> None:
    put_into_cache(hub_cache, "google-bert/bert-base-uncased", make_model())
    named = [offer for offer in offers() if "bert-base-uncased" in offer.name and "distil" not in offer.name]

    assert [(offer.name, offer.place) for offer in named] == [("google-bert/bert-base-uncased", "cache")]
    assert (named[0].figures.licence, named[0].figures.n_layers) == ("apache-2.0", 4)


def test_what_is_broken_on_this_machine_is_told_and_hides_nothing_else(make_model: MakeModel, hub_cache: Path) -> None:
    broken = make_model("broken")
    (broken / "model.safetensors").unlink()
    put_into_cache(hub_cache, "acme/pickled", broken)
    folder, cached = offers([str(broken), "acme/pickled"])

    assert "model.safetensors" in folder.problem
    assert "model.safetensors" in cached.problem
    assert (folder.spec, cached.spec) == (None, None)
    assert len(offers()) == len(known_models()) - 1 + N_HERE + 1
    assert unknown_size((folder, cached)) == ()


def test_names_of_the_hub_are_taken_at_their_word_and_paths_are_not(hub_cache: Path, tmp_path: Path) -> None:
    new, gpt2 = offers(["acme/new", "gpt2"])

    assert (new.spec, new.place, new.problem) == (None, None, "")
    assert gpt2.spec is not None
    assert gpt2.spec.n_params == 124_439_808
    with pytest.raises(ModelError, match="there is no folder"):
        offers([str(tmp_path / "nothing-here")])


def test_a_cut_of_a_hub_model_is_judged_by_its_own_size(hub_cache: Path) -> None:
    whole, cut, impossible = offers(["bert-base-uncased", "bert-base-uncased@3", "gpt2@3"])

    assert cut.spec is not None
    assert whole.spec is not None
    assert (cut.spec.n_layers, cut.spec.is_cut, cut.spec.poolings) == (3, True, ("mean",))
    assert cut.spec.n_params == whole.spec.n_params - 9 * 7_087_872
    assert impossible.spec is None


def test_unknown_context_is_the_usual_one_and_missing_figures_are_not_invented() -> None:
    t5 = figures_of("google/flan-t5-xl")
    assert t5 is not None
    spec = expected_spec(t5)

    assert spec is not None
    assert spec.context == 512
    assert expected_spec(replace(t5, n_heads=None)) is None
    assert expected_spec(ModelFigures("acme/new")) is None


def test_the_damaged_embedded_model_does_not_hide_the_others(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise ModelError("not installed")

    assert embedded_folder().is_dir()
    monkeypatch.setattr("xautolm.space.catalogue.embedded_folder", missing)
    offered = offers()

    assert [offer.problem for offer in offered[:3]] == ["not installed"] * 3
    assert len(offered) > 100
