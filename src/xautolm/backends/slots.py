"""How trials share a machine: how many at once, on which devices, with how many threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Parameters below which a model leaves room for a second one beside it.
SMALL_MODEL = 150_000_000


@dataclass(frozen=True, slots=True)
class Slots:
    """How trials share the machine.

    Attributes:
        devices: device of each slot, one trial per slot at a time.
        n_threads: threads of each trial.
    """

    devices: tuple[str, ...]
    n_threads: int


def choose_slots(
    n_cores: int,
    devices: Sequence[str],
    largest_model: int,
    *,
    workers: int | None,
    threads: int | None,
    per_gpu: int = 1,
) -> Slots:
    """Give out threads: on a CPU one per trial and as many trials as cores for small models, else one trial.

    Measured (design.md, decision 8): a second thread gains nothing for a 22 M parameter encoder, a second process
    doubles the sum, and two processes with two threads each on two cores collapse.

    Args:
        n_cores: cores this process may use.
        devices: `["cpu"]` or one entry per GPU.
        largest_model: parameters of the largest model in the space.
        workers: the user's wish, None = decide.
        threads: the user's wish, None = decide.
        per_gpu: trials that a GPU has room for.

    >>> choose_slots(4, ["cpu"], 22_000_000, workers=None, threads=None).devices
    ('cpu', 'cpu', 'cpu', 'cpu')
    >>> choose_slots(4, ["cpu"], 22_000_000, workers=1, threads=None).n_threads
    1
    >>> choose_slots(4, ["cpu"], 400_000_000, workers=None, threads=None).n_threads
    4
    >>> choose_slots(8, ["cuda:0", "cuda:1"], 22_000_000, workers=None, threads=None, per_gpu=2)
    Slots(devices=('cuda:0', 'cuda:1', 'cuda:0', 'cuda:1'), n_threads=2)
    """
    is_cpu = devices[0] == "cpu"
    small = largest_model < SMALL_MODEL
    n_slots = workers or ((max(1, n_cores // (threads or 1)) if small else 1) if is_cpu else len(devices) * per_gpu)
    n_threads = threads or (1 if is_cpu and small else max(1, n_cores // n_slots))
    return Slots(devices=tuple(devices[i % len(devices)] for i in range(n_slots)), n_threads=n_threads)
