"""The benchmark of the estimates judges what it is given, and a real trial can be measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import estimates
from benchmarks.measured_trials import Campaign, Measured, read_campaign
from xautolm import registry
from xautolm.errors import UsageError
from xautolm.methods.method import Facts
from xautolm.records import ModelSpec, Pipeline
from xautolm.space.feasibility import DEFAULT_SPEED, estimate
from xautolm.space.workload import TaskSize

MINILM = ModelSpec("m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",))
SIZE = TaskSize(400, 100, 2, (60,) * 101)
FULL = Pipeline("m", "full", registry.resolve("methods", "full").space(Facts([MINILM], (64,), 400)).default)
NEEDED = estimate(registry.resolve("methods", "full").workload(MINILM, FULL.params), MINILM, SIZE, DEFAULT_SPEED)


def campaign(n: int = 14, memory: float = 1.1, time: float = 3.0) -> Campaign:
    trial = Measured("t", FULL, "ok", memory * NEEDED.memory_mib, time * NEEDED.time_s, 1.0)
    return Campaign({"m": MINILM}, {"t": SIZE}, DEFAULT_SPEED, (trial,) * n)


def test_memory_is_judged_as_estimated_and_time_as_corrected() -> None:
    compared = estimates.compare(campaign())
    assert all(item.memory_error == pytest.approx(1 - 1 / 1.1) for item in compared)
    ratios = [item.time_ratio for item in compared]
    assert ratios[0] == pytest.approx(3.0)
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 1.2


def test_what_fits_by_estimate_and_exceeds_in_truth_is_counted() -> None:
    small, large = (estimates.fits(campaign(3, memory=factor)) for factor in (0.9, 4.0))
    assert sum(fit.n_exceeding for fit in small) == 0
    assert [fit.n_exceeding for fit in large if fit.limit_mib == 2048.0] == [3]
    killed = campaign(1)
    killed = replace(killed, trials=(replace(killed.trials[0], status="oom"),))
    assert [fit.n_exceeding for fit in estimates.fits(killed) if fit.limit_mib == 2048.0] == [1]


def test_trials_of_an_earlier_call_are_judged_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps({"measured": campaign().to_dict()}))
    assert read_campaign(path) == campaign()
    assert estimates.main(["--measured", str(path)]) == 0
    assert "| full | 14 | 9.1% |" in capsys.readouterr().out


def test_a_file_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]")
    with pytest.raises(UsageError, match=r"other\.json"):
        read_campaign(path)
    assert estimates.main(["--measured", str(path)]) == 1
    assert "other.json" in capsys.readouterr().err
