"""Writes published evaluations (rows of `paper-store/*.jsonl`) as the files that the authors' code wrote.

`write_published` makes the folder `<alias>/<YYYY-MM-DD>/<HH_MM_SS>-<id>.json` of either generation: `older` (2024: one
vector, metrics at the top level) or `newer` (2025: `task_features`, a list of metrics). Failures are written twice, as
the published code did: with their text and no metrics, and 0 to 2 s later with infinities and no text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

SHARED = Path(__file__).parents[1] / "../shared/paper-store"
Generation = Literal["older", "newer"]
Row = dict[str, Any]

_FACTS = ("alias", "file", "method", "model", "params", "error", "f1", "evaluation_time")


#: Features of two data sets, as the release has them.
FEATURES = {
    "liar": {
        "dataset_features": [11524.0, 6.0, 2.5, 0.08, 0.2, 0.4, 106.9, 58.4, 0.55, 0.22],
        "system_features": [[8.0, 16.0, 5.0, 125.705, 0.0], [8.0, 16.0, 5.0, 125.706, 0.0]],
    },
    "squad": {
        "meta": [87599.0, 841.9, 320.2, 0.0136, 20.1, 21.6, 0.2, 0.027, 0.0075, 0.33, 0.05],
        "system_features": [128.0, 256.0, 2.25, 1007.65, 0.0],
    },
}


def make_row(**changes: Any) -> Row:
    """One published evaluation that worked, with some of its facts replaced."""
    row = {
        "alias": "liar",
        "file": "2024-11-02/11_20_22-fc053fb5",
        "method": "PartialFineTuneLLMEmbeddingClassifier",
        "model": "WORD_EMB_Bert_Base_Cased",
        "params": {
            "epochs": 3,
            "dropout_rate": 0.2,
            "num_trainable_layers": 2,
            "weight_decay": 0,
            "num_workers": "3/4",
        },
        "f1": 0.25,
        "evaluation_time": 120.5,
        "accuracy": 0.3,
        "error": None,
    }
    return row | changes


def shared_rows() -> list[Row]:
    """Every row of the shared sample; skips the test where it is not on this machine."""
    if not SHARED.is_dir():
        pytest.skip(f"the published evaluations are not on this machine: {SHARED}")
    return [json.loads(line) for path in sorted(SHARED.glob("*.jsonl")) for line in path.read_text().splitlines()]


def shared_features() -> dict[str, Row]:
    """Features of every data set of the shared sample."""
    if not SHARED.is_dir():
        pytest.skip(f"the published evaluations are not on this machine: {SHARED}")
    classification = json.loads((SHARED / "features.json").read_text())["datasets"]
    return classification | json.loads((SHARED / "features-qa.json").read_text())


def write_published(
    rows: Sequence[Row], features: Mapping[str, Row], folder: Path, generation: Generation
) -> dict[str, Row]:
    """Write the files of some rows; returns path inside the folder (of the first file of each row) -> row."""
    written = {}
    for i, row in enumerate(rows):
        for j, (path, content) in enumerate(files_of(row, features, generation, delay_s=i % 3)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(json.dumps(content))
            if j == 0:
                written[path] = row
    return written


def files_of(
    row: Row, features: Mapping[str, Row], generation: Generation, delay_s: int = 1
) -> Iterator[tuple[str, Row]]:
    """Path and content of the one or two files of a row."""
    if row["f1"] is not None:
        yield f"{row['alias']}/{row['file']}-x.json", _content(row, features, generation, _metrics(row), None)
        return
    yield f"{row['alias']}/{row['file']}-x.json", _content(row, features, generation, {}, row["error"])
    stamp = datetime.strptime(row["file"][:19], "%Y-%m-%d/%H_%M_%S") + timedelta(seconds=delay_s)
    second = {**row, "file": stamp.strftime("%Y-%m-%d/%H_%M_%S") + row["file"][19:]}
    infinite = {"f1": float("-inf"), "evaluation_time": float("inf")}
    yield f"{row['alias']}/{second['file']}-y.json", _content(second, features, generation, infinite, None)


def _metrics(row: Row) -> dict[str, float]:
    observed = {name: value for name, value in row.items() if name not in _FACTS}
    return {"f1": row["f1"], "evaluation_time": row["evaluation_time"]} | observed


def _content(
    row: Row, features: Mapping[str, Row], generation: Generation, metrics: Mapping[str, float], error: str | None
) -> Row:
    entry = features[re.split("_warmstart|_knn", row["alias"])[0]]
    is_task = "meta" in entry
    system = entry["system_features"]
    if isinstance(system[0], list):
        system = system[1 if "warmstart" in row["alias"] else 0]
    content = {
        "algorithms": [{row["method"]: _parameters(row)}],
        "system_features": system,
        "dataset_feature_extractor_name": f"{'GenerativeTask' if is_task else 'TextClassification'}FeatureExtractor",
        "system_feature_extractor_name": "SystemFeatureExtractor",
        "timestamp": row["file"][:19].replace("/", " ").replace("_", ":"),
        "alias": row["alias"],
        "cross_val_steps": None,
        "error": error,
    }
    vector = entry["meta"] if is_task else entry["dataset_features"]
    if generation == "older":
        older = {name: metrics.get(name) for name in ("accuracy", "f1", "evaluation_time")}
        return content | {"dataset_features": vector} | older | dict(metrics)
    semantic = [0.01 * (i % 7) - 0.03 for i in range(384)] if is_task else None
    listed = [
        {
            "name": name if name in _FACTS or name.startswith("time_") else f"obs_{name}",
            "maximize": True,
            "value": value,
        }
        for name, value in metrics.items()
    ]
    return content | {"task_features": {"meta": vector, "semantic": semantic}, "metrics": listed}


def _parameters(row: Row) -> Row:
    family = "GenerativeLanguageModel" if row["model"].startswith("TEXT_GEN") else "WordEmbeddingModel"
    model = {"inner_model": {"annotation": family, "value": {row["model"]: {}}}}
    return model | {name: {"value": value} for name, value in row["params"].items()}
