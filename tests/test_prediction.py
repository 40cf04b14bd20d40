"""Predictions keep the user's table and are given in the user's own words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xautolm import prediction
from xautolm.errors import DataError, ModelError
from xautolm.prediction import named, predict_file, rows_to_predict, with_predictions


def test_predictions_are_appended_in_the_labels_own_type():
    frame = pd.DataFrame({"text": ["a", "b"], "prediction": ["old", "old"]}, index=[5, 7])
    labels = [False, True]
    values = named([1, 0], "text-classification", labels)
    out = with_predictions(frame, values, np.array([[0.25, 0.75], [0.9, 0.1]]), labels)
    assert list(out.columns) == ["text", "prediction", "prob_False", "prob_True"]
    assert out["prediction"].tolist() == [True, False]
    assert out["prediction"].dtype == bool
    assert out["prob_True"].tolist() == [0.75, 0.1]
    assert with_predictions(frame.head(0), [], np.zeros((0, 2)), [0, 1]).empty


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model folder whose predictions are computed here."""
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    columns = {"text": "body", "text_pair": "title", "target": "y"}
    (folder / "xautolm.json").write_text(json.dumps({"columns": columns, "labels": ["no", "yes"]}))
    seen = {}

    def run_alone(name, fields, scratch, **_):
        seen.update(json.loads(Path(fields["rows"]).read_text()))
        np.save(scratch / "probabilities.npy", np.tile([0.2, 0.8], (len(seen["texts"]), 1)))
        (scratch / "predictions.json").write_text(json.dumps([1] * len(seen["texts"])))

    monkeypatch.setattr(prediction, "run_alone", run_alone)
    return tmp_path / "run", seen


def test_predict_file_reads_the_training_columns_and_keeps_all_others(model, tmp_path):
    folder, seen = model
    (tmp_path / "new.csv").write_text("id,body,title\n1,hello,\n2,,world\n3,12,x\n")
    n_rows = predict_file(folder, tmp_path / "new.csv", tmp_path / "out.csv", device="cpu", n_threads=1)
    assert n_rows == 3
    assert seen == {"texts": ["hello", "", "12"], "pairs": ["", "world", "x"]}
    out = pd.read_csv(tmp_path / "out.csv")
    assert list(out.columns) == ["id", "body", "title", "prediction", "prob_no", "prob_yes"]
    assert out["id"].tolist() == [1, 2, 3]
    assert out["prediction"].tolist() == ["yes"] * 3


def test_predict_file_refuses_what_it_cannot_read(model, tmp_path):
    folder, _ = model
    (tmp_path / "new.csv").write_text("body,subject\na,b\n")
    with pytest.raises(DataError, match=r"column `title`.*found `body`, `subject`"):
        predict_file(folder, tmp_path / "new.csv", tmp_path / "out.csv", device="cpu", n_threads=1)
    with pytest.raises(ModelError, match="expected a model folder"):
        predict_file(tmp_path, tmp_path / "new.csv", tmp_path / "out.csv", device="cpu", n_threads=1)
    assert not (tmp_path / "out.csv").exists()


def test_each_kind_reads_its_own_columns():
    frame = pd.DataFrame({"q": ["who?"], "c": ["me"], "w": ["a b"], "l": [["c", "d"]]})
    asked = rows_to_predict(frame, "question-answering", {"question": "q", "context": "c"}, "x")
    assert asked == {"texts": ["who?"], "pairs": ["me"]}
    for column, words in (("w", ["a", "b"]), ("l", ["c", "d"])):
        asked = rows_to_predict(frame, "token-classification", {"words": column}, "x")
        assert asked == {"texts": [" ".join(words)], "pairs": None, "words": [words]}
    with pytest.raises(DataError, match="column `missing`"):
        rows_to_predict(frame, "token-classification", {"words": "missing"}, "x")


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("jsonl", lambda p: pd.read_json(p, lines=True))])
def test_lists_of_labels_are_json_in_a_csv_and_lists_elsewhere(model, tmp_path, suffix, read, monkeypatch):
    folder, _ = model
    (folder / "model" / "xautolm.json").write_text(
        json.dumps({"columns": {"text": "text"}, "labels": ["no", "yes"], "kind": "multi-label"})
    )

    def run_alone(name, fields, scratch, **_):
        (scratch / "predictions.json").write_text(json.dumps([[0, 1], []]))

    monkeypatch.setattr(prediction, "run_alone", run_alone)
    (tmp_path / "new.jsonl").write_text('{"text": "a", "seen": ["x"]}\n{"text": "b", "seen": []}\n')
    predict_file(folder, tmp_path / "new.jsonl", tmp_path / f"out.{suffix}", device="cpu", n_threads=1)
    out = read(tmp_path / f"out.{suffix}")
    parse = json.loads if suffix == "csv" else list
    assert [parse(value) for value in out["prediction"]] == [["no", "yes"], []]
    assert [parse(value) for value in out["seen"]] == [["x"], []]
