"""What a trial cost: seconds, memory, energy, size and speed of what it made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What a trial cost.

    Attributes:
        time_s: what the pipeline costs on its own: load + train + predict, cached work included.
        cached_s: the part of `time_s` that a cache saved in this run.
        train_s: seconds of training, intermediate validations included.
        predict_s: seconds of the final validation pass.
        peak_mem_mib: peak memory of the trial's process tree above the idle worker, or of the device when on a GPU.
        energy_wh: energy read from a counter; None without a counter.
        n_trainable: parameters that were trained.
        size_mib: weights of the exported (merged) model in fp32.
        latency_ms: median time of one prediction at batch size 1 on the trial's device and threads, after a warm-up.
    """

    time_s: float
    cached_s: float = 0.0
    train_s: float = 0.0
    predict_s: float = 0.0
    peak_mem_mib: float | None = None
    energy_wh: float | None = None
    n_trainable: int | None = None
    size_mib: float | None = None
    latency_ms: float | None = None
