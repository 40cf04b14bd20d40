"""The profile benchmark: files become tables and JSON, large data are measured, the page explains every feature."""

from __future__ import annotations

import doctest
import gzip
import json
import re
from pathlib import Path

import pytest

from benchmarks import profiles
from benchmarks.overhead import Figure
from benchmarks.profiles import CLASSIFICATION, QUESTIONS, Case, main, make_task, measure_case
from xautolm.metafeatures import PUBLISHED_CLASSIFICATION, PUBLISHED_GENERATION, profile_task
from xautolm.tasks import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "profiles.md"
FEATURES = {
    "classification": tuple(profile_task(make_task(Case("", 20, 30), n_words=50))),
    "generation": tuple(profile_task(make_task(Case("", 20, 30, "question-answering"), n_words=50))),
}


def write_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir()
    for split in ("train", "validation"):
        with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row | {"id": split}) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_rows(
        folder / "trec", [{"text": f"{split} word {i}", "label": "ab"[i % 2]} for split in "xy" for i in range(40)]
    )
    context, answers = "Anna came in 2007.", {"text": ["Anna"], "answer_start": [0]}
    questions = [{"context": f"{context} {i}", "question": f"Who came {i}?", "answers": answers} for i in range(60)]
    write_rows(folder / "squad", questions)
    return folder


def test_a_table_per_kind_of_task_is_printed_written_and_put_into_the_page(data, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("a <!-- classification -->old<!-- /classification --> b <!-- generation --><!-- /generation --> c")
    out = tmp_path / "out.json"

    assert main(["--data", str(data), "--no-semantic", "--docs", str(page), "--json", str(out)]) == 0

    of_labels, of_answers = capsys.readouterr().out.strip().split("\n\n")
    assert of_labels.splitlines()[0] == "| | trec |"
    assert of_answers.splitlines()[0] == "| | squad |"
    assert "| `span_share` | 1 |" in of_answers.splitlines()
    assert of_labels in page.read_text()
    assert of_answers in page.read_text()
    assert "old" not in page.read_text()
    document = json.loads(out.read_text())
    assert document["sets"]["trec"]["features"]["n_classes"] == 2
    assert document["sets"]["squad"]["schema"] == "generation/1"
    assert {"commit", "versions", "machine", "load_average"} <= document.keys()


def test_a_folder_without_data_sets_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path)])
    assert "expected folders such as `sst2`" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_made_data_have_the_size_that_is_asked_for(kind):
    task = make_task(Case("", 30, 700, kind), n_words=500)
    documents = task.train.pairs or task.train.texts

    assert len(documents) == 30
    assert {len(document) for document in documents} == {700}
    assert 100 < len({word for document in documents for word in document.split()}) <= 600
    if task.train.answers is not None:
        assert all(pair.startswith(a.text, a.start) for pair, (a,) in zip(documents, task.train.answers, strict=True))
    assert task.train == make_task(Case("", 30, 700, kind), n_words=500).train
    asked = next(column for column in (task.train.answers, task.train.targets, task.train.labels) if column)
    assert len(asked) == 30


def test_a_case_is_measured_in_time_and_memory():
    found = measure_case(Case("", 20, 50))

    assert found["s"] > 0
    assert found["peak_mib"] > 20


def test_a_figure_on_the_wrong_side_of_its_bound_fails_the_command(capsys, monkeypatch):
    monkeypatch.setattr(profiles, "measure_large", lambda cases: [Figure("rows: time", 31.0, "s", 30.0)])

    assert main(["--large"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "| rows: time | 31.00 s | at most 30 s | NOT MET |"


def test_the_case_that_is_promised_has_its_bounds():
    promised = next(case for case in profiles.LARGE if case.n_rows == 120_000)

    assert (promised.n_chars, promised.most_s, promised.most_mib) == (240, 30.0, 1536.0)


def test_numbers_in_words():
    assert doctest.testmod(profiles).failed == 0


def tables_of(schema: str) -> tuple[str, str]:
    """The definitions of a schema in the page, and its measured table."""
    text = PAGE.read_text(encoding="utf-8")
    definitions, _, rest = text.partition(f"<!-- {schema} -->")
    return definitions.rpartition("\n## ")[2], rest.partition(f"<!-- /{schema} -->")[0].strip()


@pytest.mark.parametrize("schema", ["classification", "generation"])
def test_the_page_explains_every_feature_and_shows_it_for_every_data_set(schema):
    definitions, measured = tables_of(schema)
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", definitions, re.MULTILINE)))
    header, _, *rows = measured.splitlines()

    assert sorted(named) == sorted(FEATURES[schema])
    assert header == f"| | {' | '.join(CLASSIFICATION if schema == 'classification' else QUESTIONS)} |"
    assert tuple(row.split("`")[1] for row in rows) == FEATURES[schema]
    assert re.search(r"\b(nan|inf)\b", measured) is None


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("multi-label", "Multi-label"),
        ("text-regression", "Text regression"),
        ("token-classification", "Token classification"),
    ],
)
def test_the_page_explains_what_other_kinds_have_beside_the_features_of_texts(kind, title):
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)))
    features = set(profile_task(make_task(Case("", 20, 30, kind), n_words=50)))
    of_texts = features & set(FEATURES["classification"]) - set(named)

    assert sorted(features - of_texts) == sorted(named)
    assert not [name for name in of_texts if "class" in name or "label" in name or "landmark" in name]


def test_published_features_come_first_in_the_page():
    for schema, published in (("classification", PUBLISHED_CLASSIFICATION), ("generation", PUBLISHED_GENERATION)):
        assert FEATURES[schema][: len(published)] == published
