"""Jobs that misbehave in one way each; a worker imports them as `sample_jobs:<name>`."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def answer(spec, folder):
    return {"answer": spec["n"] + 1, "n_threads": threading.active_count(), "pid": os.getpid()}


def sleep(spec, folder):
    folder.report(stage="train", epoch=0.5)
    time.sleep(300)
    return {}


def with_grandchildren(spec, folder):
    """Start a child, a child in a session of its own, and one that is orphaned at once; then sleep."""
    pids = [
        subprocess.Popen(["sleep", "300"]).pid,
        subprocess.Popen(["sleep", "300"], start_new_session=True).pid,
        _orphan(),
    ]
    (folder.path / "pids").write_text(" ".join(map(str, pids)))
    if spec.get("and_return"):
        return {}
    return sleep(spec, folder)


def _orphan():
    code = """
import subprocess
child = subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
"""
    return int(subprocess.run([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, check=True).stdout)


def use_memory(spec, folder):
    block = bytearray(spec["mib"] * 2**20)
    for i in range(0, len(block), 4096):
        block[i] = 1
    time.sleep(spec.get("sleep_s", 300))
    return {}


def use_memory_briefly(spec, folder):
    """Memory that is given back before the next look at the process, most likely."""
    block = bytearray(spec["mib"] * 2**20)
    block[::4096] = bytes(len(block[::4096]))
    del block
    time.sleep(spec["sleep_s"])
    return {}


def reuse_memory(spec, folder):
    """Allocate, fill and free the same large block again and again; count page faults."""
    from transformers import conversion_mapping

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(spec["times"]):
        bytearray(b"x") * (spec["mib"] * 2**20)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"faults": faults, "has_conversions": conversion_mapping._checkpoint_conversion_mapping_cache is not None}


def segfault(spec, folder):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(spec, folder):
    os._exit(3)


def fail(spec, folder):
    print("about to fail")
    folder.report(stage=spec.get("stage", "train"))
    raise {"MemoryError": MemoryError, "ValueError": ValueError, "SystemExit": SystemExit}[spec["error"]](
        "first line\nsecond line"
    )


def disappear(spec, folder):
    """Leave a result that is no JSON."""
    Path(folder.path / "result.json").write_text('{"status": "o')
    os._exit(0)
