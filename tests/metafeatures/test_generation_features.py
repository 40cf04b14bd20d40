"""Features of question-answering tasks: published definitions counted by hand, questions, robustness, real data."""

from __future__ import annotations

import gzip
import json
import math
import string
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer
from rouge_score.rouge_scorer import RougeScorer
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from xautolm.metafeatures import GENERATION_SCHEMA, PUBLISHED_GENERATION, build_profile, profile_task, schema_of
from xautolm.metafeatures.generation import content_words
from xautolm.metafeatures.questions import relative_place
from xautolm.metafeatures.rouge import rouge_l
from xautolm.metafeatures.semantic import TaskEmbeddings, embedding_sample, sample_texts
from xautolm.records import Answer, DataSource, Split, Task

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
#: Features of `generation/1`; another number is another schema.
N_FEATURES = 33


def make_task(rows: list[tuple[str, str, tuple[Answer, ...]]]) -> Task:
    """Rows are (context, question, answers)."""
    train = Split(tuple(r[1] for r in rows), tuple(r[0] for r in rows), (), tuple(r[2] for r in rows))
    return Task(
        dataset_id="made",
        kind="question-answering",
        labels=(),
        train=train,
        validation=Split((), (), (), ()),
        test=None,
        columns={"context": "context", "question": "question", "answers": "answers"},
        sources={"train": DataSource("made.json", "0" * 64)},
        fingerprint="f" * 64,
        sketch=(),
    )


def features_of(task: Task, **options: object) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = dict(profile_task(task, **options))  # type: ignore[arg-type]
    assert tuple(features)[:11] == PUBLISHED_GENERATION
    assert len(features) == N_FEATURES
    assert all(type(value) is float and math.isfinite(value) for value in features.values()), features
    return features


TWO = [
    ("Anna painted a red house.", "Who painted?", (Answer("Anna", 0), Answer("Anna P."))),
    ("Berlin grew quickly.", "What grew?", (Answer("green towns"),)),
]


def test_published_features_counted_by_hand() -> None:
    features = features_of(make_task(TWO))

    prompts = ["Anna painted a red house. Who painted?", "Berlin grew quickly. What grew?"]
    assert features["n_train"] == 2
    assert features["mean_prompt_chars"] == sum(map(len, prompts)) / 2
    assert features["mean_target_chars"] == (4 + 11) / 2
    assert features["std_target_chars"] == 3.5
    # Without stop words: anna painted red house painted | berlin grew quickly grew; targets: anna | green towns.
    assert features["prompt_ttr"] == 7 / 9
    assert features["target_ttr"] == 1.0
    assert features["length_ratio"] == pytest.approx((4 / len(prompts[0]) + 11 / len(prompts[1])) / 2)
    assert features["vocabulary_novelty"] == 0.5
    assert features["embedding_similarity"] == 0.0
    # ROUGE-L of "anna" in seven words: precision 1/1, recall 1/7; nothing in the second row.
    assert features["rouge_l"] == pytest.approx((2 * (1 / 7) / (1 + 1 / 7)) / 2)


def test_features_of_questions() -> None:
    rows = [*TWO, ("Berlin grew quickly.", "Why?", ())]
    features = features_of(make_task(rows))

    assert features["mean_answer_words"] == 1.5
    assert features["answer_position"] == 0.0
    assert features["span_share"] == 0.5
    assert features["unanswerable_share"] == pytest.approx(1 / 3)
    assert features["mean_references"] == 1.0
    assert features["context_share"] == pytest.approx(2 / 3)
    assert features["question_tokens_max"] == 3
    assert features["context_tokens_total"] == 3 * features["context_tokens_mean"] > 0


def test_a_row_without_words_in_its_target_has_nothing_new() -> None:
    features = features_of(make_task([TWO[1], ("There were 3.", "How many?", (Answer("3", 11),))]))

    assert features["vocabulary_novelty"] == 0.5


def test_words_are_those_of_the_published_definition() -> None:
    assert content_words("Well-known; the 1990s, U.S. and “Anna”—Zoë's") == ["wellknown", "anna", "zoës"]
    assert content_words("Привет, мир 42") == ["привет", "мир"]


def test_an_answer_that_is_part_of_a_word_or_number_is_no_span() -> None:
    assert relative_place("The 2007 season", Answer("2")) is None
    assert relative_place("The cats", Answer("cat")) is None
    assert relative_place("cats and a cat", Answer("cat")) == 1.0
    assert relative_place("It cost $2.", Answer("$2")) == pytest.approx(8 / 9)
    assert relative_place("Whatever", Answer("")) is None


some_words = ("the", "houses", "house", "painted", "paints", "2007", "of", "Zoë")
word_lists = st.lists(st.sampled_from(some_words), max_size=12)


@settings(max_examples=60, deadline=None)
@given(word_lists, word_lists)
def test_rouge_agrees_with_the_published_package(target: list[str], prompt: list[str]) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    expected = scorer.score(" ".join(target), " ".join(prompt))["rougeL"].fmeasure

    assert rouge_l([" ".join(target)], [" ".join(prompt)]) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_rouge_agrees_with_the_published_package_on_any_text(target: str, prompt: str) -> None:
    expected = RougeScorer(["rougeL"], use_stemmer=True).score(target, prompt)["rougeL"].fmeasure

    assert rouge_l([target], [prompt]) == pytest.approx(expected, abs=1e-12)


def test_similarity_of_prompts_and_targets_comes_from_embeddings() -> None:
    task = make_task(TWO)
    embeddings = TaskEmbeddings(np.arange(2), np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[::-1].copy())
    same = TaskEmbeddings(np.arange(2), np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))

    assert features_of(task, embeddings=embeddings)["embedding_similarity"] == 0.0
    assert features_of(task, embeddings=same)["embedding_similarity"] == 1.0
    assert build_profile(task, {}, embeddings=same).semantic == (0.5, 0.5)
    assert schema_of(task) == GENERATION_SCHEMA


def test_texts_to_embed_are_prompts_and_main_answers() -> None:
    task = make_task(TWO)

    texts, targets = sample_texts(task, embedding_sample(task))

    assert texts == ["Anna painted a red house. Who painted?", "Berlin grew quickly. What grew?"]
    assert targets == ["Anna", "green towns"]
    assert len(embedding_sample(make_task(TWO * 20), n_rows=7)) == 7


answers = st.lists(st.tuples(st.text(max_size=12), st.none() | st.integers(0, 30)), max_size=3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=30), answers), max_size=12))
def test_arbitrary_text_gives_finite_features(rows: list[tuple[str, str, list[tuple[str, int | None]]]]) -> None:
    features_of(make_task([(c, q, tuple(Answer(text, start) for text, start in given)) for c, q, given in rows]))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("", "", ())] * 3,
        [("", "", (Answer(""),))] * 3,
        [("\N{PILE OF POO} \N{ZERO WIDTH JOINER}", "\N{PILE OF POO}?", (Answer("\N{PILE OF POO}", 0),))] * 3,
        [("lone \ud800 surrogate", "which \ud800?", (Answer("\ud800", 5),))] * 3,
        [("the of and", "is the?", (Answer("the", 0),))] * 3,
        [("long " * 200_000, "How long?", (Answer("long", 0),))] * 3,
        [("a," * 500_000, "a" * 1_000_000, (Answer("a," * 500_000), Answer("b")))] * 3,
        [(f"word {i} and more. " * 100, f"word {i}?", (Answer(f"other {i} words. " * 1_000),)) for i in range(60)],
    ],
    ids=[
        *("no rows", "empty", "empty answers", "emoji", "surrogate", "stop words only", "1 MB contexts"),
        *("1 MB without spaces", "answers of thousands of words"),
    ],
)
def test_odd_tasks_give_finite_features_and_no_warnings(rows: list[tuple[str, str, tuple[Answer, ...]]]) -> None:
    features_of(make_task(rows))


def read_squad(n_rows: int) -> list[tuple[str, str, tuple[Answer, ...]]]:
    path = SHARED_DATA / "squad" / "train.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the shared data set squad is not at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in islice(file, n_rows)]
    places = [map(Answer, line["answers"]["text"], line["answers"]["answer_start"]) for line in lines]
    return [(line["context"], line["question"], tuple(given)) for line, given in zip(lines, places, strict=True)]


def test_words_of_real_texts_are_those_of_the_published_tokenizer() -> None:
    """NLTK's, without the models for sentences, which must be downloaded: our texts are not split into sentences."""
    without_punctuation = str.maketrans("", "", string.punctuation)
    texts = [text for context, question, _ in read_squad(200) for text in (context, question)]
    expected = [NLTKWordTokenizer().tokenize(text.lower().translate(without_punctuation)) for text in texts]
    n_other = sum(
        content_words(text) != [word for word in words if word.isalpha() and word not in ENGLISH_STOP_WORDS]
        for text, words in zip(texts, expected, strict=True)
    )

    assert n_other <= len(texts) // 100


def test_real_questions_resemble_the_published_features() -> None:
    """The published SQuAD features come from the whole training set; ours is a sample of 3,000 rows."""
    features = features_of(make_task(read_squad(1000)))

    assert features["mean_prompt_chars"] == pytest.approx(841.9, rel=0.15)
    assert features["mean_target_chars"] == pytest.approx(20.15, rel=0.25)
    assert features["vocabulary_novelty"] == pytest.approx(0.0075, abs=0.01)
    assert features["rouge_l"] == pytest.approx(0.0514, abs=0.02)
    assert features["span_share"] == 1.0
