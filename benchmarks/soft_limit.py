"""Whether a training can go on in the same process after an allocation failed under `RLIMIT_DATA`.

`python -m benchmarks.soft_limit`: Linux, CPU. Each limit has its own child of a process that has imported torch; it
trains the embedded encoder on 32 rows of 128 tokens and halves the batch whenever memory is refused, with everything
freed that can be freed.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import traceback

import psutil

LIMITS_MIB = (150, 300, 450, 600, 800)
N_ROWS, N_TOKENS = 32, 128
NAME = "all-MiniLM-L6-v2"


def main() -> None:
    """One line per limit: each batch size with what came of it."""
    from xautolm.evaluate.jobs import import_training_stack

    import_training_stack()
    gc.collect()
    gc.freeze()
    for limit_mib in LIMITS_MIB:
        print(f"limit {limit_mib} MiB: ", end="", flush=True)
        child = os.fork()
        if child == 0:
            try:
                _train_under(limit_mib)
            finally:
                sys.stdout.flush()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        print(f"exit code {os.waitstatus_to_exitcode(status)}", flush=True)


def _data_mib() -> float:
    """Writable private memory that the process has asked for."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData")) / 1024


def _train_under(limit_mib: float) -> None:
    import torch

    torch.set_num_threads(1)
    soft = int((_data_mib() + limit_mib) * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    n_rows = N_ROWS
    while n_rows:
        try:
            _train(n_rows)
        except (RuntimeError, MemoryError) as error:
            traceback.clear_frames(error.__traceback__)
            said = str(error).splitlines()[0]
        else:
            print(f"{n_rows} rows trained; ", end="", flush=True)
            return
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        used = psutil.Process().memory_full_info().uss / 2**20
        kind = "allocator" if "DefaultCPUAllocator" in said else said
        print(f"{n_rows} rows: {kind} (then {used:.0f} MiB in use); ", end="", flush=True)
        n_rows //= 2


def _train(n_rows: int) -> None:
    """Two steps of a fresh model."""
    import torch

    from xautolm.methods.classifier import load_classifier
    from xautolm.space.catalogue import resolve_models

    spec = resolve_models([NAME], (), offline=True)[0][0]
    model = load_classifier(spec, "mean", 2, 0.1).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(0, 30000, (n_rows, N_TOKENS))
    for _ in range(2):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids))["logits"]
        torch.nn.functional.cross_entropy(logits, torch.zeros(n_rows, dtype=torch.long)).backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main()
