"""A job claims one GPU and a share of its memory; tested with a torch that only notes what it is told."""

from types import SimpleNamespace

import pytest

from xautolm.evaluate.gpu_limits import claim_gpu, selection


def torch_with(total_mib, noted):
    cuda = SimpleNamespace(
        get_device_properties=lambda index: SimpleNamespace(total_memory=total_mib * 2**20),
        set_per_process_memory_fraction=lambda share, index: noted.append((share, index)),
    )
    return SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(("limit", "shares"), [(250.0, [(0.25, 0)]), (5000.0, [(1.0, 0)]), (None, [])])
def test_the_share_of_memory_is_that_of_the_limit(monkeypatch, limit, shares):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    noted = []
    spec = {"device": "cuda:1", "seed": 1} | ({} if limit is None else {"device_limit_mib": limit})
    claimed = claim_gpu(spec, torch_with(1000, noted))
    assert noted == shares
    assert claimed == {**spec, "device": "cuda:0"}
    assert selection("cuda:0", "5") == "5"


def test_only_the_claimed_gpu_stays_visible(monkeypatch):
    import os

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    claim_gpu({"device": "cuda:1"}, torch_with(1000, []))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
