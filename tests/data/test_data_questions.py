"""Question answering data: forms of answers, positions, splits by context, what is refused."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xautolm.data.answers import read_answers
from xautolm.data.load import load_task
from xautolm.data.summary import summarise, summary_lines
from xautolm.errors import DataError, UsageError
from xautolm.records import Answer, Split

QA = "question-answering"


def row(i, n_contexts=20, **changes):
    """A SQuAD row; the contexts repeat."""
    context = f"In year {1000 + i % n_contexts} the king of land {i % n_contexts} died."
    answers = {"text": [f"land {i % n_contexts}"], "answer_start": [context.index("land")]}
    return {"id": str(i), "context": context, "question": f"Whose king died, {i}?", "answers": answers} | changes


def rows(n=60, **changes):
    return [row(i, **changes) for i in range(n)]


def lines(path, records):
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def splits(task):
    return [split for split in (task.train, task.validation, task.test) if split]


def by_question(task):
    return {
        question: (context, answers)
        for split in splits(task)
        for question, context, answers in zip(split.texts, split.pairs, split.answers, strict=True)
    }


def save(kind, path, records):
    """Write the same rows in one of the forms that data come in."""
    if kind == "jsonl":
        return lines(path / "x.jsonl", records)
    if kind == "json":
        (path / "x.json").write_text(json.dumps(records))
        return str(path / "x.json")
    if kind == "parquet":
        pd.DataFrame(records).to_parquet(path / "x.parquet")
        return str(path / "x.parquet")
    import datasets

    if kind == "datasets, list of objects":
        pairs = [zip(r["answers"]["text"], r["answers"]["answer_start"], strict=True) for r in records]
        listed = [[{"text": text, "answer_start": start} for text, start in pair] for pair in pairs]
        records = [{**r, "answers": a} for r, a in zip(records, listed, strict=True)]
    datasets.Dataset.from_list(records).save_to_disk(str(path / "x"))
    return str(path / "x")


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet", "datasets", "datasets, list of objects"])
def test_all_forms_of_squad_give_the_same_task(tmp_path, form):
    records = rows()
    records[5]["answers"] = {"text": ["land 5", "5"], "answer_start": [25, 30]}
    task = load_task(save(form, tmp_path, records))
    assert (task.kind, task.labels) == (QA, ())
    assert task.columns == {"context": "context", "question": "question", "answers": "answers"}
    found = by_question(task)
    assert len(found) == 60
    for record in records:
        expected = tuple(map(Answer, record["answers"]["text"], record["answers"]["answer_start"]))
        assert found[record["question"]] == (record["context"], expected)
    assert task.fingerprint == load_task(save("jsonl", tmp_path, records)).fingerprint
    assert {len(split.labels) for split in splits(task)} == {0}


def test_drop_form_and_numbers_have_no_positions(tmp_path):
    records = [row(i, answers=[str(i), i + 0.5, "  "]) for i in range(60)]
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert by_question(task)["Whose king died, 7?"][1] == (Answer("7"), Answer("7.5"))
    assert task.warnings == ()


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_plain_answers_of_text_files(tmp_path, suffix):
    frame = pd.DataFrame([row(i, answers="" if i == 3 else f"land, {i}") for i in range(60)])
    frame.to_csv(tmp_path / f"x.{suffix}", index=False, sep="," if suffix == "csv" else "\t")
    task = load_task(str(tmp_path / f"x.{suffix}"))
    found = by_question(task)
    assert found["Whose king died, 4?"][1] == (Answer("land, 4"),)
    assert found["Whose king died, 3?"][1] == ()
    assert any("1 row of 60" in warning and "unanswerable" in warning for warning in task.warnings)


@pytest.mark.parametrize("nothing", [{"text": [], "answer_start": []}, [], None, "", ["", " "]])
def test_rows_without_answer_are_kept_and_counted(tmp_path, nothing):
    task = load_task(
        lines(tmp_path / "x.jsonl", [row(i, **({"answers": nothing} if i < 9 else {})) for i in range(60)])
    )
    assert sum(not answers for _, answers in by_question(task).values()) == 9
    assert [w for w in task.warnings if "unanswerable" in w] == [
        f"9 rows of 60 in `{tmp_path / 'x.jsonl'}` without answer (unanswerable)"
    ]


def test_rows_without_question_or_context_are_dropped_and_counted(tmp_path):
    records = rows()
    records[0]["question"], records[1]["context"], records[2]["context"] = None, "  ", None
    del records[3]["question"]
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert len(by_question(task)) == 56
    assert any("dropped 4 rows of 60" in w and "2 without question, 2 without context" in w for w in task.warnings)


@pytest.mark.parametrize("starts", [[20], [-7], [10**12], [21, 22], [0.5], ["21"], [True]])
def test_an_answer_that_is_not_where_it_should_be_keeps_its_text(tmp_path, starts):
    records = rows()
    records[8]["answers"] = {"text": ["land 8"], "answer_start": starts}
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert by_question(task)["Whose king died, 8?"][1] == (Answer("land 8"),)
    assert any(w.startswith("1 answer in") and "not at the stated position" in w for w in task.warnings)


@pytest.mark.parametrize("starts", [[-1], [None], [], None])
def test_an_answer_without_position_is_no_mistake(tmp_path, starts):
    records = rows()
    records[8]["answers"] = {"text": ["eight"], "answer_start": starts}
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert by_question(task)["Whose king died, 8?"][1] == (Answer("eight"),)
    assert task.warnings == ()


def test_positions_count_characters_also_after_emoji_and_broken_ones():
    context = "a \U0001f600 b \ud83d c"
    assert read_answers({"text": ["c"], "answer_start": [8]}, context.replace("\ud83d", "\ufffd")) == (
        (Answer("c", 8),),
        0,
    )


# ---- splits


def test_no_context_is_in_two_splits(tmp_path):
    task = load_task(lines(tmp_path / "x.jsonl", rows(600, n_contexts=60)), seed=4)
    contexts = [set(split.pairs) for split in splits(task)]
    assert [split.n_rows for split in splits(task)] == [480, 60, 60]
    assert len(set.union(*contexts)) == sum(map(len, contexts)) == 60


def test_seed_moves_the_cut_but_not_the_fingerprint(tmp_path):
    data = lines(tmp_path / "x.jsonl", rows(300))
    first, again, other = (load_task(data, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.test != other.test
    assert (first.fingerprint, first.sketch) == (other.fingerprint, other.sketch)


def test_fingerprint_sees_texts_and_positions_of_answers(tmp_path):
    changed = rows()
    changed[0]["answers"] = {"text": ["land 0"], "answer_start": [-1]}
    again = rows()
    again[0]["answers"] = {"text": ["Land 0"], "answer_start": [-1]}
    prints = {
        load_task(lines(tmp_path / f"{i}.jsonl", r)).fingerprint for i, r in enumerate((rows(), changed, again, rows()))
    }
    assert len(prints) == 3


def test_repeats_and_leakage_are_counted(tmp_path):
    train, valid = rows(60), [row(i, n_contexts=1000) for i in range(100, 110)]
    train[3] = {**train[2], "question": train[2]["question"].upper() + " "}
    valid[0], valid[1] = train[5], {**train[6], "question": "Who else died?"}
    task = load_task(
        lines(tmp_path / "x.jsonl", train),
        valid=lines(tmp_path / "v.jsonl", valid),
        test=lines(tmp_path / "t.jsonl", [row(i, n_contexts=1000) for i in range(200, 210)]),
    )
    assert task.warnings == (
        "1 row of 60 in train repeat an earlier row's question and context",
        "1 row of 10 in validation are also in train (leakage): validation scores are too good",
        "1 row of 10 in validation with a context that is also in train (leakage): validation scores are too good",
    )


def test_one_context_only_cannot_be_cut(tmp_path):
    with pytest.raises(DataError, match=r"no validation rows can be cut from 60 training rows: .* distinct contexts"):
        load_task(lines(tmp_path / "x.jsonl", rows(60, n_contexts=1)))


# ---- columns and kinds


def test_other_names_are_guessed_when_the_kind_is_given(tmp_path):
    records = [
        {"passage": r["context"], "Query": r["question"], "answers_spans": {"spans": ["x"], "types": ["span"]}}
        for r in rows()
    ]
    task = load_task(lines(tmp_path / "x.jsonl", records), kind=QA)
    assert task.columns == {"context": "passage", "question": "Query", "answers": "answers_spans"}
    assert by_question(task)["Whose king died, 0?"][1] == (Answer("x"),)


def test_named_columns_win(tmp_path):
    records = [{**r, "hint": "h " + r["context"], "gold": "yes"} for r in rows()]
    columns = {"context": "hint", "answers": "gold"}
    task = load_task(lines(tmp_path / "x.jsonl", records), kind=QA, columns=columns)
    assert task.columns == {"context": "hint", "question": "question", "answers": "gold"}
    assert set(task.train.answers) == {(Answer("yes"),)}


def test_multiple_choice_and_named_columns_stay_classification(tmp_path):
    records = [{**r, "answers": ["a", "b"], "label": i % 2} for i, r in enumerate(rows())]
    data = lines(tmp_path / "x.jsonl", records)
    assert load_task(data, text="question").kind == "text-classification"
    assert load_task(data, columns={"text": "question", "text_pair": "context"}).kind == "text-classification"
    del records[0]["label"]
    named = load_task(lines(tmp_path / "y.jsonl", records), text="question", target="label")
    assert named.labels == (0, 1)


def refused(path, records, error=DataError, **arguments):
    with pytest.raises(error) as caught:
        load_task(lines(path / "x.jsonl", records), kind=QA, **arguments)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    assert len(message) < 700
    return message


def test_columns_that_cannot_be_guessed_name_the_flag(tmp_path):
    message = refused(tmp_path, [{"text": "a", "label": "b"}] * 3)
    assert "which column holds the context" in message
    assert "`--column context=NAME`" in message
    assert "`text`, `label`" in message


def test_options_of_classification_and_unknown_roles_are_usage_errors(tmp_path):
    assert "--column question=NAME" in refused(tmp_path, rows(), UsageError, text="question")
    assert "came 'target'" in refused(tmp_path, rows(), UsageError, columns={"target": "answers"})
    assert "two roles" in refused(tmp_path, rows(), UsageError, columns={"context": "question", "question": "question"})
    assert "did you mean `question`?" in refused(tmp_path, rows(), columns={"question": "qestion"})


@pytest.mark.parametrize(
    "written",
    [
        "{'text': ['land'], 'answer_start': [21]}",
        '{"answer_start": [21], "text": ["land"]}',
        "{'text': array(['land'], dtype=object)}",
        "['a', 'b']",
        '[{"text": "a"}]',
        "[]",
    ],
)
def test_structures_written_as_text_are_refused(tmp_path, written):
    pd.DataFrame([row(i, answers=written if i == 50 else "x") for i in range(60)]).to_csv(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"written as text .* save the data as `.jsonl`"):
        load_task(str(tmp_path / "x.csv"))


@pytest.mark.parametrize("plain", ["[citation needed]", "{x}", "[the king]", "'text'"])
def test_brackets_in_a_plain_answer_are_text(tmp_path, plain):
    pd.DataFrame([row(i, answers=plain) for i in range(60)]).to_csv(tmp_path / "x.csv")
    assert set(load_task(str(tmp_path / "x.csv")).train.answers) == {(Answer(plain),)}


@pytest.mark.parametrize(
    ("cell", "said"),
    [(True, "bool"), ({"span": "x"}, "dict"), ({"text": [{"a": 1}]}, "dict"), ([[[[["deep"]]]]], "list")],
)
def test_answers_of_another_form_are_refused(tmp_path, cell, said):
    message = refused(tmp_path, [row(i, answers=cell) for i in range(60)])
    assert f"holds {said} values" in message
    assert "`--column answers=NAME`" in message


def test_a_column_without_any_answer_is_refused(tmp_path):
    assert "no row has an answer in column `answers`" in refused(tmp_path, [row(i, answers=None) for i in range(60)])


def test_mostly_empty_questions_are_refused(tmp_path):
    message = refused(tmp_path, [row(i, **({"question": ""} if i < 40 else {})) for i in range(60)])
    assert "40 of 60 rows cannot be used (40 without question, 0 without context)" in message


# ---- properties, summary


cells = st.recursive(
    st.none() | st.text() | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner) | st.fixed_dictionaries({"text": inner, "answer_start": inner}),
    max_leaves=8,
)


@given(cells, st.text())
def test_any_cell_gives_sound_answers_or_a_type_error(cell, context):
    try:
        answers, n_misplaced = read_answers(cell, context)
    except TypeError:
        return
    assert n_misplaced >= 0
    assert len(set(answers)) == len(answers)
    for answer in answers:
        assert answer.text.strip()
        assert answer.start is None or context[answer.start :].startswith(answer.text)


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text())
def test_a_span_keeps_its_position_in_numpy_form_too(span, before, after):
    cell = {"text": np.array([span], dtype=object), "answer_start": np.array([len(before)], dtype=np.int32)}
    assert read_answers(cell, before + span + after) == ((Answer(span, len(before)),), 0)


def test_summary_speaks_of_answers(tmp_path):
    records = rows()
    records[0]["answers"] = {"text": [], "answer_start": []}
    path = lines(tmp_path / "x.jsonl", records)
    task = load_task(path, valid=path, test=path)
    found = summarise(task, np.full(60, 12))
    assert found.class_shares == ()
    printed = summary_lines(found)
    assert printed[0].endswith("question in `question`, context in `context`, answers in `answers`")
    assert printed[1] == "Answers   59 of 60 training rows have one, 59 of them as a span of the context"
    assert math.isfinite(found.tokens_per_word)


def test_splits_hold_questions_as_texts_and_contexts_as_pairs(tmp_path):
    path = lines(tmp_path / "x.jsonl", rows(2))
    first = row(0)
    assert load_task(path, valid=path, test=path).train == Split(
        texts=(first["question"], row(1)["question"]),
        pairs=(first["context"], row(1)["context"]),
        labels=(),
        answers=((Answer("land 0", 25),), (Answer("land 1", 25),)),
    )
