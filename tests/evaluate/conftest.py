"""A job as the backend would write it, for a tiny model and a small separable task."""

import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tiny_models import BAD, GOOD, NEUTRAL

from xautolm import registry
from xautolm.evaluate.job_folder import JobFolder
from xautolm.space.catalogue import read_model

GRADIENT = {"learning_rate": 5e-3, "batch_size": 8, "epochs": 3, "warmup_ratio": 0.06, "weight_decay": 0.01}
SHARED = {"max_length": 16, "train_fraction": 1.0, "class_weighting": False, "dropout": 0.0}
OWN = {
    "full": GRADIENT,
    "partial": GRADIENT | {"n_layers": 1},
    "lora": GRADIENT | {"lora_r": 4, "lora_alpha_ratio": 2, "lora_dropout": 0.0},
    "head": {"c": 10.0},
}


@pytest.fixture(scope="module", autouse=True)
def jobs_importable():
    """Workers find the jobs that stand in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        yield


def sentence(index: int) -> str:
    rng = random.Random(index)
    return " ".join([rng.choice(BAD if index % 2 else GOOD), *rng.choices(NEUTRAL, k=3), rng.choice(NEUTRAL)])


def write_data(folder: Path, *, n_train: int = 64, n_validation: int = 24, with_pairs: bool = False) -> None:
    """Rows whose class (0, 1) shows in their first word."""
    folder.mkdir(parents=True)
    labels: dict[str, Any] = {"kind": "text-classification", "names": ["bad", "good"]}
    for split, n, start in (("train", n_train, 0), ("validation", n_validation, 1000)):
        texts = [sentence(start + i) for i in range(n)]
        pairs = [sentence(start + i + 50) for i in range(n)] if with_pairs else None
        (folder / f"{split}.json").write_text(json.dumps({"texts": texts, "pairs": pairs}))
        labels[split] = [i % 2 for i in range(n)]
    (folder / "labels.json").write_text(json.dumps(labels))


MakeSpec = Callable[..., tuple[dict[str, Any], JobFolder]]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeSpec:
    """Makes the spec and the folder of an `evaluate` job; jobs of one test share data and cache."""
    write_data(tmp_path / "data")
    n_jobs = 0

    def make(model: Path, method: str, *, seed: int = 1, **params: Any) -> tuple[dict[str, Any], JobFolder]:
        nonlocal n_jobs
        n_jobs += 1
        spec = read_model(model, model.name)
        folder = tmp_path / f"job-{n_jobs}"
        folder.mkdir()
        fields: Mapping[str, Any] = {
            "folder": str(folder),
            "device": "cpu",
            "seed": seed,
            "data_seed": 0,
            "kind": "text-classification",
            "data": str(tmp_path / "data"),
            "cache": str(tmp_path / "cache"),
            "model": asdict(spec),
            "method_target": registry.target("methods", method),
            "params": {"pooling": spec.poolings[0], **SHARED, **OWN[method], **params},
        }
        return dict(fields), JobFolder(folder)

    return make
