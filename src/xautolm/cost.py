"""What a trial cost: seconds, memory, energy, size and speed of what it made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What a trial cost.

    Attributes:
        time_s: what the pipeline costs on its own: load + train + predict, cached work included.
        cached_s: the part of `time_s` that a cache saved in this run.
        load_s: seconds until the training began: rows, tokens, weights, device; None when not measured. Load, train and
            predict count cached work, as `time_s` does.
        train_s: seconds of training, intermediate validations included; of a frozen encoder, its features too.
        predict_s: seconds of the final validation pass.
        peak_mem_mib: peak memory of the trial's process tree above the idle worker, or of the device when on a GPU.
        peak_host_mib: peak memory of the trial's process tree above the idle worker, on any device.
        peak_device_mib: peak memory on the GPU; None without one.
        energy_wh: energy read from a counter; None without a counter.
        energy_wh_estimate: energy by a model of the machine (`backends.energy_estimate`), where there is no counter and
            an estimate was asked for.
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
    load_s: float | None = None
    peak_host_mib: float | None = None
    peak_device_mib: float | None = None
    energy_wh_estimate: float | None = None

    @property
    def any_energy_wh(self) -> float | None:
        """Energy as measured, else as estimated, else None."""
        return self.energy_wh_estimate if self.energy_wh is None else self.energy_wh
