"""The same fine-tunes through this project's workers: `python -m benchmarks.tuning.ours SPEC`, a process of its own.

What a search does with trials that are given: workers forked from a server, rows tokenised by the first trial that
needs them, eight validations on the way, the best parameters kept, the latency measured, the parameters saved.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.tuning.drawn import Configuration
from xautolm.evaluate.isolate import WorkerServer
from xautolm.evaluate.job import Job, Outcome
from xautolm.records import Pipeline, Trial, TrialResult

_TIME_LIMIT_S, _MEMORY_LIMIT_MIB = 3600.0, 8192.0


class WatchedServer(WorkerServer):
    """Keeps what every trial wrote, by the name of its folder, and when the first one started."""

    def __init__(self, log_path: Path) -> None:
        super().__init__(log_path)
        self.outcomes: dict[str, Outcome] = {}
        self.first = float("inf")

    def poll(self) -> list[tuple[Job, Outcome]]:
        ended = super().poll()
        self.outcomes.update({job.folder.name: outcome for job, outcome in ended})
        self.first = min([self.first, *(job.started for job, _ in ended)])
        return ended


def main(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Start the workers' server, import the rest beside it as a run does, and evaluate.

    Args:
        spec: see `evaluate_all`.
    """
    server = WatchedServer(Path(spec["scratch"]) / "server.log")
    try:
        server.start()
        return evaluate_all(spec, server)
    finally:
        server.close()


def evaluate_all(spec: Mapping[str, Any], server: WatchedServer) -> dict[str, Any]:
    """Evaluate the configurations of one task.

    Args:
        spec: `rows` = folder of the rows, `scratch` = an existing empty folder, `configurations`, and `is_default` = as
            many workers and threads as a run takes when it is not told; else one worker with one thread.
        server: starts the workers.

    Returns:
        `trials` in order, each with `f1`, `wall_s` and seconds per stage; `once`, seconds per stage before the first;
        `search_s` from the start of the first trial to the end of the last.

    Raises:
        RunError: a trial failed.
    """
    from benchmarks.recording.session import Session, describe, evaluate
    from benchmarks.recording.space import recorded_space
    from xautolm.backends.local import LocalBackend, TrialContext
    from xautolm.backends.slots import Slots, choose_slots
    from xautolm.errors import RunError
    from xautolm.space.feasibility import Limits

    scratch = Path(spec["scratch"])
    shutil.copytree(spec["rows"], scratch / "work" / "data")
    space = recorded_space()
    largest = max(model.n_params for model in space.models.values())
    slots = Slots(("cpu",), 1)
    if spec["is_default"]:
        slots = choose_slots(len(os.sched_getaffinity(0)), ["cpu"], largest, workers=None, threads=None)
    context = TrialContext(scratch, space.models, _TIME_LIMIT_S, _MEMORY_LIMIT_MIB, data_seed=0)
    session = Session(scratch, len(slots.devices), lambda folder, limits: LocalBackend(server, slots, context), space)
    by_layers = {model.n_layers: model.name for model in space.models.values()}
    trials = [make_trial(i, Configuration(**fields), by_layers) for i, fields in enumerate(spec["configurations"])]
    results: dict[int, TrialResult] = {}

    def keep(result: TrialResult, log: Path) -> None:
        if not result.is_ok:
            raise RunError(f"a fine-tune failed: {describe(result)}\n{log.read_text() if log.exists() else ''}")
        results[result.trial_id] = result

    evaluate(session, scratch, Limits(_TIME_LIMIT_S, _MEMORY_LIMIT_MIB), trials, keep)
    fits = [outcome(results[i], server.outcomes[f"trial-{i}"]) for i in range(len(trials))]
    return {"trials": fits, "once": {}, "search_s": time.monotonic() - server.first}


def make_trial(index: int, configuration: Configuration, models: Mapping[int, str]) -> Trial:
    """A trial of the method `full`."""
    pipeline = Pipeline(models[configuration.n_layers], "full", configuration.params)
    return Trial(index, pipeline, configuration.seed)


def outcome(result: TrialResult, ended: Outcome) -> dict[str, Any]:
    """What is reported of a finished trial."""
    written = ended.result or {}
    cost, parts = written["cost"], written["parts"]
    stages = {
        "tokenise": parts["tokenise_s"],
        "load": cost["load_s"] - parts["tokenise_s"],
        "train": cost["train_s"] - parts["validate_s"],
        "validate": parts["validate_s"],
        "evaluate": cost["predict_s"],
        "latency": parts["latency_s"],
        "save": parts["save_s"],
    }
    return {"f1": result.scores["f1"], "wall_s": ended.elapsed_s, "stages": stages}


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    Path(given["result"]).write_text(json.dumps(main(given)))
