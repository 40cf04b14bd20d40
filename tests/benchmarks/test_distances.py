"""What the benchmark of distances counts, on made-up profiles; on the real data sets in the slow test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.distances import (
    FORMS,
    SETS,
    distances_in_words,
    forms_in_words,
    judge,
    main,
    read_profiles,
    replace_tables,
    write_profiles,
)
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.records import Profile


def made_up(name: str, shift: float = 0.0) -> Profile:
    """A profile that says which data set it is of: pair tasks look alike, question answering has other features."""
    place = {name: i for i, name in enumerate(SETS)}["mrpc" if name == "rte" else name]
    is_rte = 0.2 if name == "rte" else 0.0
    if name in ("squad", "drop"):
        return Profile("generation/1", {"n_train": 10.0, "mean_target_chars": 20.0 + place + shift}, "system/2", {})
    task = {"n_train": 10.0, "n_classes": 10.0 * (place + 1) ** 2 + is_rte + shift}
    return Profile("classification/2", task, "system/2", {"ram_gib": 8.0})


@pytest.fixture
def whole() -> dict[str, Profile]:
    return {name: made_up(name) for name in SETS}


@pytest.fixture
def halves() -> dict[str, tuple[Profile, Profile]]:
    return {name: (made_up(name, 0.01), made_up(name, 0.02)) for name in SETS}


def test_halves_that_find_each_other_are_counted(whole, halves) -> None:
    found = judge(whole, halves, FORMS["fixed"])
    assert found.n_halves == 12
    assert found.strays == ()
    assert found.margin > 2
    assert found.pair < found.single
    assert found.are_questions_near
    assert found.is_good


def test_a_half_that_looks_like_another_set_is_named(whole, halves) -> None:
    halves["trec"] = (halves["trec"][0], replace(halves["trec"][1], task=halves["cola"][0].task))
    found = judge(whole, halves, FORMS["fixed"])
    assert found.n_halves == 10
    assert ("trec/2", "cola") in found.strays


def test_pair_tasks_that_are_nearer_to_others_are_not_good(whole, halves) -> None:
    whole["rte"] = replace(whole["rte"], task=whole["sst2"].task)
    found = judge(whole, halves, FORMS["fixed"])
    assert found.pair > found.single == pytest.approx(0.0)
    assert found.single_of == "rte and sst2"
    assert not found.is_good


def test_an_absurd_row_shrinks_only_what_scales_by_the_store(whole, halves) -> None:
    assert judge(whole, halves, FORMS["fixed"]).shrinking == pytest.approx(1.0)
    labelled = {name: both for name, both in halves.items() if name not in ("squad", "drop")}
    assert judge(whole, labelled, FORMS["published, no embedding"]).shrinking < 0.5


def test_tables_name_the_nearest_and_go_into_the_page(whole, halves, tmp_path: Path) -> None:
    distances = list(distances_in_words(whole, FORMS["fixed"]))
    assert len(distances) == 2 + len(SETS)
    row = next(line for line in distances if line.startswith("| mrpc |"))
    assert row.endswith("| rte |")
    forms = list(forms_in_words({"fixed": judge(whole, halves, FORMS["fixed"])}))
    assert forms[2].startswith("| fixed | 12 of 12 |")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- forms -->\nold\n<!-- /forms -->\nafter\n<!-- distances -->\n<!-- /distances -->\n")
    replace_tables(page, {"forms": forms, "distances": distances})
    replace_tables(page, {"forms": forms, "distances": distances})
    text = page.read_text()
    assert text.startswith("before\n<!-- forms -->\n| form |")
    assert "old" not in text
    assert text.count("\n| mrpc |") == 1
    assert "after\n<!-- distances -->" in text


def test_figures_are_json_and_profiles_are_kept(whole, halves, tmp_path: Path, capsys) -> None:
    path = tmp_path / "profiles.json"
    write_profiles(path, whole, halves)
    assert read_profiles(path) == (whole, halves)
    assert main(["--profiles", str(path), "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["forms"]["fixed"]["n_halves"] == 12
    assert figures["sets"] == list(SETS)
    assert len(figures["distances"]) == 12
    assert capsys.readouterr().out.rstrip().endswith("| squad |")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_real_halves_find_each_other_without_an_embedding(capsys: pytest.CaptureFixture[str]) -> None:
    """The harder half of the claim: by features alone."""
    if not DEFAULT_DATA.is_dir():
        pytest.skip(f"the shared data sets are not on this machine: {DEFAULT_DATA}")
    assert main(["--no-semantic"]) == 0
    assert "| fixed, no embedding | 12 of 12 |" in capsys.readouterr().out
