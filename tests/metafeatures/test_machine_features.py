"""System features, control groups and GPUs, on fake file trees and a fake NVML."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from types import SimpleNamespace

import psutil
import pytest

from xautolm.errors import UsageError
from xautolm.metafeatures import machine
from xautolm.metafeatures.cgroups import cpu_quota, memory_headroom_bytes
from xautolm.metafeatures.gpus import visible_gpus

GIB = 2**30


class FakeNvml:
    """As much of `pynvml` as is used: three GPUs, the last one split into instances."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818 - pynvml's name
        pass

    def __init__(self, *, has_driver: bool = True, unified: bool = False) -> None:
        self.has_driver, self.unified, self.is_open = has_driver, unified, False
        self.capability = {"GPU-aa1": (7, 5), "GPU-aa2": (8, 6), "MIG-m1": (9, 0)}
        self.memory = {"GPU-aa1": 16 * GIB, "GPU-aa2": 24 * GIB, "GPU-bb3": 80 * GIB, "MIG-m1": 10 * GIB}

    def nvmlInit(self):  # noqa: N802
        if not self.has_driver:
            raise self.NVMLError("Driver Not Loaded")
        self.is_open = True

    def nvmlShutdown(self):  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return ["GPU-aa1", "GPU-aa2", "GPU-bb3"][index]

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        if uuid not in self.memory:
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return handle

    def nvmlDeviceGetMigMode(self, handle):  # noqa: N802
        if handle == "GPU-aa1":
            raise self.NVMLError_NotSupported("Not Supported")
        return [handle == "GPU-bb3", 0]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):  # noqa: N802
        return "MIG-m1"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        if self.unified:
            raise self.NVMLError_NotSupported("Not Supported")
        return SimpleNamespace(total=self.memory[handle])

    def nvmlDeviceGetCudaComputeCapability(self, handle):  # noqa: N802
        if handle not in self.capability:
            raise self.NVMLError_NotSupported("Not Supported")
        return list(self.capability[handle])

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return f"Fake {handle}"


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


@pytest.mark.parametrize(
    ("visible", "memories_gib"),
    [
        (None, [16, 24, 10]),
        ("", []),
        ("-1", []),
        ("1", [24]),
        ("1,0", [24, 16]),
        ("0,7,1", [16]),
        (" 1 , 2 ", [24, 10]),
        ("GPU-aa2,GPU-aa1", [24, 16]),
        ("GPU-b", [10]),
        ("GPU-aa", []),
        ("MIG-m1", [10]),
        ("MIG-none", []),
        ("nonsense", []),
    ],
)
def test_gpus_follow_cuda_visible_devices(nvml, visible, memories_gib):
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.memory_gib for gpu in visible_gpus(environ)] == memories_gib
    assert not nvml.is_open


def test_no_driver_means_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(has_driver=False))
    assert visible_gpus({}) == ()
    assert machine.system_features("cuda")["gpu_memory_gib"] == 0.0


def test_gpu_without_own_memory_counts_with_the_machines(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(unified=True))
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"})[0].memory_gib == psutil.virtual_memory().total / GIB


def test_gpu_memory_is_that_of_the_device_in_use(nvml):
    memory = {
        device: machine.system_features(device)["gpu_memory_gib"] for device in ("cpu", "cuda", "cuda:1", "cuda:9")
    }
    assert memory == {"cpu": 0.0, "cuda": 16.0, "cuda:1": 24.0, "cuda:9": 0.0}


def test_gpus_of_a_run_are_counted_and_the_capability_is_that_of_the_device(nvml):
    del nvml.capability["GPU-aa2"]
    found = {
        device: tuple(machine.system_features(device)[name] for name in ("n_gpus", "compute_capability"))
        for device in ("cpu", "cuda", "cuda:1", "cuda:2", "cuda:9")
    }
    assert found == {"cpu": (0, 0), "cuda": (3, 7.5), "cuda:1": (3, 0), "cuda:2": (3, 9.0), "cuda:9": (0, 0)}


def test_name_of_the_system_is_that_of_processor_and_gpu(nvml, monkeypatch):
    monkeypatch.setattr(machine, "cpu_name", lambda: "Some CPU")
    names = [machine.system_name(device) for device in ("cpu", "cuda:1", "cuda:9")]
    assert names == ["Some CPU", "Some CPU, Fake GPU-aa2", "Some CPU"]


@pytest.mark.parametrize("ask", [machine.system_features, machine.system_name])
def test_unknown_device_is_refused(ask):
    with pytest.raises(UsageError, match=r"`device` must be `cpu`, `cuda` or `cuda:N`, got 'tpu'"):
        ask("tpu")


def test_system_features_are_finite_and_plausible():
    features = machine.system_features()
    published = ["physical_cores", "logical_cores", "max_frequency_ghz", "ram_gib", "gpu_memory_gib"]
    assert list(features) == [*published, "n_gpus", "compute_capability"]
    assert all(type(value) is float and math.isfinite(value) for value in features.values())
    assert 1 <= features["physical_cores"] <= features["logical_cores"]
    assert 0 <= features["max_frequency_ghz"] < 20
    assert features["ram_gib"] > 0.1


@pytest.mark.parametrize(
    ("frequency", "expected_ghz"),
    [
        (None, 0.0),
        (SimpleNamespace(current=2596.12, max=0.0), 2.6),
        (SimpleNamespace(current=1200.0, max=5000.0), 5.0),
    ],
)
def test_frequency_does_not_change_from_start_to_start(monkeypatch, frequency, expected_ghz):
    monkeypatch.setattr(psutil, "cpu_freq", lambda: frequency)
    assert machine.system_features()["max_frequency_ghz"] == expected_ghz


def test_machine_facts_are_json_and_name_nobody(nvml):
    facts = machine.machine_facts()
    text = json.dumps(facts)
    assert facts["gpus"][1] == {"name": "Fake GPU-aa2", "memory_gib": 24.0}
    assert facts["usable_cores"] >= 1
    for private in (socket.gethostname(), os.environ.get("USER") or "no-user", os.path.expanduser("~")):
        assert private not in text


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.5, 2), (0.5, 1), (64.0, 4)])
def test_usable_cores_respect_affinity_and_quota(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize(("headroom", "expected_mib"), [(None, 1024.0), (2**20, 1.0), (0, 0.0), (2**63, 1024.0)])
def test_available_memory_is_the_tighter_of_machine_and_group(monkeypatch, headroom, expected_mib):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**30))
    monkeypatch.setattr(machine, "memory_headroom_bytes", lambda: headroom)
    assert machine.available_memory_mib() == expected_mib


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_cgroup_v2_limits_of_all_ancestors_apply(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("0::/batch/job\n")
    write(root, cgroup__controllers="cpu memory\n")
    write(root / "batch", cpu__max="150000 100000\n", memory__max="1000\n", memory__current="900\n")
    write(root / "batch" / "job", cpu__max="max 100000\n", memory__max="max\n", memory__current="500\n")
    (root / "batch" / "memory.stat").write_text("anon 300\ninactive_file 600\n")
    assert cpu_quota(root=root, membership=membership) == 1.5
    assert memory_headroom_bytes(root=root, membership=membership) == 1000 - (900 - 600)


def test_cgroup_v1_container_that_sees_only_its_own_root(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n")
    write(root / "cpu,cpuacct", **{"cpu__cfs_quota_us": "200000\n", "cpu__cfs_period_us": "100000\n"})
    write(root / "memory", memory__limit_in_bytes="4096\n", memory__usage_in_bytes="5000\n")
    assert cpu_quota(root=root, membership=membership) == 2.0
    assert memory_headroom_bytes(root=root, membership=membership) == 0


def test_cgroup_v1_without_quota_and_missing_groups_are_no_limit(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    assert cpu_quota(root=root, membership=membership) is None
    membership.write_text("5:cpu:/\n")
    write(root / "cpu", **{"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"})
    assert cpu_quota(root=root, membership=membership) is None
    assert memory_headroom_bytes(root=root, membership=membership) is None
