"""Multi-label data: forms of label sets, cuts that lose no label, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from xautolm.data.label_sets import find_separator
from xautolm.data.load import load_task
from xautolm.data.summary import summarise, summary_lines
from xautolm.errors import DataError, UsageError

KIND = "multi-label"
SETS = [["a", "b"], ["b"], [], ["c", "a"], ["b", "c"]]


def rows(n=60, sets=SETS):
    return [{"text": f"text number {i}", "labels": sets[i % len(sets)]} for i in range(n)]


def lines(path, records):
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def splits(task):
    return [split for split in (task.train, task.validation, task.test) if split]


def sets_of(task):
    """Text -> its labels, over all splits."""
    return {
        text: {task.labels[i] for i in target}
        for split in splits(task)
        for text, target in zip(split.texts, split.targets, strict=True)
    }


def expected(records):
    return {row["text"]: set(row["labels"]) for row in records}


def save(form, folder, records):
    """Write the same rows in one of the forms that label sets come in."""
    frame = pd.DataFrame(records)
    if form == "jsonl":
        return lines(folder / "x.jsonl", records)
    if form == "parquet":
        frame.to_parquet(folder / "x.parquet")
        return str(folder / "x.parquet")
    if form in ("names of a class label", "integers without names"):
        import datasets

        labels = ["a", "b", "c"]
        inner = datasets.ClassLabel(names=labels) if form == "names of a class label" else datasets.Value("int64")
        features = datasets.Features({"text": datasets.Value("string"), "labels": datasets.Sequence(inner)})
        numbered = [{**row, "labels": [labels.index(label) for label in row["labels"]]} for row in records]
        datasets.Dataset.from_list(numbered, features=features).save_to_disk(str(folder / "x"))
        return str(folder / "x")
    write = {
        "JSON text": json.dumps,
        "Python text": str,
        "semicolons": "; ".join,
        "bars": "|".join,
        "commas": ", ".join,
    }[form]
    frame.assign(labels=frame["labels"].map(write)).to_csv(folder / "x.csv", index=False)
    return str(folder / "x.csv")


FORMS = ["jsonl", "parquet", "names of a class label", "JSON text", "Python text", "semicolons", "bars", "commas"]


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_same_task(tmp_path, form):
    task = load_task(save(form, tmp_path, rows()), kind=KIND)
    assert (task.kind, task.labels, task.columns) == (KIND, ("a", "b", "c"), {"text": "text", "target": "labels"})
    assert sets_of(task) == expected(rows())
    assert {len(split.labels) for split in splits(task)} == {0}
    assert all(target == tuple(sorted(target)) for split in splits(task) for target in split.targets)
    assert task.fingerprint == load_task(save("jsonl", tmp_path, rows()), kind=KIND).fingerprint


def test_the_separator_that_was_read_is_named(tmp_path):
    task = load_task(save("semicolons", tmp_path, rows()), kind=KIND)
    assert f"labels in column `labels` of `{tmp_path / 'x.csv'}` are read as separated by `;`" in task.warnings
    assert "12 rows of 60 without any label" in task.warnings


def test_a_weaker_separator_belongs_to_the_label(tmp_path):
    sets = [["food, drink", "sea; sky"], ["sea; sky"], ["food, drink"]]
    assert load_task(save("bars", tmp_path, rows(sets=sets)), kind=KIND).labels == ("food, drink", "sea; sky")
    assert find_separator(["x y", "z"]) is None


def test_rows_of_one_label_each_are_said(tmp_path):
    task = load_task(save("commas", tmp_path, rows(sets=[["a b"], ["c"]])), kind=KIND)
    assert task.labels == ("a b", "c")
    assert any(warning.startswith("no row of column `labels`") for warning in task.warnings)


def test_columns_of_zero_and_one(tmp_path):
    frame = pd.DataFrame(rows())
    for label in "abc":
        frame[f"is {label}"] = frame["labels"].map(lambda found, label=label: int(label in found))
    frame.drop(columns="labels").to_csv(tmp_path / "x.csv", index=False)
    task = load_task(str(tmp_path / "x.csv"), target="is a, is b,is c")
    assert task.kind == KIND
    assert task.columns == {"text": "text", "target": "is a,is b,is c"}
    assert sets_of(task) == {text: {f"is {label}" for label in found} for text, found in expected(rows()).items()}
    assert load_task(str(tmp_path / "x.csv"), columns={"target": "is a,is b,is c"}, kind=KIND) == load_task(
        str(tmp_path / "x.csv"), target="is a,is b,is c", kind=KIND
    )


@pytest.mark.parametrize("odd", ["-1", "", "maybe"])
def test_other_values_than_zero_and_one_are_dropped_and_shown(tmp_path, odd):
    frame = pd.DataFrame({"text": [f"t {i}" for i in range(60)], "x": ["0", "1"] * 30, "y": ["1", "1", "0"] * 20})
    frame.loc[4, "x"] = odd
    frame.to_csv(tmp_path / "x.csv", index=False)
    task = load_task(str(tmp_path / "x.csv"), target="x,y")
    assert "t 4" not in sets_of(task)
    assert any(
        f"1 row of 60 in `{tmp_path / 'x.csv'}` with other values" in w and repr(odd) in w for w in task.warnings
    )
    frame["x"] = odd
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"60 rows of 60 .* expected 0 or 1 in each of these columns"):
        load_task(str(tmp_path / "x.csv"), target="x,y")


def test_a_missing_indicator_column_is_named(tmp_path):
    data = save("commas", tmp_path, rows())
    with pytest.raises(DataError, match=r"has no column `lables`.* did you mean `labels`"):
        load_task(data, target="labels,lables", kind=KIND)


def test_columns_of_zero_and_one_that_nobody_named_are_suggested(tmp_path):
    frame = pd.DataFrame({"text": [f"t {i}" for i in range(60)], "sad": ["0", "1"] * 30, "odd": 1})
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"Columns of 0 and 1 are named together: `--target sad,odd`"):
        load_task(str(tmp_path / "x.csv"), kind=KIND)


# ---- guesses


@pytest.mark.parametrize("name", ["label", "tags", "genres", "what"])
def test_a_target_of_lists_is_guessed_and_said(tmp_path, name):
    records = [{"text": row["text"], name: row["labels"]} for row in rows()]
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert task.kind == KIND
    assert task.columns["target"] == name
    assert task.warnings[0] == (
        f"column `{name}` holds lists: the task is taken as `multi-label` (`--task` names another kind)"
    )


@pytest.mark.parametrize("form", ["JSON text", "Python text"])
def test_lists_written_as_text_are_guessed_but_not_brackets(tmp_path, form):
    assert load_task(save(form, tmp_path, rows())).kind == KIND
    frame = pd.DataFrame({"text": [f"t {i}" for i in range(60)], "label": ["[POS]", "[NEG]"] * 30})
    frame.to_csv(tmp_path / "y.csv", index=False)
    assert load_task(str(tmp_path / "y.csv")).labels == ("[NEG]", "[POS]")


def test_a_plain_label_beside_a_list_stays_classification(tmp_path):
    records = [{**row, "label": "xy"[i % 2]} for i, row in enumerate(rows())]
    assert load_task(lines(tmp_path / "x.jsonl", records)).kind == "text-classification"


# ---- cuts


def test_no_label_is_lost_from_train_and_shares_are_kept(tmp_path):
    sets = [["common", f"rare {i % 40}"] for i in range(80)] + [["common"]] * 400 + [[]] * 120
    records = [{"text": f"t {i}", "labels": found} for i, found in enumerate(sets)]
    for seed in range(5):
        task = load_task(lines(tmp_path / "x.jsonl", records), seed=seed)
        assert {i for target in task.train.targets for i in target} == set(range(41))
        n_empty = [sum(not target for target in split.targets) for split in splits(task)]
        assert n_empty == [96, 12, 12]


def test_a_label_that_is_never_the_rarest_of_its_row_stays_in_train(tmp_path):
    # `b` and `c` are rarer than `a`, and each has rows without it
    sets = [["a", "b"], ["a", "c"], ["a"]] + [["b"]] + [["c"]] + [["d"]] * 80
    records = [{"text": f"t {i}", "labels": found} for i, found in enumerate(sets)]
    for seed in range(30):
        task = load_task(lines(tmp_path / "x.jsonl", records), seed=seed)
        assert {i for target in task.train.targets for i in target} == {0, 1, 2, 3}


def test_repeats_stay_together_and_contradictions_are_counted(tmp_path):
    records = rows(300)
    records += [{"text": row["text"].upper(), "labels": ["a"]} for row in records]
    task = load_task(lines(tmp_path / "x.jsonl", records))
    texts = [{text.lower() for text in split.texts} for split in splits(task)]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert any("with more than one set of labels" in warning for warning in task.warnings)
    assert not any("leakage" in warning for warning in task.warnings)


def test_fingerprint_sees_labels_but_not_their_order(tmp_path):
    def prints(records):
        return load_task(lines(tmp_path / "x.jsonl", records)).fingerprint

    turned = [{**row, "labels": row["labels"][::-1]} for row in rows()]
    changed = rows()
    changed[0] = {**changed[0], "labels": ["a"]}
    assert prints(turned) == prints(rows())
    assert prints(changed) != prints(rows())


# ---- odd and bad input


def test_missing_cells_are_dropped_and_empty_ones_kept(tmp_path):
    records = rows()
    records[0]["labels"], records[7]["text"] = None, " "
    task = load_task(lines(tmp_path / "x.jsonl", records), kind=KIND)
    assert sum(split.n_rows for split in splits(task)) == 58
    assert any("dropped 2 rows of 60" in w and "1 without text, 1 without labels" in w for w in task.warnings)


def test_a_label_of_one_row_is_said(tmp_path):
    records = rows()
    records[1] = {**records[1], "labels": ["once"]}
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert "1 label of 4 with one row (no score sees them): 'once'" in task.warnings
    assert task.labels.index("once") in {i for target in task.train.targets for i in target}


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (rows(sets=[["a"], ["a"], []]), "has only the label 'a'"),
        ([{"text": f"t {i}", "labels": [f"l {i}"]} for i in range(60)], "looks like text: 60 distinct labels"),
        (rows(sets=[[{"name": "a"}], ["b"]]), "holds dict values in a list"),
        (rows(sets=[[["a"]], ["b"]]), "holds list values in a list"),
        (rows(sets=[["a"], [1]]), "mixes types: str (30), int (30)"),
        ([{"text": f"t {i}", "labels": None} for i in range(60)], "60 of 60 rows cannot be used"),
    ],
)
def test_label_sets_that_cannot_be_learned_are_refused(tmp_path, records, said):
    with pytest.raises(DataError) as caught:
        load_task(lines(tmp_path / "x.jsonl", records), kind=KIND)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_label_that_training_rows_lack_is_refused(tmp_path):
    data, valid = lines(tmp_path / "x.jsonl", rows()), lines(tmp_path / "v.jsonl", rows(10, sets=[["a", "new"]]))
    with pytest.raises(DataError, match=r"labels that the training data do not have: 'new' \(10 rows\)"):
        load_task(data, valid=valid)


@pytest.mark.parametrize("cell", ["['a' 'b']", "[a, b]", "[1, 2"])
def test_a_list_written_as_text_that_cannot_be_read_is_refused(tmp_path, cell):
    frame = pd.DataFrame({"text": [f"t {i}" for i in range(60)], "labels": ["['a', 'b']"] * 59 + [cell]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="holds lists written as text, but one cannot be read"):
        load_task(str(tmp_path / "x.csv"), kind=KIND)


def test_contradicting_targets_are_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="two columns were named for `target`"):
        load_task(lines(tmp_path / "x.jsonl", rows()), target="labels", columns={"target": "text"}, kind=KIND)


def test_numbers_as_labels_keep_their_type(tmp_path):
    assert load_task(save("integers without names", tmp_path, rows())).labels == (0, 1, 2)
    csv = pd.DataFrame({"text": [f"t {i}" for i in range(60)], "labels": ["1;2", "10", ""] * 20})
    csv.to_csv(tmp_path / "x.csv", index=False)
    assert load_task(str(tmp_path / "x.csv"), kind=KIND).labels == (1, 2, 10)


def test_summary_counts_labels_per_row(tmp_path):
    path = lines(tmp_path / "x.jsonl", rows())
    task = load_task(path, valid=path, test=path)
    found = summarise(task, np.full(60, 5))
    assert found.class_shares == (("b", 0.6), ("a", 0.4), ("c", 0.4))
    printed = summary_lines(found)
    assert printed[0].endswith("text in `text`, labels in `labels`")
    assert printed[1] == "Labels    3 labels, 1.40 per row: b 60.0 %, a 40.0 %, c 40.0 %"
