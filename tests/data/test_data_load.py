"""`load_task`: columns, label types, splits, provenance and warnings."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from xautolm.data.columns import resolve_columns
from xautolm.data.fingerprint import file_sha256, sketch_containment
from xautolm.data.load import load_task
from xautolm.data.table import write_table


def frame_of(n=60, labels=("a", "b"), start=0):
    return pd.DataFrame(
        {
            "text": [f"text number {i}" for i in range(start, start + n)],
            "label": [labels[i % len(labels)] for i in range(n)],
        }
    )


def save(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(frame, path)
    return str(path)


def counts(task):
    return task.train.n_rows, task.validation.n_rows, task.test.n_rows if task.test else None


def pairs(task):
    """(text, label in the user's type) of all splits."""
    splits = [split for split in (task.train, task.validation, task.test) if split]
    return {(t, task.labels[y]) for split in splits for t, y in zip(split.texts, split.labels, strict=True)}


# ---- columns


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["id", "Text", "Label"], ("Text", None, "Label")),
        (["sentence", "label"], ("sentence", None, "label")),
        (["title", "review", "rating"], ("review", None, "rating")),
        (["text", "comment", "label", "label_text"], ("text", None, "label")),
        (["sentence1", "sentence2", "label", "idx"], ("sentence1", "sentence2", "label")),
        (["question1", "question2", "is_duplicate", "label"], ("question1", "question2", "label")),
        (["text", "text_pair", "label"], ("text", "text_pair", "label")),
        (["v1", "message"], ("message", None, "v1")),
        (["label", "v2"], ("v2", None, "label")),
    ],
)
def test_plain_columns_are_guessed(columns, expected):
    found = resolve_columns(columns, text=None, target=None, columns=None, where="x.csv")
    assert (found["text"], found.get("text_pair"), found["target"]) == expected


def test_named_columns_win_over_guesses():
    available = ["text", "text_pair", "label", "other"]
    named = resolve_columns(available, text="text", target="other", columns=None, where="x.csv")
    assert named == {"text": "text", "target": "other"}
    both = resolve_columns(available, text="other", target=None, columns={"text_pair": "text"}, where="x.csv")
    assert both == {"text": "other", "text_pair": "text", "target": "label"}


# ---- labels


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (("0", "1"), (0, 1)),
        (("-1", "1"), (-1, 1)),
        (("10", "9"), (9, 10)),
        (("true", "False"), (False, True)),
        (("001", "002"), ("001", "002")),
        (("NA", "null"), ("NA", "null")),
        ((" pos ", "neg"), ("neg", "pos")),
        (("1", "x"), ("1", "x")),
        (("0.5", "1.0"), ("0.5", "1.0")),
    ],
)
def test_labels_of_text_files_get_the_type_that_fits_all(tmp_path, suffix, written, expected):
    labels = load_task(save(tmp_path / f"x.{suffix}", frame_of(labels=written))).labels
    assert labels == expected
    assert [type(label) for label in labels] == [type(label) for label in expected]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "json"])
@pytest.mark.parametrize("expected", [(0, 1), (False, True), ("0", "1"), ("false", "true")])
def test_labels_of_typed_files_keep_their_type(tmp_path, suffix, expected):
    labels = load_task(save(tmp_path / f"x.{suffix}", frame_of(labels=expected))).labels
    assert labels == expected
    assert [type(label) for label in labels] == [type(label) for label in expected]


def test_label_type_is_judged_over_all_text_files(tmp_path):
    data = save(tmp_path / "x.csv", frame_of(labels=("1", "2", "two")))
    valid = save(tmp_path / "v.csv", frame_of(10, labels=("1", "2"), start=100))
    assert load_task(data, valid=valid).labels == ("1", "2", "two")


def test_csv_labels_meet_typed_labels_of_another_file(tmp_path):
    data = save(tmp_path / "x.csv", frame_of(labels=("0", "1")))
    valid = save(tmp_path / "v.jsonl", frame_of(10, labels=(0, 1), start=100))
    assert load_task(data, valid=valid).labels == (0, 1)


def test_whole_numbers_stored_as_floats_become_integers(tmp_path):
    task = load_task(save(tmp_path / "x.parquet", frame_of(labels=(1.0, 2.0))))
    assert task.labels == (1, 2)
    assert any("used as integers" in warning for warning in task.warnings)


def test_texts_and_labels_stay_together(tmp_path):
    frame = frame_of(400, labels=("x", "y", "z"))
    task = load_task(save(tmp_path / "x.jsonl", frame))
    assert pairs(task) == set(zip(frame["text"], frame["label"], strict=True))


# ---- splits


@pytest.mark.parametrize(("n", "expected"), [(1000, (800, 100, 100)), (200, (140, 30, 30)), (40, (32, 8, None))])
def test_missing_splits_are_cut_by_size(tmp_path, n, expected):
    assert counts(load_task(save(tmp_path / "x.csv", frame_of(n)))) == expected


def test_tiny_data_say_that_there_is_no_test_split(tmp_path):
    task = load_task(save(tmp_path / "x.csv", frame_of(40)))
    assert any(warning.startswith("no test split: 40 training rows") for warning in task.warnings)


def test_only_what_is_missing_is_cut(tmp_path):
    data = save(tmp_path / "x.csv", frame_of(1000))
    other = save(tmp_path / "v.csv", frame_of(50, start=5000))
    assert counts(load_task(data, valid=other)) == (900, 50, 100)
    assert counts(load_task(data, test=other)) == (900, 100, 50)
    third = save(tmp_path / "t.csv", frame_of(60, start=9000))
    both = load_task(data, valid=other, test=third)
    assert counts(both) == (1000, 50, 60)
    assert both.train.texts == tuple(frame_of(1000)["text"])


def test_seed_moves_the_cut_but_not_the_fingerprint(tmp_path):
    data = save(tmp_path / "x.csv", frame_of(200))
    first, again, other = load_task(data, seed=1), load_task(data, seed=1), load_task(data, seed=2)
    assert first == again
    assert first.test != other.test
    assert (first.fingerprint, first.sketch) == (other.fingerprint, other.sketch)


def test_repeated_texts_never_straddle_our_own_cuts(tmp_path):
    frame = pd.concat([frame_of(300), frame_of(300).assign(text=lambda f: f["text"].str.upper() + " ")])
    task = load_task(save(tmp_path / "x.csv", frame))
    keys = [{" ".join(t.lower().split()) for t in split.texts} for split in (task.train, task.validation, task.test)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert not any("leakage" in warning for warning in task.warnings)
    assert any("in train repeat an earlier row's text" in warning for warning in task.warnings)


# ---- warnings


def test_leakage_repeats_and_conflicts_are_counted(tmp_path):
    frame = frame_of(100)
    frame.loc[2, "text"] = frame.loc[0, "text"].upper()  # a repeat
    frame.loc[3, "text"] = frame.loc[4, "text"]  # the same text with another label
    data = save(tmp_path / "x.csv", frame)
    valid = save(tmp_path / "v.csv", frame_of(10, start=95))
    test = save(tmp_path / "t.csv", frame_of(10, start=103))
    warnings = load_task(data, valid=valid, test=test).warnings
    assert warnings == (
        "2 rows of 100 in train repeat an earlier row's text",
        "1 text in train with more than one label",
        "5 rows of 10 in validation are also in train (leakage): validation scores are too good",
        "2 rows of 10 in test are also in validation (leakage): test scores are too good",
    )


def test_a_few_numbers_among_texts_are_converted_with_a_warning(tmp_path):
    path = tmp_path / "x.jsonl"
    rows = frame_of(60).to_dict("records")
    rows[0]["text"] = 42
    path.write_text("\n".join(map(json.dumps, rows)))
    task = load_task(str(path))
    assert "42" in {text for text, _ in pairs(task)}
    assert any("1 value of column `text`" in warning and "converted" in warning for warning in task.warnings)


def test_lone_surrogates_are_replaced(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [json.dumps(row) for row in frame_of(60).to_dict("records")]
    lines[0] = '{"text": "broken \\ud83d emoji", "label": "a"}'
    path.write_text("\n".join(lines))
    assert "broken \ufffd emoji" in {text for text, _ in pairs(load_task(str(path)))}


# ---- provenance


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reviews.csv", "reviews"),
        ("my.data.v2.jsonl.gz", "my.data.v2"),
        ("shop/train.csv", "shop"),
        ("shop/Training.parquet", "shop"),
        ("imdb/train-00000-of-00001.parquet", "imdb"),
    ],
)
def test_dataset_id(tmp_path, name, expected):
    assert load_task(save(tmp_path / name, frame_of())).dataset_id == expected


def test_dataset_id_of_a_relative_train_file_is_the_folder(tmp_path, monkeypatch):
    save(tmp_path / "news" / "train.csv", frame_of())
    monkeypatch.chdir(tmp_path / "news")
    assert load_task("train.csv").dataset_id == "news"


def test_sources_are_absolute_with_the_hash_of_the_bytes(tmp_path, monkeypatch):
    data = save(tmp_path / "x.csv", frame_of())
    save(tmp_path / "v.csv", frame_of(10, start=100))
    monkeypatch.chdir(tmp_path)
    sources = load_task("x.csv", valid="v.csv").sources
    assert set(sources) == {"train", "validation"}
    assert sources["train"].path == data
    assert sources["train"].sha256 == file_sha256(data)


def test_fingerprint_sees_order_labels_and_types(tmp_path):
    frame = frame_of(60, labels=(0, 1))
    variants = [
        frame,
        frame[::-1],
        frame.assign(label=1 - frame["label"]),
        frame.assign(label=frame["label"].astype(str)),
        frame.assign(text=frame["text"] + "."),
    ]
    prints = {load_task(save(tmp_path / f"{i}.jsonl", f)).fingerprint for i, f in enumerate(variants)}
    assert len(prints) == len(variants)
    assert load_task(save(tmp_path / "same.parquet", frame)).fingerprint in prints


def test_sketch_recognises_a_subset(tmp_path):
    whole = load_task(save(tmp_path / "a.csv", frame_of(3000)))
    part = load_task(save(tmp_path / "b.csv", frame_of(500, start=1000)))
    other = load_task(save(tmp_path / "c.csv", frame_of(500, start=5000)))
    assert sketch_containment(whole.sketch, part.sketch) == 1.0
    assert sketch_containment(whole.sketch, other.sketch) == 0.0


# ---- folders and hub


def dataset_dict():
    import datasets

    def part(n, start):
        return datasets.Dataset.from_pandas(frame_of(n, start=start), preserve_index=False)

    return datasets.DatasetDict({"train": part(100, 0), "dev": part(20, 200), "test": part(30, 300)})


def test_folder_of_splits_is_used_as_it_is(tmp_path):
    dataset_dict().save_to_disk(str(tmp_path / "mine"))
    task = load_task(str(tmp_path / "mine"))
    assert task.dataset_id == "mine"
    assert counts(task) == (100, 20, 30)
    assert task.sources["train"].sha256 == file_sha256(tmp_path / "mine")
    assert load_task(str(tmp_path / "mine" / "train")).dataset_id == "mine"


def test_hub_id_is_loaded_through_datasets(monkeypatch):
    import datasets

    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda name: asked.append(name) or dataset_dict())
    task = load_task("some-org/reviews")
    assert asked == ["some-org/reviews"]
    assert task.dataset_id == "some-org/reviews"
    assert counts(task) == (100, 20, 30)
    assert task.sources["train"].path == "some-org/reviews"
    assert len(task.sources["train"].sha256) == 64


# ---- size


def test_hundred_thousand_rows_load_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(5000)])
    texts = [" ".join(words[row]) for row in rng.integers(0, 5000, (120_000, 8))]
    data = save(tmp_path / "x.csv", pd.DataFrame({"text": texts, "label": rng.integers(0, 4, 120_000)}))
    start = time.process_time()
    task = load_task(data)
    assert task.train.n_rows == 96_000
    assert time.process_time() - start < 6  # about 1.2 s when alone
