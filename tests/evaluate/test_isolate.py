"""Each test attacks one promise of `evaluate.isolate`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from xautolm.evaluate import isolate
from xautolm.evaluate.cgroup_limits import JobGroup
from xautolm.evaluate.isolate import WorkerServer, worker_environment
from xautolm.evaluate.job import Job, describe_exit

HERE = Path(__file__).parent
# Starting a server imports torch and transformers: 4-7 s, more when the machine is busy.
pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = WorkerServer(tmp_path_factory.mktemp("server") / "server.log")
    server.start()
    yield server
    server.close()


def job(folder: Path, name: str, *, time_limit_s=None, memory_limit_mib=None, **fields) -> Job:
    spec = {"job": f"sample_jobs:{name}", "folder": str(folder), "log": str(folder.parent / f"{folder.name}.log")}
    return Job(spec | {"n_threads": 1, "device": "cpu"} | fields, folder, time_limit_s, memory_limit_mib)


def wait(server: WorkerServer, *jobs: Job, timeout_s: float = 50):
    """The outcomes of jobs, in their order."""
    outcomes = {}
    deadline = time.monotonic() + timeout_s
    while len(outcomes) < len(jobs):
        assert time.monotonic() < deadline, "the job did not end"
        for ended, outcome in server.poll():
            outcomes[id(ended)] = outcome
        time.sleep(0.01)
    return [outcomes[id(each)] for each in jobs]


def run(server: WorkerServer, each: Job):
    server.submit(each)
    return wait(server, each)[0]


def wait_for(condition, timeout_s: float = 20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def grandchildren(folder: Path) -> list[int]:
    wait_for(lambda: (folder / "pids").exists() and (folder / "pids").read_text().count(" ") == 2)
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_a_job_returns_its_result_from_a_forked_process(server, tmp_path):
    each = job(tmp_path / "a", "answer", n=41)
    outcome = run(server, each)
    assert (outcome.kind, outcome.detail) == ("finished", "")
    assert outcome.result["status"] == "ok"
    assert outcome.result["answer"] == 42
    assert outcome.result["pid"] == each.pid != os.getpid()
    assert not each.is_spawned
    assert 0 < outcome.elapsed_s < 20


def test_a_worker_keeps_the_memory_of_large_tensors_and_has_the_patterns_of_weight_names(server, tmp_path):
    outcome = run(server, job(tmp_path / "a", "reuse_memory", mib=64, times=20))
    assert outcome.result["faults"] < 1.5 * 64 * 256  # pages of one block, not of twenty
    assert outcome.result["has_conversions"]


def test_what_the_user_sets_for_the_allocator_wins(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    assert worker_environment()["MALLOC_MMAP_MAX_"] == "65536"


def test_two_jobs_run_at_the_same_time(server, tmp_path):
    jobs = [job(tmp_path / name, "sleep") for name in "ab"]
    for each in jobs:
        server.submit(each)
    wait_for(lambda: all(each.progress().get("stage") == "train" for each in jobs))
    assert jobs[0].progress()["epoch"] == 0.5
    for each in jobs:
        server.stop(each)
    assert [outcome.kind for outcome in wait(server, *jobs)] == ["stopped", "stopped"]


def test_time_limit_kills_the_whole_tree(server, tmp_path):
    each = job(tmp_path / "a", "with_grandchildren", time_limit_s=1.5)
    server.submit(each)
    pids = [each.pid, *grandchildren(tmp_path / "a")]
    assert all(is_alive(pid) for pid in pids)
    outcome = wait(server, each)[0]
    assert outcome.kind == "timeout"
    assert outcome.result is None
    assert "time limit of 1.5 s" in outcome.detail
    assert 1.5 <= outcome.elapsed_s < 5
    wait_for(lambda: not any(is_alive(pid) for pid in pids), 5)


def test_what_a_finished_job_leaves_running_is_killed_too(server, tmp_path):
    outcome = run(server, job(tmp_path / "a", "with_grandchildren", and_return=True))
    assert outcome.kind == "finished"
    wait_for(lambda: not any(is_alive(pid) for pid in grandchildren(tmp_path / "a")), 5)


def test_killing_one_job_spares_the_other(server, tmp_path):
    kept, stopped = job(tmp_path / "a", "with_grandchildren"), job(tmp_path / "b", "sleep")
    server.submit(kept)
    server.submit(stopped)
    pids = grandchildren(tmp_path / "a")[:2]
    server.stop(stopped)
    assert wait(server, stopped)[0].kind == "stopped"
    assert all(is_alive(pid) for pid in [kept.pid, *pids])
    server.stop(kept)
    wait(server, kept)


def test_memory_limit_kills_and_tells_what_was_used(server, tmp_path):
    outcome = run(server, job(tmp_path / "a", "use_memory", mib=300, memory_limit_mib=150))
    assert outcome.kind == "memory"
    assert "the limit is 150 MiB" in outcome.detail
    assert 150 < outcome.peak_mem_mib < 600


def test_memory_that_was_given_back_between_two_looks_counts(server, tmp_path):
    outcome = run(server, job(tmp_path / "a", "use_memory_briefly", mib=300, sleep_s=0.6))
    assert outcome.kind == "finished"
    assert 295 < outcome.peak_mem_mib < 450


def test_memory_below_the_limit_is_measured(server, tmp_path):
    outcome = run(server, job(tmp_path / "a", "use_memory", mib=100, sleep_s=0.6, memory_limit_mib=500))
    assert outcome.kind == "finished"
    assert 95 < outcome.peak_mem_mib < 250


def test_a_job_moves_into_its_control_group_and_the_kernel_tells_who_killed_it(server, tmp_path, monkeypatch):
    """On a folder that looks like the kernel's: what counts is what is written and read there."""

    class Maker:
        def make(self, number, limit_mib):
            group = JobGroup(tmp_path / f"group-{limit_mib:.0f}")
            group.path.mkdir()
            for name in ("cgroup.procs", "cgroup.kill"):
                (group.path / name).write_text("")
            return group

    monkeypatch.setattr(server, "_groups", Maker())
    monkeypatch.setattr(JobGroup, "remove", lambda self: None)
    assert run(server, job(tmp_path / "a", "answer", n=1, memory_limit_mib=500)).kind == "finished"
    assert (tmp_path / "group-500" / "cgroup.procs").read_text() == "0"
    assert (tmp_path / "group-500" / "cgroup.kill").read_text() == "1"

    killed = job(tmp_path / "b", "sleep", memory_limit_mib=300)
    server.submit(killed)
    (tmp_path / "group-300" / "memory.events").write_text("oom 1\noom_kill 1\n")
    os.kill(killed.pid, signal.SIGKILL)
    outcome = wait(server, killed)[0]
    assert (outcome.kind, outcome.peak_mem_mib) == ("memory", 300)
    assert "reached its limit of 300 MiB" in outcome.detail

    run(server, job(tmp_path / "c", "answer", n=1))
    assert not (tmp_path / "group-None").exists()


def test_segmentation_fault_is_named(server, tmp_path):
    outcome = run(server, job(tmp_path / "a", "segfault"))
    assert (outcome.kind, outcome.result, outcome.detail) == ("died", None, "killed by SIGSEGV")


def test_kill_from_outside_is_named(server, tmp_path):
    each = job(tmp_path / "a", "sleep")
    server.submit(each)
    os.kill(each.pid, signal.SIGKILL)
    outcome = wait(server, each)[0]
    assert (outcome.kind, outcome.detail) == ("died", "killed by SIGKILL")


def test_leaving_without_a_result_gives_the_exit_code(server, tmp_path):
    assert run(server, job(tmp_path / "a", "leave")).detail == "ended with exit code 3 and no result"


def test_torn_result_is_no_result(server, tmp_path):
    assert run(server, job(tmp_path / "a", "disappear")).kind == "died"


@pytest.mark.parametrize(
    ("error", "stage", "status", "kind"),
    [
        ("MemoryError", "train", "oom", "oom_train"),
        ("MemoryError", "predict", "oom", "oom_eval"),
        ("ValueError", "load", "unavailable", "ValueError"),
        ("ValueError", "train", "crashed", "ValueError"),
        ("SystemExit", "train", "crashed", "SystemExit"),
    ],
)
def test_an_exception_is_the_result_and_the_traceback_is_in_the_log(server, tmp_path, error, stage, status, kind):
    outcome = run(server, job(tmp_path / "a", "fail", error=error, stage=stage))
    assert outcome.kind == "finished"
    assert outcome.result["status"] == status
    assert outcome.result["error"] == {"kind": kind, "message": f"{error}: first line"}
    log = (tmp_path / "a.log").read_text()
    assert "about to fail" in log
    assert "Traceback" in log
    assert "second line" in log


def test_unknown_job_is_a_result_too(server, tmp_path):
    each = job(tmp_path / "a", "answer")
    each.spec["job"] = "no_such_module:thing"
    assert run(server, each).result["error"]["kind"] == "ModuleNotFoundError"


def test_ten_jobs_leave_no_processes_and_no_open_files(server, tmp_path):
    def state():
        this = psutil.Process()
        return this.num_fds(), len(this.children(recursive=True))

    run(server, job(tmp_path / "first", "answer", n=0))
    before = state()
    jobs = [job(tmp_path / str(n), "answer", n=n) for n in range(10)]
    for each in jobs:
        server.submit(each)
    assert [outcome.result["answer"] for outcome in wait(server, *jobs)] == list(range(1, 11))
    wait_for(lambda: state() == before, 5)


def test_jobs_die_with_a_coordinator_that_is_killed(tmp_path):
    script = f"""
import sys, time
from pathlib import Path
from xautolm.evaluate.isolate import Job, WorkerServer
folder = Path({str(tmp_path)!r})
server = WorkerServer(folder / "server.log")
spec = {{"job": "sample_jobs:sleep", "folder": str(folder / "a"), "log": str(folder / "a.log"), "n_threads": 1}}
job = Job(spec, folder / "a", None, None)
server.submit(job)
print(job.pid, server._server.pid, flush=True)
time.sleep(300)
"""
    coordinator = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in coordinator.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_alive(pid) for pid in pids)
    coordinator.kill()
    coordinator.wait()
    coordinator.stdout.close()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), 5)


def test_closing_kills_running_jobs_and_the_server(tmp_path):
    server = WorkerServer(tmp_path / "server.log", use_fork=False)
    each = job(tmp_path / "a", "sleep")
    server.submit(each)
    wait_for(lambda: each.progress().get("stage") == "train", 40)
    server.close()
    assert not is_alive(each.pid)


def test_a_fresh_process_without_a_sign_of_life_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(isolate, "HEARTBEAT_S", 0.1)
    server = WorkerServer(tmp_path / "server.log", use_fork=False)
    each = job(tmp_path / "a", "sleep")
    os.mkfifo(tmp_path / "a.log")  # opening the log blocks until somebody reads it
    outcome = run(server, each)
    server.close()
    assert outcome.kind == "hang"
    assert "no sign of life" in outcome.detail
    assert not is_alive(each.pid)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_forked_child_without_a_heartbeat_is_replaced_by_a_fresh_process(server, tmp_path, monkeypatch):
    each = job(tmp_path / "a", "answer", n=1)
    log = tmp_path / "a.log"
    os.mkfifo(log)
    spawn = WorkerServer._spawn
    hung = []

    def spawn_without_fifo(self, job):
        hung.append(job.pid)
        log.unlink()
        monkeypatch.setattr(isolate, "HEARTBEAT_S", 20.0)
        spawn(self, job)

    run(server, job(tmp_path / "warm", "answer", n=1))
    monkeypatch.setattr(WorkerServer, "_spawn", spawn_without_fifo)
    monkeypatch.setattr(isolate, "HEARTBEAT_S", 1.0)
    outcome = run(server, each)
    assert outcome.result["answer"] == 2
    assert each.is_spawned
    assert len(hung) == 1
    assert not is_alive(hung[0])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_server_that_is_killed_is_replaced(tmp_path):
    server = WorkerServer(tmp_path / "server.log")
    lost = job(tmp_path / "a", "sleep")
    server.submit(lost)
    first = server._server.pid
    os.kill(first, signal.SIGKILL)
    outcome = wait(server, lost)[0]
    assert (outcome.kind, outcome.detail) == ("died", "killed by SIGKILL")
    wait_for(lambda: not is_alive(lost.pid), 5)
    assert run(server, job(tmp_path / "b", "answer", n=1)).result["answer"] == 2
    assert server._server.pid != first
    server.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_server_with_a_second_thread_refuses_to_fork_and_the_job_still_runs(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, threading, time\n"
        "if '--serve' in sys.orig_argv:\n"
        "    threading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(HERE), *sys.path]))
    server = WorkerServer(tmp_path / "server.log")
    each = job(tmp_path / "a", "answer", n=1)
    outcome = run(server, each)
    server.close()
    assert outcome.result["answer"] == 2
    assert each.is_spawned


def test_exit_codes_are_described():
    assert describe_exit(-signal.SIGTERM) == "killed by SIGTERM"
    assert describe_exit(None).startswith("ended with exit code None")


def test_spec_is_on_disk_for_the_worker(server, tmp_path):
    each = job(tmp_path / "a", "answer", n=1)
    run(server, each)
    assert json.loads(each.spec_path.read_text())["n"] == 1
