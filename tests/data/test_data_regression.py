"""Regression data: numbers and what is none, guesses, cuts over the whole range."""

import json

import numpy as np
import pandas as pd
import pytest

from xautolm.data.load import load_task
from xautolm.data.summary import summarise, summary_lines
from xautolm.errors import DataError

KIND = "text-regression"


def frame_of(n=60, start=0):
    """Texts with 23 different scores."""
    return pd.DataFrame(
        {
            "text": [f"text number {i}" for i in range(start, start + n)],
            "score": [(i % 23) / 4 for i in range(n)],
        }
    )


def save(path, frame):
    writers = {"csv": frame.to_csv, "parquet": frame.to_parquet}
    suffix = path.name.split(".")[-1]
    if suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    else:
        writers[suffix](path, index=False)
    return str(path)


def splits(task):
    return [split for split in (task.train, task.validation, task.test) if split]


def scores_of(task):
    return {text: score for split in splits(task) for text, score in zip(split.texts, split.targets, strict=True)}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_numbers_of_all_formats_give_the_same_task(tmp_path, suffix):
    frame = frame_of()
    task = load_task(save(tmp_path / f"x.{suffix}", frame), kind=KIND)
    assert (task.kind, task.labels, task.columns) == (KIND, (), {"text": "text", "target": "score"})
    assert scores_of(task) == dict(zip(frame["text"], frame["score"], strict=True))
    assert {type(score) for split in splits(task) for score in split.targets} == {float}
    assert {len(split.labels) for split in splits(task)} == {0}
    assert task.fingerprint == load_task(save(tmp_path / "same.jsonl", frame), kind=KIND).fingerprint


def test_pairs_with_a_score_are_guessed_and_said(tmp_path):
    frame = frame_of().rename(columns={"text": "sentence1"}).assign(sentence2="another text", idx=range(60))
    task = load_task(save(tmp_path / "x.csv", frame))
    assert task.kind == KIND
    assert task.columns == {"text": "sentence1", "text_pair": "sentence2", "target": "score"}
    assert task.is_pair
    assert task.warnings[0] == (
        "column `score` holds real numbers: the task is taken as `text-regression` (`--task` names another kind)"
    )


def test_a_label_column_of_many_real_numbers_is_guessed(tmp_path):
    assert load_task(save(tmp_path / "x.jsonl", frame_of().rename(columns={"score": "label"}))).kind == KIND


@pytest.mark.parametrize("values", [[0.5, 1.0, 2.5], list(range(30)), [1.0, 2.0], ["0.5", "high"]])
def test_few_or_whole_numbers_stay_classes(tmp_path, values):
    frame = pd.DataFrame({"text": [f"t {i}" for i in range(90)], "label": (values * 90)[:90]})
    assert load_task(save(tmp_path / "x.csv", frame)).kind == "text-classification"


def test_whole_numbers_are_scores_when_the_kind_is_given(tmp_path):
    frame = frame_of().assign(score=range(60))
    assert sorted(scores_of(load_task(save(tmp_path / "x.csv", frame), kind=KIND)).values()) == list(range(60))


def test_few_values_that_are_no_numbers_are_dropped_and_shown(tmp_path):
    frame = frame_of().astype({"score": object})
    frame.loc[3, "score"], frame.loc[8, "score"], frame.loc[9, "score"] = "n/a", "1,5", ""
    frame.loc[10, "score"] = "inf"
    path = tmp_path / "x.csv"
    task = load_task(save(path, frame), kind=KIND)
    assert len(scores_of(task)) == 56
    assert task.warnings[:2] == (
        f"3 values of 60 in column `score` of `{path}` cannot be read as finite numbers "
        "(row 4: 'n/a', row 9: '1,5', row 11: 'inf')",
        f"dropped 4 rows of 60 in `{path}`: 0 without text, 4 without score",
    )


def test_not_a_number_and_truth_values_in_typed_files(tmp_path):
    frame = frame_of().astype({"score": object})
    frame.loc[0, "score"], frame.loc[1, "score"] = float("nan"), True
    frame.loc[2, "score"] = 3
    task = load_task(save(tmp_path / "x.jsonl", frame), kind=KIND)
    assert scores_of(task)["text number 2"] == 3.0
    assert len(scores_of(task)) == 58
    assert any("1 value of 60" in warning and "row 2: True" in warning for warning in task.warnings)


def test_mostly_words_are_refused_with_rows_and_values(tmp_path):
    frame = frame_of().assign(score=["good", "bad", "1"] * 20)
    with pytest.raises(DataError) as caught:
        load_task(save(tmp_path / "x.csv", frame), kind=KIND)
    message = str(caught.value)
    assert "40 values of 60 in column `score`" in message
    assert "(row 1: 'good', row 2: 'bad', row 4: 'good' and 37 more)" in message
    assert "another `--task`" in message


def test_one_score_only_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has only the score 2\.0 \(60 rows\)"):
        load_task(save(tmp_path / "x.csv", frame_of().assign(score=2)), kind=KIND)


def test_every_split_covers_the_range(tmp_path):
    frame = frame_of(1000).assign(score=np.linspace(0, 5, 1000) ** 3)
    task = load_task(save(tmp_path / "x.parquet", frame))
    assert [split.n_rows for split in splits(task)] == [800, 100, 100]
    for split in (task.validation, task.test):
        tenths = np.searchsorted(np.quantile(frame["score"], np.linspace(0.1, 0.9, 9)), split.targets)
        assert np.bincount(tenths).tolist() == [10] * 10


def test_fingerprint_sees_scores_and_repeats_stay_together(tmp_path):
    frame = frame_of(300)
    changed = frame.copy()
    changed.loc[0, "score"] += 0.25
    assert (
        load_task(save(tmp_path / "a.csv", frame)).fingerprint
        != load_task(save(tmp_path / "b.csv", changed)).fingerprint
    )
    twice = pd.concat([frame, frame.assign(text=frame["text"].str.upper(), score=frame["score"] + 1)])
    task = load_task(save(tmp_path / "c.csv", twice))
    texts = [{text.lower() for text in split.texts} for split in splits(task)]
    assert not texts[0] & (texts[1] | texts[2])
    assert any("with more than one score" in warning for warning in task.warnings)


def test_summary_describes_the_scores(tmp_path):
    path = save(tmp_path / "x.csv", pd.DataFrame({"text": ["a b", "c d", "e f"], "score": [0, 1, 5]}))
    found = summarise(load_task(path, valid=path, test=path, kind=KIND), np.full(3, 4))
    assert found.class_shares == ()
    printed = summary_lines(found)
    assert printed[0].endswith("text in `text`, score in `score`")
    assert printed[1] == "Scores    from 0 to 5: mean 2, standard deviation 2.16, 3 distinct"
