"""Groups are made where they can be had and hold the limit; all on a folder that looks like the kernel's."""

import subprocess
from pathlib import Path

import pytest

from xautolm.evaluate import cgroup_limits
from xautolm.evaluate.cgroup_limits import GroupMaker, JobGroup, enter, find_maker

FILES = ("cgroup.procs", "cgroup.kill", "memory.max", "memory.swap.max", "memory.oom.group")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A fake mount: folders made in it get the files that the kernel would put there, and lose them when removed."""
    root = tmp_path / "cgroup"
    root.mkdir()
    mkdir, rmdir = Path.mkdir, Path.rmdir

    def make(path, *args, **options):
        mkdir(path, *args, **options)
        if root in path.parents:
            for name in FILES:
                (path / name).write_text("")

    def remove(path):
        for file in path.iterdir():
            file.unlink()
        rmdir(path)

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "rmdir", remove)
    (root / "cgroup.controllers").write_text("cpu memory pids\n")
    return root


def membership(tmp_path, line):
    path = tmp_path / "membership"
    path.write_text(f"4:memory:/old\n{line}\n")
    return path


def delegated(folder, controllers="memory pids"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    return folder


def test_groups_are_made_in_the_nearest_folder_that_hands_memory_control_on(kernel, tmp_path):
    delegated(kernel, "cpu memory")
    service = delegated(kernel / "user.slice" / "user@1.service")
    delegated(service / "app.slice", "pids")
    maker = find_maker(roots=[kernel], membership=membership(tmp_path, "0::/user.slice/user@1.service/app.slice"))
    assert maker is not None
    assert maker.parent == service
    assert [path.name for path in service.iterdir() if path.name.startswith("xautolm")] == []  # the trial is gone


@pytest.mark.parametrize("controllers", ["cpu", ""])
def test_without_memory_control_groups_only_end_jobs_as_a_whole(kernel, tmp_path, controllers):
    delegated(kernel / "own", controllers)
    maker = find_maker(roots=[tmp_path / "missing", kernel], membership=membership(tmp_path, "0::/own"))
    assert (maker.parent, maker.limits_memory) == (kernel / "own", False)
    group = maker.make(1, 100.0)
    assert (group.path / "memory.max").read_text() == ""
    group.kill()
    assert (group.path / "cgroup.kill").read_text() == "1"


def test_a_process_outside_of_cgroup_v2_has_no_groups(kernel, tmp_path):
    delegated(kernel / "own", "memory")
    assert find_maker(roots=[kernel], membership=membership(tmp_path, "1:cpu:/own")) is None


def test_a_job_without_a_limit_has_a_group_without_one(kernel):
    group = GroupMaker(kernel, "x").make(3, float("inf"))
    assert (group.path / "memory.max").read_text() == ""


def test_a_process_that_may_not_move_in_means_no_groups(kernel, tmp_path, monkeypatch):
    delegated(kernel / "own")
    refused = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(cgroup_limits.subprocess, "run", lambda *_, **__: refused)
    assert find_maker(roots=[kernel], membership=membership(tmp_path, "0::/own")) is None


def test_a_machine_without_cgroup_v2_has_no_groups(tmp_path):
    assert find_maker(roots=[tmp_path], membership=membership(tmp_path, "0::/")) is None
    assert find_maker(roots=[tmp_path], membership=tmp_path / "missing") is None


def test_a_group_holds_the_limit_without_swap_and_is_killed_as_a_whole(kernel):
    group = GroupMaker(kernel, "x").make(3, 100.5)
    assert group is not None
    values = {name: (group.path / name).read_text() for name in FILES}
    assert values["memory.max"] == str(int(100.5 * 2**20))
    assert (values["memory.swap.max"], values["memory.oom.group"]) == ("0", "1")
    enter(str(group.path))
    assert (group.path / "cgroup.procs").read_text() == "0"
    group.kill()
    assert (group.path / "cgroup.kill").read_text() == "1"
    group.remove()
    assert not group.path.exists()


def test_a_group_that_cannot_be_made_is_none(kernel):
    assert GroupMaker(kernel / "missing", "x").make(1, 10.0) is None
    (kernel / "x-1").mkdir()
    assert GroupMaker(kernel, "x").make(1, 10.0) is None


def test_a_kernel_without_swap_accounting_still_limits(kernel, monkeypatch):
    monkeypatch.setattr(f"{__name__}.FILES", ("cgroup.procs", "memory.max"))
    group = GroupMaker(kernel, "x").make(1, 10.0)
    assert group is not None
    assert (group.path / "memory.max").read_text() == str(10 * 2**20)


def test_peak_and_kills_are_read(tmp_path):
    group = JobGroup(tmp_path)
    assert (group.n_killed, group.peak_mib) == (0, 0.0)
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n")
    (tmp_path / "memory.peak").write_text(f"{300 * 2**20}\n")
    assert (group.n_killed, group.peak_mib) == (3, 300.0)
