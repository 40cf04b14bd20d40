"""The published files of SQuAD and DROP give the same tasks as their flat forms."""

import json

import pytest

from xautolm.data.load import load_task
from xautolm.data.nested import flat_rows
from xautolm.errors import DataError
from xautolm.records import Answer


def squad(n_articles=12, **changes):
    """Two paragraphs per article, two questions each; the last one is impossible."""
    return {
        "version": "v2.0",
        "data": [
            {
                "title": f"Land {i}",
                "paragraphs": [
                    {
                        "context": f"The capital of land {i} is town {i}{j}.",
                        "qas": [
                            {
                                "id": f"{i}{j}a",
                                "question": f"What is the capital of land {i}?",
                                "answers": [{"text": f"town {i}{j}", "answer_start": 24 + len(str(i))}],
                                "is_impossible": False,
                            }
                            | changes,
                            {
                                "id": f"{i}{j}b",
                                "question": f"Who rules land {i}?",
                                "answers": [],
                                "plausible_answers": [{"text": "town", "answer_start": 23}],
                                "is_impossible": True,
                            },
                        ],
                    }
                    for j in range(2)
                ],
            }
            for i in range(n_articles)
        ],
    }


def drop():
    answers = [
        {"number": "3", "spans": [], "date": {"day": "", "month": "", "year": ""}},
        {"number": "", "spans": ["Anna", "Ben"], "date": {"day": "", "month": "", "year": ""}},
        {"number": "", "spans": [], "date": {"day": "4", "month": "May", "year": "1900"}},
    ]
    return {
        f"history_{i}": {
            "passage": f"Anna and Ben ran {i} times.",
            "qa_pairs": [
                {
                    "question": f"What of {i}?",
                    "answer": answers[i % 3],
                    "query_id": str(i),
                    "validated_answers": [answers[0], answers[i % 3]],
                }
            ],
            "wiki_url": "",
        }
        for i in range(60)
    }


def save(path, value):
    path.write_text(json.dumps(value))
    return str(path)


def by_context(task):
    splits = [split for split in (task.train, task.validation, task.test) if split]
    return {
        (context, question): answers
        for split in splits
        for context, question, answers in zip(split.pairs, split.texts, split.answers, strict=True)
    }


def test_published_squad_is_read_like_its_flat_form(tmp_path):
    task = load_task(save(tmp_path / "dev-v2.0.json", squad()))
    assert task.kind == "question-answering"
    found = by_context(task)
    assert len(found) == 48
    context = "The capital of land 3 is town 31."
    assert found[context, "What is the capital of land 3?"] == (Answer("town 31", 25),)
    flat = flat_rows(squad(), "x")
    assert task.fingerprint == load_task(save(tmp_path / "flat.json", flat)).fingerprint


def test_impossible_questions_have_no_answer_and_plausible_ones_do_not_count(tmp_path):
    task = load_task(save(tmp_path / "x.json", squad()))
    assert all(not answers for (_, question), answers in by_context(task).items() if question.startswith("Who"))
    assert any("24 rows of 48" in warning and "unanswerable" in warning for warning in task.warnings)
    marked = squad(is_impossible=True)
    with pytest.raises(DataError, match="no row has an answer"):
        load_task(save(tmp_path / "y.json", marked))


def test_wrong_offsets_and_answers_elsewhere_are_counted(tmp_path):
    value = squad()
    qas = [paragraph["qas"][0] for article in value["data"] for paragraph in article["paragraphs"]]
    qas[0]["answers"][0]["answer_start"] += 1
    qas[1]["answers"][0]["text"] = "nowhere"
    value["data"][2]["paragraphs"][0]["context"] = " "
    task = load_task(save(tmp_path / "x.json", value))
    path = tmp_path / "x.json"
    assert (
        f"2 answers in `{path}` not at the stated position of the context (1 of them nowhere in it): kept as text, "
        "without position"
    ) in task.warnings
    assert any("dropped 2 rows of 48" in warning and "2 without context" in warning for warning in task.warnings)


def test_published_drop_gives_its_answers_as_text(tmp_path):
    task = load_task(save(tmp_path / "drop_dataset_dev.json", drop()))
    assert task.kind == "question-answering"
    found = by_context(task)
    assert found["Anna and Ben ran 0 times.", "What of 0?"] == (Answer("3"),)
    assert found["Anna and Ben ran 1 times.", "What of 1?"] == (Answer("Anna and Ben"), Answer("3"))
    assert found["Anna and Ben ran 2 times.", "What of 2?"] == (Answer("4 May 1900"), Answer("3"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda value: value["data"][3]["paragraphs"][0].pop("context"), "no `context`"),
        (lambda value: value["data"][3]["paragraphs"][0]["qas"][0].pop("answers"), "no `answers`"),
        (lambda value: value["data"][3].update(paragraphs=3), "not iterable"),
        (lambda value: value["data"][3]["paragraphs"][0].update(qas=["q"]), "has no attribute"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, damage, said):
    value = squad()
    damage(value)
    with pytest.raises(DataError) as caught:
        load_task(save(tmp_path / "x.json", value))
    assert "begins like a file of SQuAD or DROP" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [[], {}, {"data": []}, {"data": [1]}, {"data": [{"text": "a"}]}, {"a": {"b": 1}}, 3])
def test_other_files_are_left_to_others(value):
    assert flat_rows(value, "x") is None
