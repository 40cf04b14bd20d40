"""A store that lies: what it says, that it is found out, and that it hardly costs anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import adversarial
from benchmarks.replaying.analytic import N_PAST, N_TASKS, made_up_task, past_of
from benchmarks.replaying.ours import reversed_experiences


def test_a_lying_store_turns_every_order_round() -> None:
    past = past_of(3)
    lies = reversed_experiences(tuple(past))

    assert len(past) == N_TASKS * N_PAST
    for name in {experience.dataset_id for experience in past}:
        pairs = [(a.result, b.result) for a, b in zip(past, lies, strict=True) if a.dataset_id == name]
        assert all(lie.is_ok for truth, lie in pairs if not truth.is_ok)
        both = [(truth.scores["f1"], lie.scores["f1"]) for truth, lie in pairs if truth.is_ok and lie.is_ok]
        lost = [truth.scores["f1"] for truth, lie in pairs if truth.is_ok and not lie.is_ok]
        assert min(lost) > max(truth for truth, _ in both)
        assert [lie for _, lie in sorted(both)] == sorted((lie for _, lie in both), reverse=True)


def test_made_up_tasks_differ_and_repeat_themselves() -> None:
    pipelines = [experience.result.pipeline for experience in past_of(0)[:20]]
    scores = [[made_up_score(number, pipeline) for pipeline in pipelines] for number in (0, 1, 0)]

    assert scores[0] == scores[2] != scores[1]


def made_up_score(number: int, pipeline: object) -> float:
    from xautolm.records import Trial

    return made_up_task(number).surrogate(Trial(0, pipeline, seed=0)).scores.get("f1", 0.0)  # type: ignore[arg-type]


def test_differences_are_paired_and_shares_of_cold() -> None:
    cold = np.asarray([0.5, 0.6, 0.7, 0.4])

    found = adversarial.against(cold * 0.9, cold)

    assert [found[key] for key in ("share", "low", "high")] == pytest.approx([-0.1] * 3)
    assert found["n_worse"] == 4


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_truth_is_believed_and_a_lie_is_found_out_before_it_costs_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = adversarial.main(["--seeds", "1", "--first-seed", "1", "--trials", "30", "--json", str(tmp_path / "a.json")])

    written = json.loads((tmp_path / "a.json").read_text())
    found = written["strategies"]
    assert code == 0
    assert found["learned, truthful"]["weight"] > 0.9
    assert found["learned, truthful"]["agreement"] > 0.5
    assert found["learned, truthful"]["early_volume"]["mean"] > found["cold"]["early_volume"]["mean"]
    assert found["learned, adversarial"]["weight"] < 0.2
    assert found["learned, adversarial"]["agreement"] < 0.2
    for name in found:
        assert found[name]["volume_against_cold"]["share"] > -0.05, name
    assert len(written["records"]) == len(found) == 5
    table = capsys.readouterr().out
    assert "seeds 1 to 1, 30 trials" in table
    assert all(name in table for name in found)
