"""Tables come in as written, whatever the format, and go out all or nothing."""

import csv
import gzip
import json
import os

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xautolm.data.table import read_table, write_table
from xautolm.errors import DataError

HOSTILE = [
    'say "hi", he said',
    "two\nlines",
    "windows\r\nline",
    "stray\rreturn\r",
    "tab\there",
    "emoji 👩‍👩‍👧 ünïcödé",
    "NA",
    "null",
    "001",
    " padded ",
    '"',
    '""quoted""',
    "line\u2028separator",
    "comma, and ; and |",
]


def cells(path, column="text"):
    return read_table(path)[column].tolist()


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_hostile_cells_survive_a_round_trip(tmp_path, suffix, gz):
    frame = pd.DataFrame({"text": HOSTILE, "label": [str(i) for i in range(len(HOSTILE))]})
    path = tmp_path / f"x.{suffix}{gz}"
    write_table(frame, path)
    assert cells(path) == HOSTILE
    assert cells(path, "label") == frame["label"].tolist()
    assert path.read_bytes().startswith(b"\x1f\x8b") == bool(gz)


text = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(text, text), min_size=1, max_size=5), suffix=st.sampled_from(["csv", "json", "jsonl"]))
def test_any_text_survives_a_round_trip(tmp_path, rows, suffix):
    path = tmp_path / f"x.{suffix}"
    write_table(pd.DataFrame(rows, columns=["text", "label"]), path)
    assert list(zip(cells(path), cells(path, "label"), strict=True)) == rows


def test_bom_crlf_and_uppercase_suffix(tmp_path):
    path = tmp_path / "X.CSV"
    path.write_bytes("\ufefftext,label\r\nübel,a\r\n\r\ngut,b\r\n".encode())
    assert list(read_table(path).columns) == ["text", "label"]
    assert cells(path) == ["übel", "gut"]


def test_old_mac_line_ends(tmp_path):
    for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(f"text{delimiter}label\rone{delimiter}a\rtwo{delimiter}b\r".encode())
        assert cells(path) == ["one", "two"]


def test_stray_carriage_returns_are_text_in_a_file_of_other_line_ends(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'text,label\none\rtwo,a\n"quo\rted, too",b\n')
    assert cells(path) == ["one\rtwo", "quo\rted, too"]


def test_csv_cell_of_a_megabyte(tmp_path):
    path = tmp_path / "x.csv"
    long = "word, " * 200_000
    path.write_text(f'text,label\n"{long}",a\nshort,b\n')
    limit = csv.field_size_limit()
    assert cells(path) == [long, "short"]
    assert csv.field_size_limit() == limit


def test_lone_quotes_in_tsv_swallow_no_lines(tmp_path):
    path = tmp_path / "x.tsv"
    lines = [
        '"opens',
        'closes"',
        '"start only',
        'in " the middle',
        "plain",
        'end"',
        'he said "no" twice',
        '"all quoted"',
    ]
    path.write_text("text\tlabel\n" + "".join(f"{line}\ta\n" for line in lines))
    assert cells(path) == lines


def test_quotes_that_csv_rules_accept_are_plain_in_tsv(tmp_path):
    path = tmp_path / "x.tsv"
    for lines in (['"opens', 'closes"'], ['with "one" word', '"all quoted"']):
        path.write_text("text\tlabel\n" + "".join(f"{line}\ta\n" for line in lines))
        assert cells(path) == lines


def test_lone_quote_in_a_csv_of_plain_lines_is_kept(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('text,label\n"start only,a\n6" screen,b\n"odd" one,a\n')
    assert cells(path) == ['"start only', '6" screen', '"odd" one']


def test_tsv_quoted_as_csv_writers_do_it_is_unquoted(tmp_path):
    path = tmp_path / "x.tsv"
    pd.DataFrame({"text": ['say "hi"', "plain", "two\nlines"], "label": list("aba")}).to_csv(
        path, sep="\t", index=False
    )
    assert cells(path) == ['say "hi"', "plain", "two\nlines"]


def test_short_lines_give_none_and_trailing_delimiters_nothing(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\nonly text\nboth,a,,\n")
    assert cells(path, "label") == [None, "a"]


def test_json_as_columns_and_as_pandas_writes_it(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"text": ["a", "b"], "label": [1, null]}')
    assert cells(path, "label") == [1, None]
    pd.DataFrame({"text": ["a", "b"], "label": [1, 2]}).to_json(path)
    assert cells(path, "label") == [1, 2]


def test_json_lines_keep_types_with_missing_keys(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a", "label": 1}\n\n{"text": "b"}\n{"label": true, "text": "c"}\n')
    labels = cells(path, "label")
    assert labels == [1, None, True]
    assert [type(value) for value in labels] == [int, type(None), bool]


def test_parquet_integers_with_nulls_stay_integers(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"text": ["a", "b"], "label": pd.array([1, None], dtype="Int64")}).to_parquet(path)
    labels = cells(path, "label")
    assert type(labels[0]) is int
    assert pd.isna(labels[1])


def test_datasets_folder_gives_names_of_class_labels(tmp_path):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    part = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    part.select([2, 0, 1]).save_to_disk(str(tmp_path / "d"))
    assert cells(tmp_path / "d") == ["c", "a", "b"]
    assert cells(tmp_path / "d", "label") == [None, "pos", "neg"]


def test_datasets_folder_with_splits_is_no_single_table(tmp_path):
    import datasets

    part = datasets.Dataset.from_dict({"text": ["a"], "label": ["x"]})
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(DataError, match="holds the splits `train`, `test`, expected one table"):
        read_table(tmp_path / "d")
    assert cells(tmp_path / "d" / "test") == ["a"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        write_table(pd.DataFrame({"a": [1]}), path)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["x.csv"]


def test_write_refuses_unknown_suffix_and_missing_folder(tmp_path):
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(DataError, match="unknown suffix"):
        write_table(frame, tmp_path / "x.xlsx")
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        write_table(frame, tmp_path / "none" / "x.csv")


def test_written_json_lines_are_plain_json(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    write_table(pd.DataFrame({"label": [True], "probability": [0.123456789012], "text": ["ü/x"]}), path)
    assert json.loads(gzip.decompress(path.read_bytes())) == {
        "label": True,
        "probability": 0.123456789012,
        "text": "ü/x",
    }
