"""Meta-features: what a task and a machine look like as named numbers, so that tasks can be compared.

Every set of features has a versioned name (`classification/1`, `system/1`). Profiles are comparable only
when the names are equal; adding, removing or redefining a feature needs a new number.
"""

from __future__ import annotations

from collections.abc import Mapping

from xautolm.metafeatures.labels import label_features
from xautolm.metafeatures.landmarks import tree_landmark
from xautolm.metafeatures.text import documents, text_features
from xautolm.records import Profile, Task

TASK_SCHEMA = "classification/1"
SYSTEM_SCHEMA = "system/1"

#: Names of the task features in the published order (`method.md` section 4).
TASK_FEATURES = (
    "n_train",
    "n_classes",
    "label_entropy_bits",
    "min_class_share",
    "max_class_share",
    "imbalance",
    "mean_chars",
    "std_chars",
    "cv_chars",
    "tree_landmark",
)


def profile_task(task: Task, *, exact: bool = False) -> Mapping[str, float]:
    """Compute the ten published features of a classification task from its training split.

    Args:
        task: text classification, one text or a pair; a pair counts as its two texts joined by a space.
        exact: compute the landmark on all rows as published instead of on a seeded sample of at most 4,000
            rows. The other features always see every row.

    Returns:
        The names of `TASK_FEATURES`, in that order, with finite values.
    """
    texts = documents(task.train)
    values = text_features(texts) | label_features(task.train.labels)
    values["tree_landmark"] = tree_landmark(texts, task.train.labels, exact=exact)
    return {name: values[name] for name in TASK_FEATURES}


def build_profile(task: Task, machine_features: Mapping[str, float]) -> Profile:
    """Join the features of the task with those of the machine (`machine.system_features`)."""
    return Profile(
        schema=TASK_SCHEMA,
        task=profile_task(task),
        system_schema=SYSTEM_SCHEMA,
        system=dict(machine_features),
    )
