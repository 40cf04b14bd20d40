"""Tagged words: forms of files, schemes of tags, cuts that lose no tag, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xautolm.data.conll import looks_like_conll, parse_conll
from xautolm.data.load import load_task
from xautolm.data.summary import summarise, summary_lines
from xautolm.data.table import write_table
from xautolm.data.tags import find_scheme, repaired
from xautolm.errors import DataError, UsageError
from xautolm.evaluate.metrics.entities import entities, tag_places

KIND = "token-classification"
NAMES = ["O", "B-PER", "I-PER", "B-LOC"]


def row(i):
    """A sentence of one person and one place."""
    words = ["Anna", "Berg", "came", "to", f"Town{i}", "."]
    return {"tokens": words, "ner_tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]}


def rows(n=60):
    return [row(i) for i in range(n)]


def lines(path, records):
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def conll(path, records, separator=" ", end="\n"):
    sentences = [
        end.join(f"{word}{separator}X{separator}{tag}" for word, tag in zip(r["tokens"], r["ner_tags"], strict=True))
        for r in records
    ]
    path.write_bytes((end * 2).join(sentences).encode())
    return str(path)


def splits(task):
    return [split for split in (task.train, task.validation, task.test) if split]


def tagged(task):
    """The words with their tags of every row."""
    return {
        tuple(zip(words, (task.labels[i] for i in target), strict=True))
        for split in splits(task)
        for words, target in zip(split.words, split.targets, strict=True)
    }


def expected(records):
    return {tuple(zip(r["tokens"], r["ner_tags"], strict=True)) for r in records}


def save(form, folder, records):
    """Write the same rows in one of the forms that tagged words come in."""
    frame = pd.DataFrame(records)
    if form == "jsonl":
        return lines(folder / "x.jsonl", records)
    if form == "parquet":
        frame.to_parquet(folder / "x.parquet")
        return str(folder / "x.parquet")
    if form == "datasets":
        import datasets

        features = datasets.Features(
            {
                "tokens": datasets.Sequence(datasets.Value("string")),
                "ner_tags": datasets.Sequence(datasets.ClassLabel(names=NAMES)),
            }
        )
        numbered = [{**r, "ner_tags": [NAMES.index(tag) for tag in r["ner_tags"]]} for r in records]
        datasets.Dataset.from_list(numbered, features=features).save_to_disk(str(folder / "x"))
        return str(folder / "x")
    if form == "lists as text":
        frame.map(json.dumps).to_csv(folder / "x.csv", index=False)
        return str(folder / "x.csv")
    if form == "words with spaces":
        frame.map(" ".join).to_csv(folder / "x.csv", index=False)
        return str(folder / "x.csv")
    separator, end = ("\t", "\r\n") if form == "tsv" else (" ", "\n")
    return conll(folder / f"x.{form}", records, separator, end)


FORMS = ["jsonl", "parquet", "datasets", "lists as text", "words with spaces", "conll", "txt", "tsv"]


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_same_task(tmp_path, form):
    task = load_task(save(form, tmp_path, rows()), kind=KIND)
    assert (task.kind, task.labels) == (KIND, ("B-LOC", "B-PER", "I-PER", "O"))
    assert tagged(task) == expected(rows())
    assert task.fingerprint == load_task(save("jsonl", tmp_path, rows()), kind=KIND).fingerprint
    for split in splits(task):
        assert split.texts == tuple(" ".join(words) for words in split.words)
        assert split.labels == ()
        assert (split.pairs, split.answers) == (None, None)


@pytest.mark.parametrize("form", ["jsonl", "parquet", "datasets", "lists as text", "conll", "txt", "tsv"])
def test_lists_of_words_and_tags_are_guessed_and_said(tmp_path, form):
    task = load_task(save(form, tmp_path, rows()))
    assert task.kind == KIND
    assert "holds lists of words, and their tags are there: the task is taken as" in task.warnings[0]


def test_columns_of_other_names_are_named(tmp_path):
    records = [{"form": r["tokens"], "upos": r["ner_tags"], "ner_tags": r["ner_tags"][::-1]} for r in rows()]
    data = lines(tmp_path / "x.jsonl", records)
    named = load_task(data, kind=KIND, columns={"words": "form", "target": "upos"})
    assert named.columns == {"words": "form", "target": "upos"}
    assert named == load_task(data, kind=KIND, target="upos", columns={"words": "form"})
    with pytest.raises(DataError, match=r"which column holds the words .* name it with `--column words=NAME`"):
        load_task(data, kind=KIND)
    with pytest.raises(UsageError, match="does not know `--text`"):
        load_task(data, kind=KIND, text="form")


# ---- CoNLL


def test_documents_comments_and_the_word_sharp_are_told_apart(tmp_path):
    text = (
        "-DOCSTART- -X- O\n\n# sent_id = 1\n# O\n# O\nAnna B-PER\n\n\n# newdoc\nBerg I-PER\n\n-DOCSTART- -X- O\n\nx O\n"
    )
    frame = parse_conll(text, "x")
    assert frame["words"].tolist() == [["#", "#", "Anna"], ["Berg"], ["x"]]
    assert frame["tags"].tolist() == [["O", "O", "B-PER"], ["I-PER"], ["O"]]


def test_words_with_spaces_in_tab_separated_files():
    frame = parse_conll("New York\tB-LOC\n.\tO\n\na\tO\n", "x")
    assert frame["words"].tolist() == [["New York", "."], ["a"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("This is a plain text.\n\nIt has lines of any length, you see.\n", "not in CoNLL form"),
        ("word\nword\n\nword\n", "line 1 has 1 cell: 'word'"),
        ("a O\nb O\nc B-X\n", "has no blank line between its 3 words"),
        ("-DOCSTART- -X- O\n\n# text = a\n", "has no words"),
    ],
)
def test_text_in_another_form_is_refused(tmp_path, text, said):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        load_task(str(tmp_path / "x.txt"))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700


def test_an_ordinary_tsv_with_blank_lines_stays_a_table(tmp_path):
    table = "text\tlabel\n\n" + "\n\n".join(f"text {i}\t{'ab'[i % 2]}" for i in range(60))
    (tmp_path / "x.tsv").write_text(table)
    assert load_task(str(tmp_path / "x.tsv")).labels == ("a", "b")
    assert not looks_like_conll(table)


def test_a_word_without_a_tag_drops_its_sentence(tmp_path):
    path = tmp_path / "x.conll"
    conll(path, rows())
    path.write_text(path.read_text().replace("Town7 X B-LOC", "Town7"))
    task = load_task(str(path))
    assert len(tagged(task)) == 59
    assert any("dropped 1 row of 60" in w and "(row 8: 6 words, 5 tags)" in w for w in task.warnings)


def test_tables_are_not_written_in_conll_form(tmp_path):
    with pytest.raises(DataError, match="unknown suffix"):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "x.conll")


# ---- schemes


def test_entities_that_begin_inside_are_written_as_iob2_and_counted(tmp_path):
    iob1 = [{**r, "ner_tags": ["I-PER", "I-PER", "O", "O", "B-LOC", "O"]} for r in rows()]
    task = load_task(lines(tmp_path / "x.jsonl", iob1))
    assert tagged(task) == expected(rows())
    assert (
        f"60 tags of 360 in `{tmp_path / 'x.jsonl'}` written as IOB2 asks (the entities stay the same)" in task.warnings
    )


@pytest.mark.parametrize(
    ("tags", "scheme", "written"),
    [
        (["I-A", "I-A", "O", "I-B", "B-B"], "IOB2", ["B-A", "I-A", "O", "B-B", "B-B"]),
        (["B-A", "I-B", "O", "I-B", "I-A"], "IOB2", ["B-A", "B-B", "O", "B-B", "B-A"]),
        (["B-A", "I-A", "E-A", "S-A", "O"], "IOBES", ["B-A", "I-A", "E-A", "S-A", "O"]),
        (["B-A", "I-A", "O", "B-A", "S-A"], "IOBES", ["B-A", "E-A", "O", "S-A", "S-A"]),
        (["B-A", "I-A", "L-A", "U-A", "I-A"], "BILOU", ["B-A", "I-A", "L-A", "U-A", "U-A"]),
        (["B", "I", "O", "I", "I"], "IOB2", ["B", "I", "O", "B", "I"]),
        (["B-A-x", "I-A-x", "O", "O", "O"], "IOB2", ["B-A-x", "I-A-x", "O", "O", "O"]),
    ],
)
def test_tags_are_written_as_their_scheme_asks(tags, scheme, written):
    found = find_scheme({tag: tags.count(tag) for tag in tags}, "x")
    assert found.name == scheme
    assert repaired([tags], found, "x")[0] == [written]


@pytest.mark.parametrize(
    "tags", [["NOUN", "VERB"], ["O", "I-A"], ["O", "PER"], ["S", "B", "NN"], ["I", "B-X", "Y", "Z"]]
)
def test_tags_without_a_scheme_stay_as_they_are(tags):
    assert find_scheme(dict.fromkeys(tags, 1), "x") is None


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B"]), min_size=1), st.booleans())
def test_no_entity_is_gained_or_lost_and_what_is_right_stays(tags, is_closed):
    names = ["O", "B-A", "I-A", "B-B", "I-B", *(["E-A", "S-A", "E-B", "S-B"] if is_closed else [])]
    scheme = find_scheme(dict.fromkeys(names, 1), "x")
    (new,), _ = repaired([tags], scheme, "x")
    assert set(new) <= set(names)

    def read(row):
        return list(entities(tag_places([*row, "B-A", "O"])[: len(row)]))

    assert read(new) == read(tags)
    assert repaired([new], scheme, "x") == ([new], [])


def test_a_scheme_beside_other_tags_is_refused(tmp_path):
    records = rows()
    records[3] = {**records[3], "ner_tags": ["PERSON", "O", "O", "O", "O", "O"]}
    with pytest.raises(DataError, match=r"mixes tags such as 'B-PER' with others: 'PERSON' \(1 word\)"):
        load_task(lines(tmp_path / "x.jsonl", records))


def test_a_place_that_only_validation_has_is_known_but_no_new_type(tmp_path):
    data = lines(tmp_path / "x.jsonl", rows())
    inside = {**row(99), "ner_tags": ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O"]}
    task = load_task(data, valid=lines(tmp_path / "v.jsonl", [inside]))
    assert task.labels == ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    other = {**row(99), "ner_tags": ["B-ORG", "O", "O", "O", "O", "O"]}
    with pytest.raises(DataError, match=r"that the training data do not have: 'B-ORG' \(1 row\)"):
        load_task(data, valid=lines(tmp_path / "w.jsonl", [other]))


# ---- cuts


def test_no_tag_is_lost_from_train_and_equal_sentences_stay_together(tmp_path):
    records = rows(300)
    records[17] = {**records[17], "ner_tags": ["B-ONE", *records[17]["ner_tags"][1:]]}
    records += [{**r, "tokens": [word.upper() for word in r["tokens"]]} for r in rows(300)]
    for seed in range(6):
        task = load_task(lines(tmp_path / "x.jsonl", records), seed=seed)
        assert {i for target in task.train.targets for i in target} == set(range(len(task.labels)))
        texts = [{text.lower() for text in split.texts} for split in splits(task)]
        assert not texts[0] & (texts[1] | texts[2])
        assert not texts[1] & texts[2]
    assert any("with more than one sequence of tags" in warning for warning in task.warnings)


# ---- odd and bad input


def test_unlike_lengths_and_empty_rows_are_dropped_and_counted(tmp_path):
    records = rows()
    records[0] = {**records[0], "ner_tags": ["O"]}
    records[1] = {"tokens": [], "ner_tags": []}
    records[2] = {"tokens": None, "ner_tags": ["O"]}
    records[3] = {**records[3], "ner_tags": None}
    records[4] = {**records[4], "ner_tags": [None, "O", "O", "O", "O", "O"]}
    path = tmp_path / "x.jsonl"
    task = load_task(lines(path, records), kind=KIND)
    assert len(tagged(task)) == 55
    assert task.warnings[0] == (
        f"dropped 5 rows of 60 in `{path}`: 2 without words, 3 with words and tags of different number "
        "(row 1: 6 words, 1 tag, row 4: 6 words, 0 tags, row 5: 6 words, 5 tags)"
    )


def test_mostly_unlike_lengths_are_refused(tmp_path):
    records = [{**r, "ner_tags": r["ner_tags"][:-1]} if i % 3 else r for i, r in enumerate(rows())]
    with pytest.raises(DataError, match=r"40 of 60 rows cannot be used: .*\(row 2: 6 words, 5 tags, .* 37 more\)"):
        load_task(lines(tmp_path / "x.jsonl", records))


def test_blank_words_are_left_out_with_their_tags(tmp_path):
    records = rows()
    records[5] = {"tokens": ["Anna", " ", "\u2003", "came"], "ner_tags": ["B-PER", "I-PER", "O", "O"]}
    task = load_task(lines(tmp_path / "x.jsonl", records))
    assert (("Anna", "B-PER"), ("came", "O")) in tagged(task)
    assert any(warning.startswith("2 blank words in") for warning in task.warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ner_tags": ["O"] * 6}, "has only the tag 'O'"),
        ({"ner_tags": [{"a": 1}] * 6}, "holds dict values in a list"),
        ({"ner_tags": {"a": 1}}, "holds dict values, expected lists"),
        ({"ner_tags": ["O", 1, "O", 1, "O", 1]}, "mixes types: str (180), int (180)"),
    ],
)
def test_tags_that_cannot_be_learned_are_refused(tmp_path, change, said):
    with pytest.raises(DataError) as caught:
        load_task(lines(tmp_path / "x.jsonl", [r | change for r in rows()]), kind=KIND)
    assert said in str(caught.value)


def test_tags_that_are_words_are_refused(tmp_path):
    records = [{**r, "ner_tags": [f"{word} {i}" for word in r["tokens"]]} for i, r in enumerate(rows())]
    with pytest.raises(DataError, match="looks like text: 360 distinct tags for 360 words"):
        load_task(lines(tmp_path / "x.jsonl", records))


def test_whole_numbers_without_names_stay_numbers(tmp_path):
    numbered = [{**r, "ner_tags": [NAMES.index(tag) for tag in r["ner_tags"]]} for r in rows()]
    assert load_task(lines(tmp_path / "x.jsonl", numbered)).labels == (0, 1, 2, 3)


def test_fingerprint_sees_words_and_tags(tmp_path):
    other, split = rows(), rows()
    other[0] = {**other[0], "ner_tags": ["O", *other[0]["ner_tags"][1:]]}
    split[0] = {"tokens": ["Anna Berg", *split[0]["tokens"][2:]], "ner_tags": split[0]["ner_tags"][1:]}
    records = [rows(), other, split, rows()]
    assert len({load_task(lines(tmp_path / "x.jsonl", found)).fingerprint for found in records}) == 3


def test_summary_counts_tags_per_word(tmp_path):
    path = lines(tmp_path / "x.jsonl", rows())
    found = summarise(load_task(path, valid=path, test=path), np.full(60, 9))
    printed = summary_lines(found)
    assert printed[0].endswith("words in `tokens`, tags in `ner_tags`")
    assert printed[1] == "Tags      4 tags of 360 words: O 50.0 %, B-LOC 16.7 %, B-PER 16.7 %, I-PER 16.7 %"
    assert dict(found.class_shares)["B-LOC"] == 1.0
