"""Every real classification set loads, and the shipped example is what its README says."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xautolm.data.load import load_task

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/data"
EXAMPLE = ROOT / "examples/data/pros_cons.csv"
SETS = {
    "sst2": (4000, 872, 1000, 2),
    "liar": (4000, 1000, 1000, 6),
    "meld": (4000, 1000, 1000, 7),
    "ag_news": (3999, 1000, 1000, 4),
    "trec": (4000, 1000, 500, 6),
    "mrpc": (3668, 408, 1000, 2),
    "sms_spam": (3660, 1000, 500, 2),
    "pros_cons": (4000, 1000, 1000, 2),
    "cola": (3600, 1000, 400, 2),  # these three have no test file: 10 % of train become the test split
    "rte": (2241, 277, 249, 2),
    "movie_reviews": (1440, 400, 160, 2),
}


def load_shared(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the shared data are not on this machine: {folder}")
    files = {role: folder / f"{role}.jsonl.gz" for role in ("train", "validation", "test")}
    test = str(files["test"]) if files["test"].exists() else None
    return load_task(str(files["train"]), valid=str(files["validation"]), test=test)


@pytest.mark.parametrize("name", SETS)
def test_shared_set_loads(name):
    task = load_shared(name)
    assert task.test is not None
    assert (task.train.n_rows, task.validation.n_rows, task.test.n_rows, len(task.labels)) == SETS[name]
    assert task.dataset_id == name
    assert task.is_pair == (name in ("mrpc", "rte"))
    assert len(task.sketch) == 256


@pytest.mark.parametrize(
    ("name", "n_rows", "n_spans"), [("squad", (3000, 600, 600), 3000), ("drop", (2700, 600, 300), 0)]
)
def test_shared_questions_load(name, n_rows, n_spans):
    task = load_shared(name)
    assert task.kind == "question-answering"
    assert (task.train.n_rows, task.validation.n_rows, task.test.n_rows) == n_rows
    assert sum(answers[0].start is not None for answers in task.train.answers) == n_spans
    assert not set(task.train.pairs) & (set(task.validation.pairs) | set(task.test.pairs))
    assert not [warning for warning in task.warnings if "leakage" in warning or "position" in warning]


def test_known_leakage_of_meld_is_reported():
    warnings = " ".join(load_shared("meld").warnings)
    # data/README.md counts exact repeats (368, 99, 111, 77); up to case and white space there can only be more
    assert "rows of 1,000 in validation are also in train (leakage)" in warnings
    assert "rows of 1,000 in test are also in validation (leakage)" in warnings
    assert "texts in train with more than one label" in warnings


def test_example_loads_and_is_small():
    task = load_task(str(EXAMPLE), target="label")
    assert task.dataset_id == "pros_cons"
    assert task.labels == ("con", "pro")
    assert (task.train.n_rows, task.validation.n_rows, task.test.n_rows) == (2400, 300, 300)
    assert EXAMPLE.stat().st_size < 250_000


def test_example_names_its_licence():
    readme = (EXAMPLE.parent / "README.md").read_text()
    assert "Pros and cons dataset by Bing Liu (http://www.cs.uic.edu/~liub) is licensed under CC BY 4.0" in readme


def test_example_is_what_its_script_makes(tmp_path):
    source = SHARED / "pros_cons/train.jsonl.gz"
    if not source.exists():
        pytest.skip(f"the shared data are not on this machine: {source}")
    script = tmp_path / "make_pros_cons.py"
    script.write_text((EXAMPLE.parent / "make_pros_cons.py").read_text())
    subprocess.run([sys.executable, script, source], check=True)
    assert (tmp_path / "pros_cons.csv").read_bytes() == EXAMPLE.read_bytes()


def test_loading_imports_no_training_stack(tmp_path):
    rows = [("text", "label")] + [(f"text {i}", "ab"[i % 2]) for i in range(60)]
    with (tmp_path / "x.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    code = (
        "import sys, json; from xautolm.data.load import load_task; import xautolm.data.summary; "
        f"load_task({str(tmp_path / 'x.csv')!r}); "
        "print(json.dumps([m for m in ('torch', 'transformers', 'datasets', 'sklearn') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
