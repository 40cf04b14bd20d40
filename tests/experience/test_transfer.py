"""Export and import: nothing is lost, nothing hostile comes in, a second time changes nothing."""

from __future__ import annotations

import gzip
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from experience_builders import experiences, make_experience, make_profile, make_result
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.errors import DataError, StoreError
from xautolm.experience import dump_parquet, interchange
from xautolm.experience.codec import Encoder
from xautolm.experience.store import ExperienceStore
from xautolm.experience.transfer import export, merge, read, take_in, write_report
from xautolm.records import Pipeline, TrialError

SUFFIXES = ["jsonl", "jsonl.gz", "parquet"]

SOME = [
    make_experience("a", 0, profile=make_profile(system_name="AMD EPYC", semantic=(0.1, -1e-300)), time_limit_s=90.0),
    make_experience(
        "a", 1, result=make_result(1, status="oom", scores={}, error=TrialError("oom_train", "CUDA out of memory"))
    ),
    make_experience("b", 0, dataset_id="other", kind="multi-label", memory_limit_mib=512.0),
    make_experience("c", 7, source="import", created_at="2020-02-30", profile=make_profile(2.0)),
    make_experience("d", 0, result=make_result(0, requested=Pipeline("m", "full", {"batch_size": 64, "lr": 1.0}))),
]


@pytest.fixture
def store(tmp_path):
    with ExperienceStore(f"sqlite:///{tmp_path / 'from.db'}") as opened:
        opened.add(SOME)
        yield opened


@pytest.fixture
def other(tmp_path):
    with ExperienceStore(f"sqlite:///{tmp_path / 'to.db'}") as opened:
        yield opened


def hashes(experiences):
    encoder = Encoder()
    return [encoder.encode(experience).experience["content_hash"] for experience in experiences]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_round_trip_loses_nothing_and_a_second_one_adds_nothing(store, other, tmp_path, suffix):
    path = tmp_path / f"dump.{suffix}"
    assert export(store, path) == len(SOME)
    taken = take_in(other, read(path), allow_rejects=False)
    assert (taken.n_read, taken.n_new, taken.rejected) == (len(SOME), len(SOME), [])
    assert list(other.iterate()) == list(store.iterate()) == SOME
    assert hashes(other.iterate()) == hashes(SOME)
    assert type(other.load(kind=None)[-1].result.requested.params["lr"]) is float
    again = take_in(other, read(path), allow_rejects=False)
    assert (again.n_read, again.n_new) == (len(SOME), 0)
    assert sorted(file.name for file in tmp_path.iterdir() if "dump" in file.name) == [path.name]


@settings(max_examples=25, deadline=None)
@given(made=st.lists(experiences, max_size=5, unique_by=lambda e: (e.run_id, e.result.trial_id)))
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_any_experiences_come_through_a_file_as_they_were(made, suffix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    with ExperienceStore("sqlite://") as store:
        store.add(made)
        export(store, folder / f"dump.{suffix}")
        assert [build() for _, build in read(folder / f"dump.{suffix}") if build()] == store.load(kind=None)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_the_same_store_makes_the_same_file(store, tmp_path, suffix):
    export(store, tmp_path / f"one.{suffix}")
    export(store, tmp_path / f"two.{suffix}")
    assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_what_experiences_share_is_written_once(store, tmp_path):
    export(store, tmp_path / "dump.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "dump.jsonl").read_text().splitlines()]
    named = [next(iter(line.keys() - {"id", "version"})) for line in lines]
    assert named == [
        "format", "task", "system", "experience", "task", "system", "experience", "task", "experience", "task",
        "experience", "experience", "end",
    ]  # fmt: skip


def test_one_kind_can_be_exported(store, tmp_path):
    assert export(store, tmp_path / "dump.jsonl", "multi-label") == 1


def test_a_store_is_merged_into_another_in_either_direction(store, other):
    other.add([SOME[2], make_experience("own", 0)])
    taken = merge(other, store)
    assert (taken.n_read, taken.n_new) == (len(SOME), len(SOME) - 1)
    assert other.count() == len(SOME) + 1
    assert merge(other, store).n_new == 0
    assert merge(store, other).n_new == 1


def test_a_store_can_be_merged_into_itself(store):
    with ExperienceStore(store._url.render_as_string(False)) as same:
        assert merge(store, same).n_new == 0


def test_rows_of_another_store_are_checked_like_those_of_a_file(store, other, tmp_path):
    connection = sqlite3.connect(tmp_path / "from.db")
    with connection:
        connection.execute("UPDATE experiences SET result = replace(result, 'oom', 'excellent')")
        connection.execute(f"UPDATE tasks SET dataset_id = '{'x' * 501}' WHERE kind = 'multi-label'")
    connection.close()
    with pytest.raises(DataError, match=r"nothing was added(.|\n)*experience 2 of the other store: `status` must be"):
        merge(other, store)
    assert other.count() == 0
    taken = merge(other, store, allow_rejects=True)
    assert [row.where.split()[1] for row in taken.rejected] == ["2", "3"]
    assert list(other.iterate()) == [SOME[0], *SOME[3:]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_there_is_not_overwritten(store, tmp_path, suffix):
    path = tmp_path / f"dump.{suffix}"
    path.write_text("precious")
    with pytest.raises(DataError, match="is there already"):
        export(store, path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_export_that_fails_leaves_nothing(store, tmp_path, suffix, monkeypatch):
    def break_off(kind=None):
        yield SOME[0]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "iterate", break_off)
    with pytest.raises(DataError, match="No space left on device"):
        export(store, tmp_path / f"dump.{suffix}")
    assert not [file for file in tmp_path.iterdir() if "dump" in file.name]


def test_an_unknown_suffix_names_the_known_ones(store, tmp_path):
    with pytest.raises(DataError, match=r"ends in \.jsonl, \.jsonl\.gz, \.parquet, got 'dump\.csv'"):
        export(store, tmp_path / "dump.csv")


def dumped(store: ExperienceStore, tmp_path: Path) -> list[dict]:
    path = tmp_path / "whole.jsonl"
    export(store, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(tmp_path: Path, lines: list) -> Path:
    path = tmp_path / "bad.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def change(**changes):
    def apply(lines):
        lines[3]["experience"] |= changes

    return apply


def change_result(**changes):
    def apply(lines):
        lines[3]["experience"]["result"] |= changes

    return apply


def change_task(**changes):
    def apply(lines):
        lines[1]["task"] |= changes

    return apply


def replace_line(text):
    def apply(lines):
        lines[3] = text

    return apply


HOSTILE = [
    (replace_line("[" * 100_000), "nested too deeply"),
    (replace_line('{"experience":' * 50_000), "nested too deeply"),
    (replace_line("{]"), "must be JSON"),
    (replace_line("null"), "must be an object"),
    (replace_line('{"experience": 1, "experience": 2}'), "a name twice"),
    (replace_line('{"experience": NaN}'), "NaN is not a JSON number"),
    (replace_line('{"experience": {"time_s": ' + "9" * 5000 + "}}"), "must be JSON"),
    (replace_line('"' + "x" * (interchange.MAX_ENTRY_BYTES + 9) + '"'), "at most 4,194,304 bytes"),
    (replace_line({"pickle": "gASVJgAAAAAAAACM"}), "must hold experience; it lacks"),
    (change(run_id="x" * 501), "`run_id` must be text of at most 500 characters"),
    (change(run_id="a\0b"), "NUL"),
    (change(run_id="\ud800"), "half a character"),
    (change(task="unheard-of"), "must refer to an entry above"),
    (change(extra=1), r"has \['extra'\]"),
    (change(time_limit_s="soon"), "`time_limit_s` must be a finite number, got 'soon'"),
    (change_result(trial_id=2**31), "`trial_id` must be an integer from 0 to 2147483647"),
    (change_result(trial_id=True), "`trial_id` must be an integer"),
    (change_result(status="excellent"), "`status` must be one of"),
    (change_result(scores={"f1": "high"}), "`scores.f1` must be a finite number"),
    (change_result(curve=[[1, 2]]), "`curve` must be a list of"),
    (change_result(curve=[[1, 2, 3]] * (interchange.MAX_ITEMS + 1)), "at most 100000 items"),
    (change_result(pipeline={"model": "m"}), "must name a model and a method"),
    (change_result(pipeline={"model": "m", "method": "x", "p": {"a": 1}}), "`pipeline.p` must be a finite number"),
    (change_result(cost={"time_s": 1.0, "money": 3}), "nothing unknown"),
    (change_result(error={"kind": "x", "message": "y" * 5000}), "at most 4000 characters"),
    (change_task(sketch=[2**65]), "`sketch` must be an integer"),
    (change_task(features={"n": 1e400}), "Infinity"),
    (change_task(features={str(i): 1 for i in range(3000)}), "at most 2000 entries"),
]


@pytest.mark.parametrize(("damage", "reason"), HOSTILE)
def test_a_hostile_row_refuses_the_whole_file_with_its_reason(store, other, tmp_path, damage, reason):
    lines = dumped(store, tmp_path)
    damage(lines)
    with pytest.raises(DataError, match=rf"nothing was added(.|\n)*{reason}"):
        take_in(other, read(written(tmp_path, lines)), allow_rejects=False)
    assert other.count() == 0


@pytest.mark.parametrize(("damage", "reason"), HOSTILE)
def test_with_a_report_the_other_rows_go_in(store, other, tmp_path, damage, reason):
    lines = dumped(store, tmp_path)
    damage(lines)
    taken = take_in(other, read(written(tmp_path, lines)), allow_rejects=True)
    assert taken.n_new == other.count() == len(SOME) - 1
    write_report(tmp_path / "rejects.jsonl", taken.rejected)
    report = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert report[0]["where"] in ("line 2", "line 4")
    assert all(len(row["reason"]) < 500 for row in report)


def test_an_error_message_of_a_file_is_scrubbed(store, other, tmp_path):
    lines = dumped(store, tmp_path)
    lines[3]["experience"]["result"]["error"] = {"kind": "crashed", "message": "ValueError: bad row Zanzibar42"}
    take_in(other, read(written(tmp_path, lines)), allow_rejects=False)
    assert other.load()[0].result.error.message == "ValueError: bad row …"


def test_a_trial_that_stands_there_twice_is_taken_once(store, other, tmp_path):
    lines = dumped(store, tmp_path)
    lines[-1:] = [lines[3], {"end": len(SOME) + 1}]
    path = written(tmp_path, lines)
    with pytest.raises(DataError, match="trial 0 of run 'a' stands there twice, first at line 4"):
        take_in(other, read(path), allow_rejects=False)
    assert take_in(other, read(path), allow_rejects=True).n_new == len(SOME)


def test_an_id_cannot_be_given_to_something_else(store, other, tmp_path):
    lines = dumped(store, tmp_path)
    lines.insert(4, {**lines[1], "task": {**lines[1]["task"], "dataset_id": "forged"}})
    with pytest.raises(DataError, match="stands for something else above"):
        take_in(other, read(written(tmp_path, lines)), allow_rejects=False)


@pytest.mark.parametrize("n_lines", [2, 4, 12])
def test_a_file_that_was_cut_off_is_noticed(store, other, tmp_path, n_lines):
    path = written(tmp_path, dumped(store, tmp_path)[:n_lines])
    with pytest.raises(DataError, match="does not say that it is complete"):
        take_in(other, read(path), allow_rejects=False)
    assert other.count() == 0
    assert take_in(other, read(path), allow_rejects=True).n_new == other.count() > 0 or n_lines == 2


@pytest.mark.parametrize("end", ['{"end": Infinity}', '{"end"', '{"end": null}', '{"end": 99}', '{"end": [5]}'])
def test_a_last_line_that_says_nothing_sensible_is_noticed(store, other, tmp_path, end):
    lines = dumped(store, tmp_path)
    with pytest.raises(DataError, match="nothing was added"):
        take_in(other, read(written(tmp_path, [*lines[:-1], end])), allow_rejects=False)
    assert take_in(other, read(tmp_path / "bad.jsonl"), allow_rejects=True).n_new == len(SOME)


def test_a_feature_may_be_called_experience(other, tmp_path):
    with ExperienceStore("sqlite://") as odd:
        odd.add([make_experience(profile=make_profile(task={"experience": 1.0}))])
        export(odd, tmp_path / "odd.jsonl")
    assert take_in(other, read(tmp_path / "odd.jsonl"), allow_rejects=False).n_new == 1


def test_lines_after_the_end_are_noticed(store, other, tmp_path):
    lines = dumped(store, tmp_path)
    with pytest.raises(DataError, match="goes on after its end"):
        take_in(other, read(written(tmp_path, [*lines, lines[3]])), allow_rejects=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_torn_file_adds_nothing(store, other, tmp_path, suffix, share):
    whole, torn = tmp_path / f"whole.{suffix}", tmp_path / f"torn.{suffix}"
    export(store, whole)
    content = whole.read_bytes()
    torn.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError):
        take_in(other, read(torn), allow_rejects=False)
    assert other.count() == 0


def test_damaged_compression_adds_nothing(store, other, tmp_path):
    export(store, tmp_path / "whole.jsonl.gz")
    content = bytearray((tmp_path / "whole.jsonl.gz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "bad.jsonl.gz").write_bytes(content)
    with pytest.raises(DataError):
        take_in(other, read(tmp_path / "bad.jsonl.gz"), allow_rejects=False)
    assert other.count() == 0


def test_a_line_that_unpacks_without_end_is_passed_over_in_pieces(other, tmp_path):
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(json.dumps(interchange.header()).encode() + b"\n")
        file.write(b" " * 3 + b"[" * (5 * interchange.MAX_ENTRY_BYTES) + b"\n")
        file.write(b'{"end":1}\n')
    taken = take_in(other, read(path), allow_rejects=True)
    assert [(row.where, row.reason) for row in taken.rejected] == [
        ("line 2", "an entry must have at most 4,194,304 bytes")
    ]


@pytest.mark.parametrize("content", [b"", b"id,text\n1,hello\n", b'{"format": "other"}\n', b"\x1f\x8b\x00broken"])
def test_a_file_of_something_else_is_refused(other, tmp_path, content):
    (tmp_path / "dump.jsonl").write_bytes(content)
    with pytest.raises(DataError, match="must begin with the header of an exported store"):
        take_in(other, read(tmp_path / "dump.jsonl"), allow_rejects=True)


def test_a_file_of_another_version_is_refused(other, tmp_path):
    path = written(tmp_path, [{"format": interchange.FORMAT, "version": 2}])
    with pytest.raises(DataError, match="must be of version 1, got 2"):
        take_in(other, read(path), allow_rejects=True)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read(tmp_path / "nothing.jsonl")


def parquet_table(store, tmp_path):
    import pyarrow.parquet as pq

    export(store, tmp_path / "whole.parquet")
    return pq.read_table(tmp_path / "whole.parquet")


def test_analysts_find_plain_columns_in_parquet(store, tmp_path):
    table = parquet_table(store, tmp_path)
    assert table.column("dataset_id").to_pylist() == [e.dataset_id for e in SOME]
    assert table.column("status").to_pylist() == [e.result.status for e in SOME]
    assert table.column("f1").to_pylist() == [e.result.scores.get("f1") for e in SOME]


def test_a_parquet_file_of_several_parts_comes_back(store, other, tmp_path, monkeypatch):
    monkeypatch.setattr(dump_parquet, "PART_ROWS", 2)
    export(store, tmp_path / "dump.parquet")
    assert take_in(other, read(tmp_path / "dump.parquet"), allow_rejects=False).n_new == len(SOME)
    assert list(other.iterate()) == SOME


@pytest.mark.parametrize(
    ("column", "value", "n_bad"),
    [("task", None, 1), ("task", "{}", 1), ("system", "[1]", 1), ("experience", None, 1), ("experience", "[[", 1)],
)
def test_a_bad_cell_of_a_parquet_file_is_left_out(store, other, tmp_path, column, value, n_bad):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = parquet_table(store, tmp_path)
    values = [value, *table.column(column).to_pylist()[1:]]
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, table.schema.field(column), pa.array(values)), tmp_path / "bad.parquet")
    taken = take_in(other, read(tmp_path / "bad.parquet"), allow_rejects=True)
    assert ([row.where for row in taken.rejected], taken.n_new) == (["row 1"] * n_bad, len(SOME) - n_bad)


@pytest.mark.parametrize("damage", ["no metadata", "no column", "numbers"])
def test_a_parquet_file_of_something_else_is_refused(store, other, tmp_path, damage):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = parquet_table(store, tmp_path)
    if damage == "no metadata":
        table = table.replace_schema_metadata(None)
    elif damage == "no column":
        table = table.drop_columns(["task"])
    else:
        table = table.set_column(0, "task", pa.array([1] * len(SOME)))
    pq.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"must (be a store that was exported|have one column of text named `task`)"):
        take_in(other, read(tmp_path / "bad.parquet"), allow_rejects=True)


def test_a_store_that_fails_in_an_import_is_unchanged(store, other, tmp_path, monkeypatch):
    export(store, tmp_path / "dump.jsonl")
    other.close()
    with ExperienceStore(f"sqlite:///file:{tmp_path / 'to.db'}?mode=ro&uri=true") as read_only:
        with pytest.raises(StoreError, match="can be read but not written"):
            take_in(read_only, read(tmp_path / "dump.jsonl"), allow_rejects=False)
        assert read_only.count() == 0


def test_imported_trials_are_not_renumbered(store, other, tmp_path):
    again = replace(SOME[3], run_id="elsewhere", result=replace(SOME[3].result, trial_id=99))
    other.add([again])
    export(store, tmp_path / "dump.jsonl")
    assert take_in(other, read(tmp_path / "dump.jsonl"), allow_rejects=False).n_new == len(SOME) - 1
