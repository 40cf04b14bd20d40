"""The made-up fine-tuning that runs out of memory: its rules, its table, its verdict."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from benchmarks.oom_toy import BATCHES, LENGTHS, MODELS, STRATEGIES, Figures, fits, main, quality, verdict


def test_a_third_of_the_space_does_not_fit_and_the_best_point_lies_at_the_edge() -> None:
    grid = list(itertools.product(MODELS, BATCHES, LENGTHS))
    fitting = [point for point in grid if fits(*point)]

    assert 0.6 < len(fitting) / len(grid) < 0.7
    assert max(quality(*point, 10**-4.5) for point in fitting) == pytest.approx(0.95)


def test_all_samplers_are_run_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--seeds", "1", "--trials", "12", "--json", str(tmp_path / "toy.json")])
    shown, written = capsys.readouterr().out, json.loads((tmp_path / "toy.json").read_text())

    assert all(f"| {strategy.name} |" in shown for strategy in STRATEGIES)
    assert len(written["figures"]["ours, cold"]) == 1
    assert written["machine"]


@pytest.mark.parametrize(
    ("ours", "is_met"),
    [
        (Figures(0.10, 0, 0.946), True),
        (Figures(0.11, 0, 0.95), False),
        (Figures(0.0, 0, 0.944), False),
    ],
)
def test_the_verdict_follows_the_bounds(ours: Figures, is_met: bool) -> None:
    others = {strategy.name: [Figures(0.3, 0.3, 0.95)] for strategy in STRATEGIES}

    assert verdict({**others, "ours, cold": [ours]})[0] is is_met
