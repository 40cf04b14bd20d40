"""Text generation data: sources and references, cuts, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from xautolm.data.load import load_task
from xautolm.data.summary import summarise, summary_lines
from xautolm.errors import DataError, UsageError
from xautolm.records import Answer

KIND = "text-generation"


def rows(n=60, **changes):
    return [{"document": f"A long story, number {i}.", "summary": f"Story {i}."} | changes for i in range(n)]


def lines(path, records):
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def splits(task):
    return [split for split in (task.train, task.validation, task.test) if split]


def asked(task):
    return {t: a for split in splits(task) for t, a in zip(split.texts, split.answers, strict=True)}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
def test_source_and_target_of_all_formats(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    frame = pd.DataFrame(rows())
    if suffix == "jsonl":
        lines(path, rows())
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    task = load_task(str(path), kind=KIND)
    assert (task.kind, task.labels, task.columns) == (KIND, (), {"text": "document", "target": "summary"})
    assert asked(task) == {row["document"]: (Answer(row["summary"]),) for row in rows()}
    assert {(split.labels, split.pairs, split.targets) for split in splits(task)} == {((), None, None)}
    assert task.fingerprint == load_task(lines(tmp_path / "same.jsonl", rows()), kind=KIND).fingerprint


@pytest.mark.parametrize(
    ("source", "target"),
    [("source", "target"), ("text", "answer"), ("input", "output"), ("prompt", "response"), ("article", "highlights")],
)
def test_usual_names_are_guessed(tmp_path, source, target):
    records = [{"id": i, source: row["document"], target: row["summary"]} for i, row in enumerate(rows())]
    assert load_task(lines(tmp_path / "x.jsonl", records), kind=KIND).columns == {"text": source, "target": target}


@pytest.mark.parametrize("summary", [None, ["one", "two"]])
def test_a_summary_is_guessed_and_said(tmp_path, summary):
    records = [{**row, "summary": row["summary"] if summary is None else [row["summary"], *summary]} for row in rows()]
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert task.kind == KIND
    assert task.warnings[0].startswith("column `summary` holds texts to be written: the task is taken as")


def test_a_column_of_few_texts_or_beside_a_label_is_no_text_to_be_written(tmp_path):
    few = [{**row, "summary": "good" if i % 2 else "bad"} for i, row in enumerate(rows())]
    assert load_task(lines(tmp_path / "x.jsonl", few)).labels == ("bad", "good")
    beside = [{**row, "label": i % 2} for i, row in enumerate(rows())]
    assert load_task(lines(tmp_path / "y.jsonl", beside), text="document").labels == (0, 1)
    assert load_task(lines(tmp_path / "z.jsonl", beside)).kind == "text-classification"


def test_named_columns_win_and_contradictions_are_refused(tmp_path):
    data = lines(tmp_path / "x.jsonl", [{**row, "notes": "n", "long": "l"} for row in rows()])
    task = load_task(data, kind=KIND, text="notes", columns={"target": "document"}, valid=data, test=data)
    assert task.columns == {"text": "notes", "target": "document"}
    with pytest.raises(UsageError, match="two columns were named for `text`"):
        load_task(data, kind=KIND, text="notes", columns={"text": "long"})
    with pytest.raises(UsageError, match="knows the roles `text`, `target` for `text-generation`, came 'text_pair'"):
        load_task(data, kind=KIND, columns={"text_pair": "long"})
    with pytest.raises(UsageError, match="two roles"):
        load_task(data, kind=KIND, text="notes", target="notes")


def test_several_references_and_numbers(tmp_path):
    records = rows()
    records[0]["summary"] = ["first", "second", "first", " "]
    records[1]["summary"] = 42
    found = asked(load_task(lines(tmp_path / "x.jsonl", records), kind=KIND))
    assert found[records[0]["document"]] == (Answer("first"), Answer("second"))
    assert found[records[1]["document"]] == (Answer("42"),)


def test_brackets_in_a_csv_file_are_text(tmp_path):
    pd.DataFrame(rows(summary='["a", "b"]')).to_csv(tmp_path / "x.csv", index=False)
    assert set(asked(load_task(str(tmp_path / "x.csv"), kind=KIND)).values()) == {(Answer('["a", "b"]'),)}


@pytest.mark.parametrize("nothing", [None, "", "  ", [], ["", " "], float("nan")])
def test_rows_without_target_are_dropped_and_counted(tmp_path, nothing):
    records = rows()
    records[3]["summary"], records[4]["document"] = nothing, " "
    task = load_task(lines(tmp_path / "x.jsonl", records), kind=KIND)
    assert len(asked(task)) == 58
    assert any("dropped 2 rows of 60" in w and "1 without text, 1 without target" in w for w in task.warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"summary": None}, "60 of 60 rows cannot be used (0 without text, 60 without target)"),
        ({"summary": True}, "holds bool values, expected a text or a list of accepted texts"),
        ({"summary": {"a": 1}}, "holds dict values"),
        ({"document": ["a"]}, "holds list values, expected text"),
    ],
)
def test_what_cannot_be_written_or_read_is_refused(tmp_path, change, said):
    with pytest.raises(DataError) as caught:
        load_task(lines(tmp_path / "x.jsonl", rows(**change)), kind=KIND)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700


def test_rows_about_one_source_stay_together(tmp_path):
    records = rows(300) + [{**row, "document": row["document"].upper(), "summary": "other"} for row in rows(300)]
    task = load_task(lines(tmp_path / "x.jsonl", records), kind=KIND)
    sources = [{text.lower() for text in split.texts} for split in splits(task)]
    assert [split.n_rows for split in splits(task)] == [480, 60, 60]
    assert not sources[0] & (sources[1] | sources[2])
    assert not sources[1] & sources[2]


def test_a_text_target_of_classification_is_pointed_to_generation(tmp_path):
    records = [{"text": row["document"], "label": row["summary"]} for row in rows()]
    with pytest.raises(DataError, match="say `--task text-generation`"):
        load_task(lines(tmp_path / "x.jsonl", records))


def test_fingerprint_sees_references_and_their_order(tmp_path):
    tables = [rows(), rows(summary=["a", "b"]), rows(summary=["b", "a"]), rows(summary="a"), rows()]
    assert len({load_task(lines(tmp_path / "x.jsonl", table), kind=KIND).fingerprint for table in tables}) == 4


def test_summary_tells_how_long_targets_are(tmp_path):
    path = lines(tmp_path / "x.jsonl", [*rows(59), *rows(1, summary=["a b c d e", "f"])])
    printed = summary_lines(summarise(load_task(path, valid=path, test=path, kind=KIND), np.full(60, 9)))
    assert printed[0].endswith("text in `document`, target in `summary`")
    assert printed[1] == "Targets   words per text: median 2, 90 % up to 2, longest 5; 1.02 texts per row"
