"""`xautolm explain` on every kind of task: what was read, a profile of its own schema, and a space."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xautolm.config import make_settings
from xautolm.explain import explain
from xautolm.tasks import KINDS

TAGGED = {"tokens": ["the", "film", "was", "good"], "ner_tags": ["O", "B-X", "O", "O"]}
#: Kind -> schema of its profile, and a row of number i.
ROWS = {
    "text-classification": ("classification/2", lambda i: {"text": f"film {i}", "label": "ab"[i % 2]}),
    "multi-label": ("multi-label/1", lambda i: {"text": f"film {i}", "labels": ["a", "b"][: i % 3]}),
    "text-regression": ("regression/1", lambda i: {"text": f"film {i}", "score": i / 7}),
    "token-classification": ("tokens/1", lambda i: {**TAGGED, "tokens": [*TAGGED["tokens"][:3], str(i)]}),
    "question-answering": ("generation/1", lambda i: {"context": f"It is {i}.", "question": "?a", "answers": [str(i)]}),
    "text-generation": ("generation/1", lambda i: {"document": f"film {i} was good", "summary": f"good {i}"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_explained_without_being_named(
    kind: str, tiny_bert: Path, tiny_gpt2: Path, tmp_path: Path
) -> None:
    schema, row = ROWS[kind]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row(i)) for i in range(60)))
    model = tiny_gpt2 if kind == "text-generation" else tiny_bert
    explanation = explain(make_settings({"data": str(path), "models": (str(model),), "threads": 1, "semantic": False}))
    assert (explanation.kind, explanation.profile.schema) == (kind, schema)
    assert explanation.profile.task["n_train"] == 42
    assert explanation.decisions, "there is a space to search"
    assert explanation.data[1].startswith(("Classes", "Labels", "Scores", "Tags", "Answers", "Targets"))
    assert json.dumps(explanation.to_dict(), allow_nan=False)
