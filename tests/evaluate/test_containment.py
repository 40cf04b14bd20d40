"""What a job can do to its surroundings, one attack per promise; afterwards the next job works and nothing is left.

The attacks are in `hostile_jobs.py`.
"""

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from xautolm.evaluate import isolate, job_log
from xautolm.evaluate.cgroup_limits import find_maker
from xautolm.evaluate.isolate import MAX_PROCESSES, WorkerServer
from xautolm.evaluate.job import Job
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.job_log import JobLog

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux"),
]
#: What a server may keep of an attack, e.g. a line in a buffer.
TOLERANCE_MIB = 4.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """As on this machine: with control groups where they can be had."""
    yield from started(tmp_path_factory)


@pytest.fixture(scope="module", params=["groups", "no groups"])
def either_server(request, tmp_path_factory):
    """With and without control groups, for attacks that only a group ends at one stroke."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "no groups":
            patch.setattr(isolate, "find_maker", lambda: None)
        elif find_maker() is None:
            pytest.skip("no control groups on this machine")
        yield from started(tmp_path_factory)


def started(tmp_path_factory):
    server = WorkerServer(tmp_path_factory.mktemp("server") / "server.log")
    server.start()
    run(server, job(tmp_path_factory.mktemp("warm") / "job", "answer"))
    yield server
    server.close()


def job(folder: Path, name: str, *, time_limit_s=60.0, memory_limit_mib=None, **fields) -> Job:
    spec = {"job": f"hostile_jobs:{name}", "folder": str(folder), "log": str(folder.parent / f"{folder.name}.log")}
    return Job(spec | {"n_threads": 1, "device": "cpu"} | fields, folder, time_limit_s, memory_limit_mib)


def wait(server: WorkerServer, each: Job, timeout_s: float = 400):
    deadline = time.monotonic() + timeout_s
    while True:
        assert time.monotonic() < deadline, "the job did not end"
        for ended, outcome in server.poll():
            assert ended is each
            return outcome
        time.sleep(0.01)


def run(server: WorkerServer, each: Job):
    server.submit(each)
    return wait(server, each)


def state(server: WorkerServer) -> dict[str, int]:
    """Open files and processes of the coordinator (this process) and of the server."""
    here, there = psutil.Process(), psutil.Process(server._server.pid)
    return {
        "open files here": here.num_fds(),
        "open files of the server": there.num_fds(),
        "threads of the server": there.num_threads(),
        "processes": len(here.children(recursive=True)),
        "zombies": sum(is_zombie(child) for child in here.children(recursive=True)),
    }


def is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def settled(server: WorkerServer, expected: dict[str, int]) -> dict[str, int]:
    deadline = time.monotonic() + 20
    while (found := state(server)) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def anonymous_mib(pid: int) -> float:
    """Memory of a process that no file backs; pages of libraries are its own or not depending on who else runs."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


@contextmanager
def nothing_left(server: WorkerServer, folder: Path):
    """The body is an attack: afterwards all is as before and the next job is forked and works."""
    before, memory = state(server), anonymous_mib(server._server.pid)
    pid = server._server.pid
    yield
    assert settled(server, before) == before
    assert server._server.pid == pid
    assert anonymous_mib(pid) - memory < TOLERANCE_MIB
    following = job(folder / "following", "answer")
    assert run(server, following).result["answer"] == 42
    assert not following.is_spawned
    assert settled(server, before) == before


def alive(folder: Path) -> list[int]:
    """Those of the processes a job noted in `pids` that still run."""
    noted = [line.split() for line in (folder / "pids").read_text().splitlines()]
    found = []
    for pid, created in noted:
        try:
            process = psutil.Process(int(pid))
            same = "300.71" in process.cmdline() if created == "-" else process.create_time() == float(created)
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found.append(int(pid))
        except psutil.NoSuchProcess:
            continue
    return found


def n_noted(folder: Path) -> int:
    return len((folder / "pids").read_text().splitlines())


@pytest.mark.parametrize("way", ["children", "sessions", "daemons"])
def test_a_fork_bomb_is_killed_to_the_last_process(either_server, tmp_path, way):
    with nothing_left(either_server, tmp_path):
        outcome = run(either_server, job(tmp_path / "a", "fork_bomb", way=way))
        assert outcome.kind == "processes"
        assert f"the limit is {MAX_PROCESSES}" in outcome.detail
        assert n_noted(tmp_path / "a") > 20
        assert alive(tmp_path / "a") == []


@pytest.mark.parametrize("way", ["children", "sessions", "daemons"])
def test_processes_that_fork_on_and_on_are_killed_at_the_time_limit(either_server, tmp_path, way):
    with nothing_left(either_server, tmp_path):
        assert run(either_server, job(tmp_path / "a", "relay", way=way, time_limit_s=2.0)).kind == "timeout"
        grown = n_noted(tmp_path / "a")
        assert grown > 20
        time.sleep(0.5)
        assert n_noted(tmp_path / "a") == grown


def test_daemons_that_a_finished_job_leaves_are_killed(either_server, tmp_path):
    with nothing_left(either_server, tmp_path):
        assert run(either_server, job(tmp_path / "a", "leave_daemons")).kind == "finished"
        assert n_noted(tmp_path / "a") == 20
        assert alive(tmp_path / "a") == []


@pytest.mark.parametrize("loop", ["regular_expression", "sleep_with_the_lock"])
def test_a_loop_that_holds_the_lock_of_the_interpreter_ends_at_the_time_limit(server, tmp_path, loop):
    with nothing_left(server, tmp_path):
        outcome = run(server, job(tmp_path / "a", "hold_the_lock", loop=loop, time_limit_s=1.0))
        assert outcome.kind == "timeout"
        assert outcome.elapsed_s < 3


def test_a_hang_in_mid_training_ends_at_the_time_limit(server, tmp_path):
    with nothing_left(server, tmp_path):
        each = job(tmp_path / "a", "hang_in_training", time_limit_s=1.5)
        assert run(server, each).kind == "timeout"
        assert each.progress()["stage"] == "train"


def test_signals_that_are_ignored_do_not_help(server, tmp_path):
    with nothing_left(server, tmp_path):
        assert run(server, job(tmp_path / "a", "ignore_signals", time_limit_s=1.0)).kind == "timeout"


def test_a_segmentation_fault_is_named(server, tmp_path):
    with nothing_left(server, tmp_path):
        outcome = run(server, job(tmp_path / "a", "read_address_zero"))
        assert (outcome.kind, outcome.detail) == ("died", "killed by SIGSEGV")


def test_a_kill_from_outside_is_named_and_takes_the_tree_along(server, tmp_path):
    with nothing_left(server, tmp_path):
        each = job(tmp_path / "a", "wait_with_daemons")
        server.submit(each)
        while not (each.folder / "pids").exists() or n_noted(each.folder) < 20:
            server.poll()
            time.sleep(0.02)
        os.kill(each.pid, signal.SIGKILL)
        outcome = wait(server, each)
        assert (outcome.kind, outcome.detail) == ("died", "killed by SIGKILL")
        assert alive(tmp_path / "a") == []


def test_a_loss_that_is_not_finite_is_a_result(server, tmp_path, make_job, tiny_bert):
    with nothing_left(server, tmp_path):
        spec, folder = make_job(tiny_bert, "full", learning_rate=float("inf"))
        each = Job(
            spec | {"job": "evaluate", "log": str(tmp_path / "nan.log"), "n_threads": 1}, folder.path, 60.0, None
        )
        outcome = run(server, each)
        assert outcome.kind == "finished"
        assert (outcome.result["status"], outcome.result["error"]["kind"]) == ("diverged", "nan")


def test_the_first_of_two_results_counts(server, tmp_path):
    with nothing_left(server, tmp_path):
        outcome = run(server, job(tmp_path / "a", "finish_twice"))
        assert outcome.result == {"status": "ok", "answer": 1}
        assert "there was a result already" in (tmp_path / "a.log").read_text()


@pytest.mark.parametrize("result", ["[]", '"ok"', '{"answer": 1}', '{"status": 3}'])
def test_a_result_that_says_nothing_is_none(server, tmp_path, result):
    with nothing_left(server, tmp_path):
        assert run(server, job(tmp_path / "a", "write_raw", text=result)).kind == "died"


def test_a_hundred_megabytes_of_output_keep_their_beginning_and_end(server, tmp_path):
    with nothing_left(server, tmp_path):
        outcome = run(server, job(tmp_path / "a", "print_much", mib=100))
        assert outcome.kind == "finished"
        log = (tmp_path / "a.log").read_bytes()
        assert len(log) < 2 * job_log.LARGEST_BYTES
        assert log.startswith(b"first line")
        assert b"last line" in log[-4096:]
        (marker,) = [line for line in log.splitlines() if b"bytes of output were dropped" in line]
        dropped = int(marker.split()[2])
        assert dropped + len(log) == pytest.approx(100 * 2**20, rel=0.1)


def test_zombies_are_reaped(server, tmp_path):
    with nothing_left(server, tmp_path):
        assert run(server, job(tmp_path / "a", "make_zombies", n=20)).kind == "finished"


@pytest.mark.parametrize("where", ["process", "daemon", "shared_pages", "shared_memory"])
def test_memory_beyond_the_limit_is_seen_wherever_it_is(server, tmp_path, where):
    with nothing_left(server, tmp_path):
        outcome = run(server, job(tmp_path / "a", "use_memory", where=where, mib=1500, memory_limit_mib=400))
        assert outcome.kind == "memory"
        assert outcome.peak_mem_mib > 400
        assert alive(tmp_path / "a") == []


def test_ten_attacks_in_a_row_leave_no_trace(server, tmp_path):
    with nothing_left(server, tmp_path):
        for n in range(10):
            name = ("read_address_zero", "leave_daemons")[n % 2]
            run(server, job(tmp_path / str(n), name))


@pytest.mark.parametrize("operation", ["product", "backward", "tokenisation", "gpu"])
def test_a_server_that_has_run_an_operation_refuses_to_fork_and_the_job_still_runs(tmp_path, monkeypatch, operation):
    (tmp_path / "sitecustomize.py").write_text((HERE / "operations.py").read_text())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(HERE), *sys.path]))
    monkeypatch.setenv("XAUTOLM_TEST_OPERATION", operation)
    server = WorkerServer(tmp_path / "server.log")
    try:
        each = job(tmp_path / "a", "answer")
        assert run(server, each).result["answer"] == 42
        assert each.is_spawned
        log = (tmp_path / "server.log").read_text()
        assert f"did {operation}" in log
    finally:
        server.close()


def test_what_jobs_started_dies_with_a_coordinator_that_is_killed(tmp_path):
    script = f"""
import time
from pathlib import Path
from xautolm.evaluate.isolate import Job, WorkerServer
folder = Path({str(tmp_path)!r})
server = WorkerServer(folder / "server.log")
spec = {{"job": "hostile_jobs:wait_with_daemons", "folder": str(folder / "a"), "log": str(folder / "a.log")}}
job = Job(spec | {{"n_threads": 1}}, folder / "a", None, None)
server.submit(job)
while True:
    server.poll()
    time.sleep(0.05)
"""
    coordinator = psutil.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 200
    while not (tmp_path / "a" / "pids").exists() or n_noted(tmp_path / "a") < 20:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = coordinator.children(recursive=True)
    assert len(below) >= 21
    coordinator.kill()
    coordinator.wait()
    _, left = psutil.wait_procs(below, timeout=30)
    assert left == []
    assert alive(tmp_path / "a") == []


def test_a_log_is_cut_more_than_once_and_counts_what_was_dropped(tmp_path):
    path = tmp_path / "log"
    log = JobLog(path)
    path.write_bytes(b"head\n")
    written = len(b"head\n")
    for n in range(20):
        with path.open("ab") as file:
            block = f"block {n} ".encode().ljust(2**20, b".") + b"\n"
            file.write(block)
        written += len(block)
        log.cut()
        assert path.stat().st_size <= job_log.LARGEST_BYTES
    text = path.read_bytes()
    assert text.startswith(b"head")
    assert text.endswith(block[-1000:])
    assert text.count(b"were dropped") == 1
    marker = len(f"\n[... about {log.dropped_bytes} bytes of output were dropped here ...]\n")
    assert log.dropped_bytes + len(text) - marker == written


def test_a_second_result_is_refused(tmp_path):
    folder = JobFolder(tmp_path)
    assert folder.finish({"status": "ok"})
    assert not folder.finish({"status": "other"})
    assert json.loads((tmp_path / "result.json").read_text()) == {"status": "ok"}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
