"""Tasks of kinds that the shared data do not have, made from those they have: label sets, numbers, tagged words.

The texts are people's, and so is what is asked of them; only how it is put together is made here, with a fixed seed.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]

#: Words at the start of a question -> tag of its answer.
_ASKED = {"who": "who", "when": "when", "where": "where", "how many": "number", "how much": "number"}
_SENTENCE = re.compile(r"[^.!?]+[.!?]?")
_WORD = re.compile(r"\w+|[^\w\s]")


def read_rows(path: Path) -> list[Row]:
    """The rows of a gzipped jsonl file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def topics(rows: list[Row], rng: random.Random) -> Iterator[Row]:
    """Multi-label: one to three news stories (AG News) behind each other, and all of their topics."""
    rng.shuffle(rows)
    while rows:
        part = [rows.pop() for _ in range(min(rng.choice((1, 1, 2, 2, 3)), len(rows)))]
        text = " ".join(row["text"][:160] for row in part)
        yield {"text": text, "topics": sorted({row["label"] for row in part})}


def mood(rows: list[Row], rng: random.Random) -> Iterator[Row]:
    """Regression: one to four phrases of reviews (SST-2) behind each other, and how many in five are positive."""
    rng.shuffle(rows)
    while rows:
        part = [rows.pop() for _ in range(min(rng.choice((1, 2, 3, 4)), len(rows)))]
        positive = sum(row["label"] == "positive" for row in part) / len(part)
        yield {"text": " . ".join(row["text"] for row in part), "mood": round(5 * positive, 2)}


def answers(rows: list[Row], rng: random.Random) -> Iterator[Row]:
    """Tagged words: sentences of SQuAD with an answer in them, tagged by what was asked for (a person, a time, ...)."""
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for row in rows:
        asked = next((tag for words, tag in _ASKED.items() if row["question"].lower().startswith(words)), None)
        if asked is not None and row["answers"]["text"]:
            start = row["answers"]["answer_start"][0]
            spans.setdefault(row["context"], []).append((start, start + len(row["answers"]["text"][0]), asked))
    found = [row for context, marked in spans.items() for row in _tagged(context, marked)]
    rng.shuffle(found)
    yield from found


def _tagged(context: str, spans: list[tuple[int, int, str]]) -> Iterator[Row]:
    for sentence in _SENTENCE.finditer(context):
        inside = [span for span in spans if sentence.start() <= span[0] and span[1] <= sentence.end()]
        if not inside:
            continue
        words, tags, before = [], [], None
        for word in _WORD.finditer(context, sentence.start(), sentence.end()):
            here = next((span for span in inside if span[0] <= word.start() and word.end() <= span[1]), None)
            words.append(word.group())
            tags.append("O" if here is None else f"{'I' if here == before else 'B'}-{here[2]}")
            before = here
        yield {"tokens": words, "ner_tags": tags}


#: Name of the task -> data set it is made from, how, and its kind.
DERIVED: Mapping[str, tuple[str, Callable[[list[Row], random.Random], Iterator[Row]], str]] = {
    "topics": ("ag_news", topics, "multi-label"),
    "mood": ("sst2", mood, "text-regression"),
    "answers": ("squad", answers, "token-classification"),
}


def derive(name: str, data: Path, folder: Path) -> Path:
    """Write a derived task.

    Args:
        name: one of `DERIVED`.
        data: folder of the shared data sets.
        folder: where to write `<name>.jsonl`.

    Returns:
        The file.
    """
    source, make, _ = DERIVED[name]
    rows = make(read_rows(data / source / "train.jsonl.gz"), random.Random(0))
    target = folder / f"{name}.jsonl"
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return target
