"""How a job talks to the coordinator: progress and result files, and the exceptions that name a failure."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class DivergedError(Exception):
    """The loss or a validation score is not finite."""


class InvalidPipelineError(Exception):
    """The hyperparameters contradict each other or the model."""


class JobFolder:
    """The files through which a job talks to the coordinator."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.stage = "start"

    def report(self, **progress: Any) -> None:
        """Heartbeat: replace `progress.json`."""
        self.stage = str(progress.get("stage", self.stage))
        self._write("progress.json", {"at": time.time(), **progress})

    def finish(self, result: Mapping[str, Any]) -> bool:
        """Write `result.json`, once; False = there is one already, which stays as it is."""
        temporary = self._write_aside("result.json", result)
        try:
            os.link(temporary, self.path / "result.json")
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        os.replace(self._write_aside(name, value), self.path / name)

    def _write_aside(self, name: str, value: Mapping[str, Any]) -> Path:
        temporary = self.path / f".{name}.{os.getpid()}"
        temporary.write_text(json.dumps(dict(value)))
        return temporary
