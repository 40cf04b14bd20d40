"""Made-up explanations, for the tests of what is shown of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xautolm.prior.explanation import TABLE_TASKS, THIS_TASK, Counted, Decision, Explanation, NearTask
from xautolm.records import Profile


def categorical(**weights: float) -> dict[str, Any]:
    return {"kind": "categorical", "weights": weights}


def make_explanation(name: str = "sst2", n_tasks: int = 2, **facts: Any) -> Explanation:
    near = tuple(
        NearTask(
            dataset_id=name if i == 0 else f"task{i}",
            kind="text-classification" if i < 2 else "question-answering",
            distance=0.1 * i,
            groups={"task": 0.2 * i, "system": 0.0},
            is_same_data=i == 0,
            n_machines=1 + i % 2,
            n_experiences=40,
            n_ok=30,
            n_positive=20 if i < 2 else 0,
            n_negative=8 if i < 2 else 0,
            weight_positive=0.25 if i < 2 else 0.0,
            weight_negative=-0.021 if i < 2 else 0.0,
        )
        for i in range(n_tasks)
    )
    n = min(n_tasks, TABLE_TASKS) + 1
    numbers = {"kind": "float", "p10": 1e-5, "p50": 1e-4, "p90": 1e-3}
    given = {
        "dataset_id": name,
        "kind": "text-classification",
        "data": (f"Data      {name}: 80 train rows; text in `text`, label in `label`",),
        "profile": Profile("classification/1", {"n_train": 80.0, "cv_chars": 0.123456}, "system/1", {"ram_gib": 8.0}),
        "store": "sqlite:///store.db",
        "weights": {"task": 0.4, "semantic": 0.3, "system": 0.3},
        "near": near,
        "table_names": (THIS_TASK, *(task.dataset_id for task in near[: n - 1])),
        "table": tuple(tuple(abs(i - j) / 10 for j in range(n)) for i in range(n)),
        "prior_kind": "reference",
        "decisions": (
            Decision("method", categorical(full=0.5, head=0.5), categorical(full=0.2, head=0.8)),
            Decision("model", categorical(**{name: 1.0}), categorical(**{name: 1.0})),
            Decision("full.learning_rate", numbers, numbers | {"p50": 1e-3}),
            Decision("full.batch_size", categorical(**{"16": 0.5, "32": 0.5}), categorical(**{"16": 0.5, "32": 0.5})),
        ),
        "counted": (Counted("sst2", "run", 1, 0.05), Counted("sst2", "run", 2, -0.02)),
        "notes": ("Read this `first`.",),
    }
    return Explanation(**(given | facts))


def cold_explanation() -> Explanation:
    unchanged = tuple(replace(d, after=d.before) for d in make_explanation().decisions)
    return make_explanation(
        near=(),
        table_names=(THIS_TASK,),
        table=((0.0,),),
        decisions=unchanged,
        counted=(),
        prior_kind="none",
        notes=("The store holds no experiences: a run would start cold.",),
    )
