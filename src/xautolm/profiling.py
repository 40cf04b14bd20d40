"""Profiles a task and the machine: what needs a worker (embeddings, measured speed) and what does not."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import Slots
from xautolm.errors import ModelError, WorkerError
from xautolm.evaluate.isolate import WorkerServer
from xautolm.metafeatures import add_embeddings, build_profile
from xautolm.metafeatures.machine import system_features, system_name
from xautolm.metafeatures.semantic import TaskEmbeddings, embedding_sample, sample_texts
from xautolm.metafeatures.speed import (
    STEP_ROWS,
    STEP_TOKENS,
    MachineSpeed,
    read_speed,
    speed_file,
    speed_key,
    write_speed,
)
from xautolm.records import Budget, ModelSpec, Profile, Task
from xautolm.search.plan import speed_from_measurement
from xautolm.space.catalogue import EMBEDDED_NAME, embedded_folder, read_model
from xautolm.space.feasibility import DEFAULT_SPEED, Speed, TaskSize, Workload, estimate

logger = logging.getLogger(__name__)

#: Trials were 1.25 times slower than their bare steps on a quiet machine (padding, collation, kept weights).
_OVERHEAD = 1.3
_MEASURE_LIMIT_S = 300.0
#: Seconds for the embeddings; a core without bf16 needs 50 s for 1,000 texts of 128 tokens.
EMBED_LIMIT_S = 120.0
_MAX_TOKENS = 128
#: Characters of a text that are sent to the worker: more than 128 tokens of any language have.
_MAX_CHARS = 4_000


class Stopwatch:
    """Times the training steps of models on this machine, with the threads that a trial gets; each model once.

    Args:
        backend: runs the job.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._measured: dict[tuple[str, int], Mapping[str, Any]] = {}

    def measure(self, model: ModelSpec, *, with_products: bool = False) -> Mapping[str, Any]:
        """What the job `measure` says of a model.

        Args:
            model: the model.
            with_products: also time matrix products (`matmul_gflops`).

        Raises:
            ModelError: the model cannot be loaded or trained.
        """
        key = model.path, model.n_layers
        known = self._measured.get(key)
        if known is not None and (not with_products or "matmul_gflops" in known):
            return known
        fields = {"model": asdict(model), "with_products": with_products}
        try:
            measured = self._backend.run_job("measure", fields, time_limit_s=_MEASURE_LIMIT_S)
        except WorkerError as error:
            raise ModelError(
                f"expected a model that can be loaded and trained, but `{model.name}` failed: {error.reason}; "
                "repair its folder or leave it out with `--models`"
            ) from error
        shutil.rmtree(measured["folder"], ignore_errors=True)
        self._measured[key] = measured
        return measured

    def trial_speed(self, model: ModelSpec) -> Speed:
        """The speed by which trials are estimated, from a few training steps of one model.

        Raises:
            ModelError: the model cannot be loaded or trained.
        """
        measured = self.measure(model)
        expected_s = _expected_step_s(model, measured["batch_size"], measured["n_tokens"])
        step_s = {"step_s": _OVERHEAD * measured["step_s"]}
        return speed_from_measurement(step_s, DEFAULT_SPEED, expected_s, startup_s=0.3 + measured["load_s"])


def profile_subject(
    task: Task,
    backend: LocalBackend,
    slots: Slots,
    *,
    with_embeddings: bool,
    stopwatch: Stopwatch | None = None,
    limit_s: float = EMBED_LIMIT_S,
) -> Profile:
    """Profile a task and this machine, as a run or `explain` needs it.

    The texts are embedded by a worker while the other features of the task are computed in this process.

    Args:
        task: the loaded data.
        backend: runs the jobs.
        slots: device and threads of a trial: the machine is measured as a trial sees it.
        with_embeddings: whether texts are embedded.
        stopwatch: remembers measurements that the caller needs too.
        limit_s: seconds that embedding may take.

    Returns:
        The profile. Without the embedded encoder, or when embedding takes too long, it lacks what would need them, and
        a warning says so.

    Raises:
        ModelError: the embedded encoder, whose tokenizer every profile needs, is not installed.
    """
    device = slots.devices[0]
    if with_embeddings:
        backend.start()
    with ThreadPoolExecutor(1) as pool:  # the backend belongs to that thread until it ends
        waiting = pool.submit(embed_task, task, backend, limit_s) if with_embeddings else None
        profile = build_profile(task, system_features(device), system_name=system_name(device))
        embeddings = waiting.result() if waiting else None
    if embeddings is not None:
        profile = add_embeddings(profile, task, embeddings)
    speed = machine_speed(device, slots.n_threads, stopwatch or Stopwatch(backend))
    return profile if speed is None else replace(profile, system={**profile.system, **asdict(speed)})


def profile_alone(task: Task, slots: Slots, *, with_embeddings: bool) -> Profile:
    """`profile_subject` outside of a run."""
    with _backend_alone(slots) as backend:
        return profile_subject(task, backend, slots, with_embeddings=with_embeddings)


def speed_alone(slots: Slots) -> Speed:
    """The speed by which trials are estimated outside of a run: as it is kept, else measured once and kept.

    Returns:
        A default where it is neither kept nor can be measured.
    """
    device, n_threads = slots.devices[0], slots.n_threads
    kept = read_speed(speed_file(), speed_key(device, n_threads))
    if kept is None:
        with _backend_alone(slots) as backend:
            kept = machine_speed(device, n_threads, Stopwatch(backend))
    if kept is None:
        return DEFAULT_SPEED
    expected_s = _expected_step_s(read_model(embedded_folder(), EMBEDDED_NAME), STEP_ROWS, STEP_TOKENS)
    step_s = {"step_s": _OVERHEAD * STEP_ROWS / kept.train_rows_per_s}
    return speed_from_measurement(step_s, DEFAULT_SPEED, expected_s, DEFAULT_SPEED.startup_s)


@contextmanager
def _backend_alone(slots: Slots) -> Iterator[LocalBackend]:
    """Runs jobs with a worker of its own, in a scratch folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="xautolm-") as scratch:
        folder = Path(scratch)
        server = WorkerServer(folder / "server.log")
        try:
            yield LocalBackend(server, slots, TrialContext(folder, {}, 0.0, 0.0, 0))
        finally:
            server.close()


def _expected_step_s(model: ModelSpec, n_rows: int, n_tokens: int) -> float:
    """Seconds of one step of full fine-tuning that `DEFAULT_SPEED` makes one expect."""
    workload = Workload(model.n_params, model.n_layers, True, 1.0, n_rows, n_tokens, 1.0)
    steps = (TaskSize(n * n_rows, 0, 2, (n_tokens,) * 101) for n in (1, 2))
    one_s, two_s = (estimate(workload, model, size, DEFAULT_SPEED).time_s for size in steps)
    return two_s - one_s


def embed_limit_s(budget: Budget) -> float:
    """Seconds that embedding may take: a fifth of a time budget, at most two minutes.

    >>> embed_limit_s(Budget(wall_s=60.0)), embed_limit_s(Budget(n_trials=40))
    (12.0, 120.0)
    """
    return EMBED_LIMIT_S if budget.wall_s is None else min(EMBED_LIMIT_S, budget.wall_s / 5)


def embed_task(task: Task, backend: LocalBackend, limit_s: float = EMBED_LIMIT_S) -> TaskEmbeddings | None:
    """Embed a sample of the training rows with the embedded encoder, at most 128 tokens of each text.

    Args:
        task: the loaded data.
        backend: runs the job.
        limit_s: seconds after which it is given up.

    Returns:
        None, with a warning, when the encoder does not work or takes too long.
    """
    rows = embedding_sample(task)
    texts, targets = sample_texts(task, rows)
    everything = [text[:_MAX_CHARS] for text in (*texts, *(targets or ()))]
    fields = {"texts": everything, "max_length": _MAX_TOKENS}
    try:
        model = read_model(embedded_folder(), EMBEDDED_NAME)
        done = backend.run_job("embed", {**fields, "model": asdict(model)}, time_limit_s=limit_s)
    except (ModelError, WorkerError) as error:
        logger.warning("The texts are not embedded (`--no-semantic` does not try): %s", error)
        return None
    vectors = np.load(Path(done["folder"]) / "embeddings.npy")
    shutil.rmtree(done["folder"], ignore_errors=True)
    return TaskEmbeddings(rows, vectors[: len(texts)], vectors[len(texts) :] if targets is not None else None)


def machine_speed(device: str, n_threads: int, stopwatch: Stopwatch) -> MachineSpeed | None:
    """The speed of this machine: kept from an earlier run, else measured with the embedded encoder and kept.

    Returns:
        None, with a warning, when the embedded encoder is not there or does not work.
    """
    path, key = speed_file(), speed_key(device, n_threads)
    known = read_speed(path, key)
    if known is not None:
        return known
    try:
        measured = stopwatch.measure(read_model(embedded_folder(), EMBEDDED_NAME), with_products=True)
    except ModelError as error:
        logger.warning("The speed of this machine is not part of the profile: %s", error)
        return None
    speed = MachineSpeed(measured["matmul_gflops"], measured["batch_size"] / measured["best_step_s"])
    write_speed(path, key, speed)
    return speed
