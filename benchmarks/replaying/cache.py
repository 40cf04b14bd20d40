"""Finished searches on disk, one file per (task, strategy, seed, version), so that a rerun searches only what changed.

Only what the figures of merit need of a trial is kept: another figure is no reason to search again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xautolm.records import Cost, Pipeline, TrialResult

#: Ignored by git.
CACHE = Path(__file__).parents[2] / "runs" / "replay-cache"


@dataclass(frozen=True, slots=True)
class Search:
    """What one strategy did on one task with one seed.

    Attributes:
        results: finished trials in the order they finished; their pipelines tell model and method only.
        process_s: processor time that the search took, proposals and simulation.
    """

    results: tuple[TrialResult, ...]
    process_s: float

    @classmethod
    def of(cls, results: Sequence[TrialResult], process_s: float) -> Search:
        """A search as it is read back, so that figures do not depend on whether it was kept."""
        return cls.from_dict({"trials": [_row(result) for result in results], "process_s": round(process_s, 3)})

    def to_dict(self) -> dict[str, Any]:
        return {"trials": [_row(result) for result in self.results], "process_s": self.process_s}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Search:
        return cls(tuple(_result(i, row) for i, row in enumerate(value["trials"])), float(value["process_s"]))


def _row(result: TrialResult) -> list[Any]:
    pipeline = result.pipeline
    return [result.status, result.scores.get("f1"), result.cost.time_s, pipeline.model, pipeline.method]


def _result(trial_id: int, row: list[Any]) -> TrialResult:
    status, f1, time_s, model, method = row
    scores = {} if f1 is None else {"f1": float(f1)}
    return TrialResult(trial_id, status, Pipeline(model, method, {}), scores, Cost(float(time_s)), seed=0)


@dataclass(frozen=True, slots=True)
class Cache:
    """Kept searches.

    Attributes:
        folder: where they are; None = nothing is kept.
    """

    folder: Path | None = CACHE

    def path(self, task: str, strategy: str, seed: int, version: str) -> Path | None:
        """The file of a search."""
        slug = re.sub(r"\W+", "-", strategy).strip("-")
        return None if self.folder is None else self.folder / task / slug / f"{seed}-{version}.json"

    def read(self, path: Path | None) -> Search | None:
        """The search of a file; None when there is none that can be read."""
        told = self.read_json(path)
        try:
            return None if told is None else Search.from_dict(told)
        except (ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path | None, search: Search) -> None:
        """Keep a search, all or nothing."""
        self.write_json(path, search.to_dict())

    def read_json(self, path: Path | None) -> dict[str, Any] | None:
        """What a file holds; None when there is none that can be read."""
        if path is None:
            return None
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def write_json(self, path: Path | None, value: dict[str, Any]) -> None:
        """Keep something, all or nothing."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        partial.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
        os.replace(partial, path)
