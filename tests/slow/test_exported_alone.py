"""The exported folder says the same through plain transformers, without xautolm, as through `xautolm predict`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from without_xautolm import answer_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
N_ROWS = 200
ALONE = """
import json, sys
from transformers import pipeline

classify = pipeline("text-classification", model=sys.argv[1], truncation=True, top_k=None)
assert type(classify.model).__module__.startswith("transformers."), "remote or own code"
answers = classify(json.load(open(sys.argv[2])), batch_size=8)
json.dump([{a["label"]: a["score"] for a in row} for row in answers], sys.stdout)
"""


def phrases() -> list[dict[str, str]]:
    with (ROOT / "examples" / "data" / "pros_cons.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_cli(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xautolm.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def fitted(folder: Path, rows: pd.DataFrame, model: str, method: str, *options: str) -> Path:
    rows.to_csv(folder / "train.csv", index=False)
    limits = ("--budget", "1trials", "--trial-timeout", "120s", "--cold")
    out = folder / "run"
    run_cli(
        "fit", str(folder / "train.csv"), "--models", model, "--methods", method, *limits, "--out", str(out), *options
    )
    return out


def largest_difference(out: Path, rows: pd.DataFrame, folder: Path) -> float:
    """Between `xautolm predict` and plain transformers, over all rows and labels."""
    rows.to_json(folder / "rows.jsonl", orient="records", lines=True)
    run_cli("predict", str(out / "model"), str(folder / "rows.jsonl"), "-o", str(folder / "scored.jsonl"))
    ours = pd.read_json(folder / "scored.jsonl", lines=True)
    inputs = [
        {"text": row["text"], "text_pair": row["text_pair"]} if "text_pair" in row else row["text"]
        for row in rows.to_dict("records")
    ]
    (folder / "inputs.json").write_text(json.dumps(inputs))
    theirs = answer_of(ALONE, str(out / "model"), str(folder / "inputs.json"))
    assert len(theirs) == len(ours) == N_ROWS
    differences = [
        abs(score - ours[f"prob_{label}"][i]) for i, row in enumerate(theirs) for label, score in row.items()
    ]
    assert all(max(row, key=row.__getitem__) == str(ours["prediction"][i]) for i, row in enumerate(theirs))
    return max(differences)


def odd_texts() -> list[str]:
    """Empty, past any maximum length, other scripts, control characters."""
    return ["", " ", "word " * 600, "x" * 3000, "日本語のレビュー", "🙂" * 40, "tab\tand\nline", "<b>&amp;</b>"]


@pytest.mark.parametrize(
    ("model", "method"),
    [("all-MiniLM-L6-v2@3", "full"), ("all-MiniLM-L6-v2@1", "lora"), ("all-MiniLM-L6-v2", "head")],
)
def test_single_texts(model: str, method: str, tmp_path: Path) -> None:
    table = phrases()
    out = fitted(tmp_path, pd.DataFrame(table[:300]), model, method)
    texts = [row["text"] for row in table[300:]][: N_ROWS - len(odd_texts())] + odd_texts()
    assert largest_difference(out, pd.DataFrame({"text": texts}), tmp_path) <= 1e-3


@pytest.mark.parametrize("method", ["full", "lora"])
def test_pairs(method: str, tmp_path: Path) -> None:
    table = phrases()
    rows = [
        {"text": a["text"], "text_pair": b["text"], "label": int(a["label"] == b["label"])}
        for a, b in zip(table[:300], table[300:600], strict=True)
    ]
    out = fitted(tmp_path, pd.DataFrame(rows), "all-MiniLM-L6-v2@1", method)
    texts = [row["text"] for row in table[600:]][: N_ROWS - len(odd_texts())] + odd_texts()
    pairs = pd.DataFrame({"text": texts, "text_pair": texts[::-1]})
    assert largest_difference(out, pairs, tmp_path) <= 1e-3
