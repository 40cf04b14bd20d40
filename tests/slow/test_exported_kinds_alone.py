"""Models of every other kind of task, searched and exported by the command, answer the same without xautolm."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import xautolm
from without_xautolm import answer_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
N_TRAIN, N_NEW = 160, 24
#: Written with the documented classes of transformers alone.
ALONE = """
import json, sys
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer, pipeline

kind, folder, rows = sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text())


def label_sets():
    classify = pipeline("text-classification", model=folder, truncation=True, top_k=None)
    return [
        sorted(found["label"] for found in row if found["score"] >= 0.5)
        for row in classify([row["text"] for row in rows])
    ]


def numbers():
    rate = pipeline("text-classification", model=folder, truncation=True)
    return [found["score"] for found in rate([row["text"] for row in rows])]


def tags():
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    answers = []
    for row in rows:
        encoded = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            best = model(**encoded).logits[0].argmax(-1).tolist()
        words = encoded.word_ids(0)
        firsts = [words.index(i) for i in range(len(row["tokens"]))]
        answers.append([model.config.id2label[best[place]] for place in firsts])
    return answers


def spans():
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    longest = json.loads(Path(folder, "xautolm.json").read_text())["notes"]["answer_form"]["max_tokens"]
    answers = []
    for row in rows:
        encoded = tokenizer(row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        parts = encoded.sequence_ids(0)
        with torch.inference_mode():
            outputs = model(**encoded)
        starts, ends = outputs.start_logits[0].tolist(), outputs.end_logits[0].tolist()
        places = [i for i, part in enumerate(parts) if part == 1]
        pairs = [(i, j) for i in places for j in places if i <= j < i + longest]
        first, last = max(pairs, key=lambda pair: starts[pair[0]] + ends[pair[1]])
        answers.append(row["context"][offsets[first][0] : offsets[last][1]])
    return answers


def writings():
    notes = json.loads(Path(folder, "xautolm.json").read_text())["notes"]
    is_decoder = notes["start_id"] is None
    auto = transformers.AutoModelForCausalLM if is_decoder else transformers.AutoModelForSeq2SeqLM
    tokenizer, model = AutoTokenizer.from_pretrained(folder), auto.from_pretrained(folder).eval()
    answers = []
    for row in rows:
        prompt = notes["template"].format(**row)
        inputs = tokenizer(
            prompt, return_tensors="pt", return_token_type_ids=False, add_special_tokens=notes["adds_special"]
        )
        written = model.generate(**inputs)[0]
        own = written[inputs["input_ids"].shape[1] :] if is_decoder else written
        answers.append(tokenizer.decode(own, skip_special_tokens=True).strip())
    return answers


ways = {"label sets": label_sets, "numbers": numbers, "tags": tags, "spans": spans, "writings": writings}
json.dump(ways[kind](), sys.stdout)
"""

Row = dict[str, Any]


def phrases() -> list[tuple[str, str]]:
    with (ROOT / "examples" / "data" / "pros_cons.csv").open(encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def two_phrases(i: int) -> Row:
    (first, label), (second, other) = phrases_read[2 * i], phrases_read[2 * i + 1]
    return {"text": f"{first} . {second}", "labels": sorted({label, other})}


def rated(i: int) -> Row:
    row = two_phrases(i)
    n_good = sum(label == "pro" for _, label in phrases_read[2 * i : 2 * i + 2])
    return {"text": row["text"], "score": n_good + 0.001 * (i % 50)}


def tagged(i: int) -> Row:
    text, label = phrases_read[i]
    words = text.split()
    return {"tokens": words, "ner_tags": [f"B-{label}", *(f"I-{label}" for _ in words[1:])]}


def asked(i: int) -> Row:
    pros = [text for text, label in phrases_read if label == "pro"]
    cons = [text for text, label in phrases_read if label == "con"]
    context = f"Good: {pros[i]}. Bad: {cons[i]}."
    return {
        "id": str(i),
        "context": context,
        "question": "What is bad?",
        "answers": {"text": [cons[i]], "answer_start": [context.rindex(cons[i])]},
    }


def rewritten(i: int) -> Row:
    text, label = phrases_read[i]
    return {"text": text, "target": "bad" if label == "con" else "good"}


phrases_read = phrases()


@dataclass(frozen=True)
class Kind:
    """How one kind of task is trained, and answered without xautolm."""

    task: str
    way: str
    model: str
    row: Callable[[int], Row]
    answers: tuple[str, ...]


KINDS = {
    "multi-label": Kind("multi-label", "label sets", "all-MiniLM-L6-v2@1", two_phrases, ("labels",)),
    "regression": Kind("text-regression", "numbers", "all-MiniLM-L6-v2@1", rated, ("score",)),
    "tokens": Kind("token-classification", "tags", "all-MiniLM-L6-v2@1", tagged, ("ner_tags",)),
    "found": Kind("question-answering", "spans", "all-MiniLM-L6-v2@1", asked, ("answers",)),
    "written": Kind("question-answering", "writings", "xautolm-causal-3m", asked, ("answers",)),
    "text": Kind("text-generation", "writings", "xautolm-causal-3m", rewritten, ("target",)),
}


def write_rows(file: Path, rows: list[Row]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_exported_folder_answers_as_the_command_does(
    name: str, method: str, tmp_path: Path, own_store: str
) -> None:
    kind = KINDS[name]
    train = write_rows(tmp_path / "train.jsonl", [kind.row(i) for i in range(N_TRAIN)])
    limits = ("--budget", "1trials", "--trial-timeout", "300s", "--cold", "--no-baselines", "--no-semantic")
    what = ("fit", train, "--task", kind.task, "--models", kind.model, "--methods", method)
    xautolm(*what, *limits, "--out", "run", cwd=tmp_path, store=own_store)
    new = [kind.row(i) for i in range(N_TRAIN, N_TRAIN + N_NEW)]
    bare = [{key: value for key, value in row.items() if key not in kind.answers} for row in new]
    rows = write_rows(tmp_path / "new.jsonl", bare)
    model = str(tmp_path / "run" / "model")

    xautolm("predict", model, rows, "-o", "scored.jsonl", cwd=tmp_path, store=own_store)
    ours = [json.loads(line)["prediction"] for line in (tmp_path / "scored.jsonl").read_text().splitlines()]

    (tmp_path / "rows.json").write_text(json.dumps(bare))
    theirs = answer_of(ALONE, kind.way, model, str(tmp_path / "rows.json"))
    assert len(ours) == len(theirs) == N_NEW
    if kind.way == "numbers":
        assert theirs == pytest.approx(ours, abs=1e-4)
    else:
        assert theirs == ours
