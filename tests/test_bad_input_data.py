"""Bad data: each is a `DataError` (exit code 2) whose one message says what was expected, what came, what to do."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from xautolm.data.load import load_task
from xautolm.errors import DataError, UsageError

GOOD = [(f"text number {i} here", "ab"[i % 2]) for i in range(60)]


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def csv_of(rows, header="text,label"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def refused(*args, **kwargs) -> str:
    with pytest.raises(DataError) as caught:
        load_task(*args, **kwargs)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    assert len(message) < 700
    return message


def test_missing_file_names_path_and_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused("nothing.csv")
    assert "there is no file `nothing.csv`" in message
    assert str(tmp_path) in message


def test_missing_validation_file_is_named(tmp_path):
    data = write(tmp_path / "x.csv", csv_of(GOOD))
    assert "valid.csv" in refused(data, valid=str(tmp_path / "valid.csv"))


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.json", "x.jsonl", "x.parquet", "x.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_empty_file(tmp_path, name, content):
    if name.endswith(".gz") and content:
        content = gzip.compress(content)
    message = refused(write(tmp_path / name, content))
    assert name in message
    assert "is empty" in message or "not a readable parquet" in message


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_header_without_rows(tmp_path, name):
    header = "text,label\n" if name.endswith("csv") else "text\tlabel\n"
    assert "has a header but no rows" in refused(write(tmp_path / name, header))


@pytest.mark.parametrize(
    ("name", "delimiter", "said", "advice"),
    [
        ("x.csv", ";", "With a semicolon it has 2 columns", "sep=';'"),
        ("x.csv", "\t", "With a tab it has 2 columns", "rename it to `.tsv`"),
        ("x.csv", "|", "With a vertical bar it has 2 columns", "sep='|'"),
        ("x.tsv", ",", "With a comma it has 2 columns", "rename it to `.csv`"),
    ],
)
def test_wrong_delimiter_shows_header_and_the_one_that_fits(tmp_path, name, delimiter, said, advice):
    rows = "\n".join(delimiter.join(row) for row in [("text", "label"), *GOOD])
    message = refused(write(tmp_path / name, rows))
    assert repr(f"text{delimiter}label") in message
    assert said in message
    assert advice in message


def test_one_column_only(tmp_path):
    message = refused(write(tmp_path / "x.csv", "text\nhello\nworld\n"))
    assert "has one column, 'text'" in message
    assert "delimiter" in message


def test_unknown_column_lists_columns_and_the_nearest(tmp_path):
    data = write(tmp_path / "x.csv", csv_of(GOOD, "text,sentiment"))
    message = refused(data, target="Sentimant")
    assert "no column `Sentimant`" in message
    assert "`text`, `sentiment`" in message
    assert "did you mean `sentiment`?" in message


def test_unknown_column_in_the_validation_file_names_that_file(tmp_path):
    data = write(tmp_path / "x.csv", csv_of(GOOD))
    valid = write(tmp_path / "v.csv", csv_of(GOOD, "body,label"))
    message = refused(data, valid=valid)
    assert "v.csv" in message
    assert "no column `text`" in message


@pytest.mark.parametrize(
    ("header", "flag"),
    [("a,b,label", "--text NAME"), ("text,b,c", "--target NAME"), ("review,comment,label", "--text")],
)
def test_columns_that_cannot_be_guessed_name_the_flag(tmp_path, header, flag):
    data = write(tmp_path / "x.csv", csv_of([("one two", "x", "y")] * 4, header))
    message = refused(data)
    assert flag in message
    assert f"`{header.split(',')[0]}`" in message


def test_column_name_that_occurs_twice(tmp_path):
    data = write(tmp_path / "x.csv", csv_of([("a b", "c d", "x")] * 4, "text,text,label"))
    assert "has 2 columns named `text`" in refused(data)


def test_target_with_one_class(tmp_path):
    message = refused(write(tmp_path / "x.csv", csv_of([(t, "same") for t, _ in GOOD])))
    assert "only the class 'same' (60 rows)" in message
    assert "at least two classes" in message


def test_classes_with_one_row_are_named(tmp_path):
    rows = [*GOOD, ("a lonely text", "rare"), ("another one", "odd")]
    message = refused(write(tmp_path / "x.csv", csv_of(rows)))
    assert "2 classes with one row: 'odd', 'rare'" in message
    assert "at least two rows of each class" in message


@pytest.mark.parametrize("missing", ["text", "label"])
def test_mostly_empty_texts_or_labels_are_refused(tmp_path, missing):
    rows = [("", label) if missing == "text" else (text, "") for text, label in GOOD[:40]] + GOOD[40:]
    message = refused(write(tmp_path / "x.csv", csv_of(rows)))
    assert "40 of 60 rows cannot be used" in message
    assert f"40 without {missing}" in message


def test_some_empty_texts_and_labels_are_dropped_and_counted(tmp_path):
    rows = [{"text": t, "label": y} for t, y in GOOD]
    rows[0]["text"], rows[1]["text"], rows[2]["label"], rows[3] = None, "  ", None, {"text": "no label key"}
    data = write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))
    task = load_task(data)
    assert task.train.n_rows + task.validation.n_rows + task.test.n_rows == 56
    assert any("dropped 4 rows of 60" in w and "2 without text, 2 without label" in w for w in task.warnings)


def test_latin_1_names_offset_line_and_iconv(tmp_path):
    content = "text,label\ngood,a\ncafé,b\n".encode("latin-1")
    message = refused(write(tmp_path / "x.csv", content))
    assert "is not UTF-8: byte 0xe9 at byte offset 21 (line 3)" in message
    assert content[21] == 0xE9
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message


def test_utf_16_is_recognised(tmp_path):
    assert "iconv -f UTF-16" in refused(write(tmp_path / "x.csv", csv_of(GOOD).encode("utf-16")))


def test_gzipped_latin_1_is_unpacked_in_the_advice(tmp_path):
    data = write(tmp_path / "x.csv.gz", gzip.compress("text,label\ncafé,b\n".encode("latin-1")))
    assert "zcat" in refused(data)


TRUNCATED = gzip.compress(b"text,label\n" * 50, mtime=0)[:-12]


@pytest.mark.parametrize("content", [b"no gzip at all", TRUNCATED], ids=["no gzip", "truncated"])
def test_damaged_gzip(tmp_path, content):
    assert "is not a complete gzip file" in refused(write(tmp_path / "x.csv.gz", content))


def test_broken_json_line_has_its_number(tmp_path):
    lines = [json.dumps({"text": t, "label": y}) for t, y in GOOD]
    lines[6] = '{"text": "cut off'
    message = refused(write(tmp_path / "x.jsonl", "\n".join(lines)))
    assert "line 7 is not valid JSON" in message
    assert "cut off" in message


def test_json_line_that_is_no_object(tmp_path):
    assert "line 2: expected a JSON object" in refused(write(tmp_path / "x.jsonl", '{"text": "a"}\n[1, 2]\n'))


def test_broken_json_has_its_line(tmp_path):
    assert "on line 3" in refused(write(tmp_path / "x.json", '[\n{"text": "a", "label": 1},\n{"text": oops}\n]'))


def test_json_lines_named_json_are_recognised(tmp_path):
    data = write(tmp_path / "x.json", '{"text": "a", "label": 1}\n{"text": "b", "label": 2}\n')
    assert "rename it to `.jsonl`" in refused(data)


@pytest.mark.parametrize("content", ["[]", "3", '{"text": "a"}', '{"text": ["a"], "label": []}', "[1, 2]", "{}"])
def test_json_of_another_shape(tmp_path, content):
    assert "expected a list of objects" in refused(write(tmp_path / "x.json", content))


def test_deeply_nested_json_is_no_crash(tmp_path):
    assert "nested too deep" in refused(write(tmp_path / "x.json", "[" * 200_000))
    assert "nested too deep" in refused(write(tmp_path / "x.jsonl", "[" * 200_000))


def test_validation_label_unseen_in_training(tmp_path):
    data = write(tmp_path / "x.csv", csv_of(GOOD))
    valid = write(tmp_path / "v.csv", csv_of([("t one", "a"), ("t two", "new"), ("t three", "new"), ("t 4", "b")]))
    message = refused(data, valid=valid)
    assert "v.csv" in message
    assert "'new' (2 rows)" in message
    assert "known are 'a', 'b'" in message


def test_unsupported_suffix(tmp_path):
    message = refused(write(tmp_path / "x.xlsx", b"PK"))
    assert "unknown suffix" in message
    assert "csv, tsv, json, jsonl, parquet or conll" in message


def test_parquet_that_is_none(tmp_path):
    assert "not a readable parquet file" in refused(write(tmp_path / "x.parquet", b"PAR1 not really"))


def test_directory_that_datasets_did_not_save(tmp_path):
    write(tmp_path / "a.csv", csv_of(GOOD))
    message = refused(str(tmp_path))
    assert "is not a folder saved by `datasets`" in message
    assert "`a.csv`" in message


def test_damaged_datasets_folder(tmp_path):
    write(tmp_path / "state.json", "{}")
    write(tmp_path / "dataset_info.json", "{}")
    assert "is damaged or incomplete" in refused(str(tmp_path))


def test_hub_id_while_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refused("some-org/some-data")
    assert "there is no file or folder `some-org/some-data`" in message
    assert "HF_HUB_OFFLINE" in message


def test_hub_that_cannot_be_reached(monkeypatch):
    import datasets

    def fail(name):
        raise ConnectionError(f"Couldn't reach {name!r} on the Hub\nmore")

    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    assert "Couldn't reach 'some-org/some-data' on the Hub; check" in refused("some-org/some-data")


def test_real_numbers_as_classes(tmp_path):
    rows = [(text, i / 7) for i, (text, _) in enumerate(GOOD)]
    message = refused(write(tmp_path / "x.csv", csv_of(rows)), kind="text-classification")
    assert "looks like a regression target: 60 distinct real numbers" in message
    assert "`--task text-regression`" in message
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_parquet(tmp_path / "x.parquet")
    assert "looks like a regression target" in refused(str(tmp_path / "x.parquet"), kind="text-classification")


@pytest.mark.parametrize("make", [int, lambda i: f"user-{i}"])
def test_id_column_as_target(tmp_path, make):
    rows = [(text, make(i)) for i, (text, _) in enumerate(GOOD)]
    assert "looks like an id or text column: 60 distinct" in refused(write(tmp_path / "x.csv", csv_of(rows)))


def test_number_column_as_text(tmp_path):
    data = write(tmp_path / "x.csv", csv_of([(i, label) for i, (_, label) in enumerate(GOOD)]))
    message = refused(data)
    assert "column `text` looks like a number column (0, 1, 2 and 57 more)" in message
    assert "`--text`" in message


def test_nested_values_as_text(tmp_path):
    rows = [{"text": [t], "label": y} for t, y in GOOD]
    assert "holds list values, expected text" in refused(write(tmp_path / "x.json", json.dumps(rows)))


@pytest.mark.parametrize(("label", "said"), [([1], "holds list values"), ({"a": 1}, "holds dict values")])
def test_nested_values_as_label(tmp_path, label, said):
    rows = [{"text": t, "label": label} for t, _ in GOOD]
    assert said in refused(write(tmp_path / "x.json", json.dumps(rows)), kind="text-classification")


@pytest.mark.parametrize("odd", ["1", True])
def test_labels_of_several_types(tmp_path, odd):
    rows = [{"text": t, "label": 1 if i else odd} for i, (t, _) in enumerate(GOOD)]
    message = refused(write(tmp_path / "x.json", json.dumps(rows)))
    assert "mixes types: int (59)" in message


def test_line_with_too_many_cells_is_named(tmp_path):
    data = write(tmp_path / "x.csv", csv_of([GOOD[0], ("well, not bad", "a"), GOOD[1]]))
    message = refused(data)
    assert "line 3: expected 2 cells as in the header, came 3" in message
    assert "in double quotes" in message


def test_quote_that_never_closes(tmp_path):
    data = write(tmp_path / "x.csv", 'text,label\n"good, really",a\n"bad,b\nfine,a\n')
    message = refused(data)
    assert "quotes of the csv file do not match near line 4" in message
    assert '(`""`)' in message


def test_unknown_role_and_contradicting_names_are_usage_errors(tmp_path):
    data = write(tmp_path / "x.csv", csv_of(GOOD))
    with pytest.raises(UsageError, match=r"knows the roles `text`, `text_pair`, `target`.* came 'context'"):
        load_task(data, columns={"context": "text"})
    with pytest.raises(UsageError, match="two columns were named for `text`"):
        load_task(data, text="text", columns={"text": "label"})
    with pytest.raises(UsageError, match="one column cannot have two roles"):
        load_task(data, text="text", target="text")
    with pytest.raises(UsageError, match=r"expected the task `text-classification`, .*, came 'translation'"):
        load_task(data, kind="translation")


def test_folder_without_train_split(tmp_path):
    import datasets

    part = datasets.Dataset.from_dict({"text": ["a b", "c d"], "label": ["x", "y"]})
    datasets.DatasetDict({"test": part}).save_to_disk(str(tmp_path / "d"))
    assert "has no split `train`, only `test`" in refused(str(tmp_path / "d"))


def test_too_few_distinct_texts_to_cut_validation(tmp_path):
    data = write(
        tmp_path / "x.csv", csv_of([("same text", "a"), ("same text", "a"), ("same  TEXT", "b"), ("same text", "b")])
    )
    assert "no validation rows can be cut from 4 training rows" in refused(data)
