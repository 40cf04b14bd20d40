"""Jobs that attack what is around them in one way each; a worker imports them as `hostile_jobs:<name>`."""

import ctypes
import mmap
import os
import re
import signal
import subprocess
import sys
import time

import psutil


def answer(spec, folder):
    return {"answer": 42}


def note(folder, pid=None):
    """Append a process and when it was created to `pids`."""
    pid = pid or os.getpid()
    with open(folder.path / "pids", "ab", buffering=0) as file:
        file.write(f"{pid} {psutil.Process(pid).create_time()}\n".encode())


def forked(way, work):
    """Run `work` in a new process: a child, a child in its own session, or a daemon of a parent that is gone."""
    if os.fork():
        if way == "daemons":
            os.wait()
        return
    try:
        if way != "children":
            os.setsid()
        if way == "daemons":
            os.chdir("/")
            if os.fork():
                os._exit(0)
        work()
    finally:
        os._exit(0)


#: Small processes, whose start is fast: $1 = how they are started, $2 = how many generations are still to come.
SPAWN = """
case $1 in
    children) sh "$0" "$1" $(($2 - 1)) & ;;
    sessions) setsid sh "$0" "$1" $(($2 - 1)) & ;;
    daemons) (cd / && setsid sh "$0" "$1" $(($2 - 1)) > /dev/null 2>&1 &) ;;
esac
"""
#: Every process starts two more and stays: 511 of them unless somebody stops them.
BOMB = f'echo $$ - >> "$(dirname "$0")/pids"\nif [ $2 -gt 0 ]; then {SPAWN} {SPAWN} fi\nexec sleep 300.71\n'
#: Every process starts its successor and ends, so that a list of the tree is out of date when it is complete.
RELAY = f'echo $$ - >> "$(dirname "$0")/pids"\n{SPAWN}\nsleep 0.01\n'


def run_script(folder, script, way):
    path = folder.path / "script.sh"
    path.write_text(script)
    folder.report(stage="train")
    subprocess.run(["sh", str(path), way, "8"], check=True)
    time.sleep(300)


def fork_bomb(spec, folder):
    run_script(folder, BOMB, spec["way"])


def relay(spec, folder):
    run_script(folder, RELAY, spec["way"])


def leave_daemons(spec, folder):
    for _ in range(20):
        forked("daemons", lambda: time.sleep(300))
    for child in psutil.Process().children(recursive=True):
        note(folder, child.pid)
    return {}


def wait_with_daemons(spec, folder):
    leave_daemons(spec, folder)
    folder.report(stage="train")
    time.sleep(300)


def hold_the_lock(spec, folder):
    folder.report(stage="train")
    if spec["loop"] == "regular_expression":
        re.match(r"(a+)+$", "a" * 60 + "b")
    else:
        ctypes.PyDLL(None).sleep(300)  # PyDLL keeps the lock, unlike CDLL


def hang_in_training(spec, folder):
    folder.report(stage="train", epoch=0.5)
    signal.sigwait({signal.SIGUSR1})


def ignore_signals(spec, folder):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    folder.report(stage="train")
    time.sleep(300)


def read_address_zero(spec, folder):
    ctypes.string_at(0)


def finish_twice(spec, folder):
    folder.finish({"status": "ok", "answer": 1})
    return {"answer": 2}


def write_raw(spec, folder):
    (folder.path / "result.json").write_text(spec["text"])
    os._exit(0)


def print_much(spec, folder):
    print("first line")
    line = "x" * 1023
    for _ in range(spec["mib"] * 1024):
        print(line)
    print("last line")
    return {}


def make_zombies(spec, folder):
    for _ in range(spec["n"]):
        if os.fork() == 0:
            os._exit(0)
    time.sleep(0.3)
    assert sum(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process().children()) == spec["n"]
    return {}


def use_memory(spec, folder):
    folder.report(stage="train")
    size = spec["mib"] * 2**20
    note(folder)

    def fill():
        note(folder)
        block = bytearray(size)
        block[::4096] = b"x" * len(block[::4096])
        return block

    if spec["where"] == "daemon":
        forked("daemons", lambda: (fill(), time.sleep(300)))
    elif spec["where"] == "shared_memory":
        block = mmap.mmap(-1, size)
        for i in range(0, size, 4096):
            block[i] = 1
    elif spec["where"] == "shared_pages":
        # Small steps, so that a child shares every page before a look finds it unshared.
        kept = []
        for _ in range(spec["mib"] // 150):
            kept.append(b"x" * (150 * 2**20))
            forked("children", lambda: (note(folder), time.sleep(300)))
        time.sleep(300)
    else:
        block = fill()
    time.sleep(300)
    sys.exit(len(block))
