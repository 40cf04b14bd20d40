"""How models are asked: one module per formulation. Worker side.

A formulation is found by name, so that a trial imports no more than its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from xautolm.evaluate.formulations.formulation import Formulation
from xautolm.records import Family
from xautolm.registry import load_target
from xautolm.tasks import kind_of

#: Name -> where it is; `tasks.kinds` says which kinds and families use it.
TARGETS: Mapping[str, str] = {
    "sequence": "xautolm.evaluate.formulations.sequence:FORMULATION",
    "tokens": "xautolm.evaluate.formulations.tokens:FORMULATION",
    "spans": "xautolm.evaluate.formulations.spans:FORMULATION",
    "text": "xautolm.evaluate.formulations.text:FORMULATION",
}


def formulation_of(kind: str, family: Family) -> Formulation:
    """How models of a family are asked for a kind of task.

    Raises:
        KeyError: the family cannot learn it (`tasks.why_unsupported`); the space offers no such pipeline.
    """
    return cast("Formulation", load_target(TARGETS[kind_of(kind).formulations[family]]))
