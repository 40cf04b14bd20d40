"""XAutoLM: AutoML for fine-tuning language models, warm-started from experience.

from xautolm import AutoLM
report = AutoLM(budget="30m").fit("reviews.csv", target="sentiment")
report.front, report.test, report.best.export("model/")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xautolm.api import AutoLM, Report
    from xautolm.errors import XAutoLMError
    from xautolm.records import Pipeline, TrialResult
    from xautolm.search.experience_sampler import ExperienceSampler

__all__ = ["AutoLM", "ExperienceSampler", "Pipeline", "Report", "TrialResult", "XAutoLMError"]

_HOME = {
    "AutoLM": "xautolm.api",
    "ExperienceSampler": "xautolm.search.experience_sampler",
    "Pipeline": "xautolm.records",
    "Report": "xautolm.api",
    "TrialResult": "xautolm.records",
    "XAutoLMError": "xautolm.errors",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import xautolm` stays light."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module `xautolm` has no attribute {name!r}")
