"""Derived tasks are what they say, and the benchmark of kinds keeps what it has."""

import json
import random

import pytest

from benchmarks import derived_tasks, kinds
from xautolm.errors import RunError


def test_stories_behind_each_other_have_all_of_their_topics():
    rows = [{"text": f"story {i}", "label": "abc"[i % 3]} for i in range(30)]
    found = list(derived_tasks.topics(rows, random.Random(0)))
    assert sum(row["text"].count("story") for row in found) == 30
    for row in found:
        numbers = [int(word) for word in row["text"].split() if word.isdigit()]
        assert row["topics"] == sorted({"abc"[i % 3] for i in numbers})


def test_a_mood_is_the_share_of_positive_phrases_in_five():
    rows = [{"text": "good" if i % 2 else "bad", "label": "positive" if i % 2 else "negative"} for i in range(40)]
    for row in derived_tasks.mood(rows, random.Random(0)):
        phrases = row["text"].split(" . ")
        assert row["mood"] == round(5 * phrases.count("good") / len(phrases), 2)


def test_answers_are_tagged_in_their_sentence_by_what_was_asked():
    context = "Ann Lee left. She came back in May 1990 with 3 dogs."
    rows = [
        {"context": context, "question": question, "answers": {"text": [text], "answer_start": [context.index(text)]}}
        for question, text in (("Who left?", "Ann Lee"), ("When was it?", "May 1990"), ("Why?", "She"))
    ]
    found = {" ".join(row["tokens"]): row["ner_tags"] for row in derived_tasks.answers(rows, random.Random(0))}
    assert found["Ann Lee left ."] == ["B-who", "I-who", "O", "O"]
    assert found["She came back in May 1990 with 3 dogs ."][4:6] == ["B-when", "I-when"]
    assert set(found["She came back in May 1990 with 3 dogs ."]) == {"O", "B-when", "I-when"}


def entry(score):
    run = {"objectives": [{"name": "f1"}], "test": {"f1": score, "accuracy": 0.5}, "n_trials": 3, "n_failed": 1}
    best = {"pipeline": {"model": "m", "method": "full"}, "scores": {"f1": 0.9}}
    return {"run": run, "best": best, "baselines": {"majority": {"f1": 0.25}}}


def test_searches_that_are_known_are_not_repeated_and_failures_are_said(tmp_path, capsys):
    asked = []

    def run(case, budget, out, data):
        asked.append(case.name)
        if case.name == "rte":
            raise RunError("nothing worked")
        return entry(0.8)

    arguments = ["--json", str(tmp_path / "kinds.json"), "--only", "sst2;rte", "--budget", "1m"]
    assert kinds.main(arguments, run=run) == 1
    assert asked == ["sst2", "rte"]
    out, err = capsys.readouterr()
    row = "| sst2 | text-classification | macro F1 | 0.250 | 0.900 | 0.800 | accuracy 0.500 | m full | 3 | 1 |"
    assert row in out
    assert "error: rte: nothing worked" in err
    kinds.main(arguments, run=run)
    assert asked == ["sst2", "rte", "rte"]
    kinds.main([*arguments[:-1], "2m"], run=run)
    assert asked[3:] == ["sst2", "rte"], "another budget is another experiment"
    assert json.loads((tmp_path / "kinds.json").read_text())["budget"] == "2m"


@pytest.mark.parametrize("name", derived_tasks.DERIVED)
def test_derived_tasks_load_as_their_kind(name, tmp_path):
    from benchmarks.recording.subsets import DEFAULT_DATA
    from xautolm.data.load import load_task

    if not DEFAULT_DATA.is_dir():
        pytest.skip("needs the shared data sets")
    path = derived_tasks.derive(name, DEFAULT_DATA, tmp_path)
    task = load_task(str(path), kind=derived_tasks.DERIVED[name][2])
    assert task.train.n_rows > 500
