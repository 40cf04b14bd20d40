"""Which multiple of AdamW's learning rate other optimizers want: `python -m benchmarks.optimizers [--json FILE]`.

Full fine-tuning and LoRA of the 3-layer encoder on 400 rows of TREC, three epochs, one seed, each at the method's
default learning rate times a factor: macro F1 on 200 validation rows. The factors of `evaluate.optimizers` are read off
this table. Takes half an hour on a busy core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import torch

from xautolm import registry
from xautolm.data.load import load_task
from xautolm.evaluate import optimizers
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.methods.method import Facts
from xautolm.records import Split, Task
from xautolm.space.catalogue import resolve_models
from xautolm.space.wide import widened

#: Optimizer -> factors on the learning rate.
FACTORS = {
    "adamw": (1.0,),
    "adafactor": (0.3, 1.0, 3.0),
    "adagrad": (1.0, 3.0, 10.0, 30.0, 100.0),
    "sgd": (30.0, 100.0, 300.0, 1000.0),
}
METHODS = ("full", "lora")
_ROWS = {"train": 400, "validation": 200}
_DATA = Path(__file__).parents[2] / "shared" / "data" / "trec"


@dataclass(frozen=True, slots=True)
class Row:
    """Macro F1 of a method with an optimizer at a multiple of its learning rate."""

    method: str
    optimizer: str
    factor: float
    f1: float


def measure(data: Path, *, epochs: int = 3) -> Iterator[Row]:
    """One trial after the other.

    Args:
        data: folder with the splits of TREC.
        epochs: of each trial.
    """
    task = load_task(str(data / "train.jsonl.gz"), valid=str(data / "validation.jsonl.gz"))
    (model,), _ = resolve_models(["all-MiniLM-L6-v2@3"], offline=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(task, root)
        for method in METHODS:
            part = widened(registry.resolve("methods", method).space(Facts([model], (32,), _ROWS["train"])))
            for name, factors in FACTORS.items():
                for factor in factors:
                    spec = {
                        **{"folder": folder, "data": folder, "cache": f"{folder}/cache", "device": "cpu"},
                        **{"seed": 1, "data_seed": 0, "kind": task.kind, "model": asdict(model)},
                        "method_target": registry.target("methods", method),
                        "params": {**part.default, "optimizer": name, "epochs": epochs},
                    }
                    named, arguments, _ = optimizers._OPTIMIZERS[name]
                    with patch.dict(optimizers._OPTIMIZERS, {name: (named, arguments, factor)}):
                        scores = evaluate_pipeline(spec, JobFolder(root))["scores"]
                    yield Row(method, name, factor, scores["f1"])


def _write(task: Task, folder: Path) -> None:
    """The rows as trials read them."""
    targets: dict[str, object] = {"kind": task.kind, "names": list(map(str, task.labels))}
    splits: dict[str, Split] = {"train": task.train, "validation": task.validation}
    for name, split in splits.items():
        texts = list(split.texts[: _ROWS[name]])
        (folder / f"{name}.json").write_text(json.dumps({"texts": texts, "pairs": None}))
        targets[name] = list(split.labels[: _ROWS[name]])
    (folder / "labels.json").write_text(json.dumps(targets))


def main() -> None:
    """Measure, print the table, and write it where the user says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_DATA, help="folder with the splits of TREC")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    print(f"{'method':8} {'optimizer':10} {'factor':>7} {'F1':>6}")
    for row in measure(given.data):
        found.append(row)
        print(f"{row.method:8} {row.optimizer:10} {row.factor:7g} {row.f1:6.3f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
