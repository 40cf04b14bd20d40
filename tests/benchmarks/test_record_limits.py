import numpy as np
import pytest
from recording_fixtures import make_result

from benchmarks.recording.limits import best_constant_f1, choose_limits, failed_share, read_limits, save_entry
from xautolm.evaluate.metrics import classification_scores
from xautolm.space.feasibility import Limits


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5), (0.05, 0.0, 0.95)])
def test_best_constant_f1_is_that_of_the_best_constant_prediction(shares: tuple[float, ...]) -> None:
    labels = np.random.default_rng(0).choice(len(shares), 200, p=shares).tolist()
    scores = [classification_scores(labels, [c] * 200, len(shares))["f1"] for c in range(len(shares))]
    assert best_constant_f1(labels, len(shares)) == pytest.approx(max(scores))


def test_limits_fail_a_third_of_the_draws() -> None:
    draws = [make_result(i, time_s=5.0 * (i + 1), mib=1000.0 - 10 * i) for i in range(30)]
    choice = choose_limits(draws, 0.4)
    assert choice.problems == ()
    assert 0.30 <= choice.failed_share <= 0.40
    assert choice.failed_share == failed_share(draws, choice.limits)
    assert 970 <= choice.limits.memory_mib < 980  # three of thirty are above it
    assert 100 < choice.limits.time_s < 125


def test_stopped_draws_are_slower_than_any_limit_and_killed_ones_larger() -> None:
    quick = [make_result(i, time_s=10.0 + i) for i in range(19)]
    stopped = [make_result(20 + i, time_s=60.0, status="timeout") for i in range(8)]
    killed = [make_result(30 + i, time_s=3.0, mib=100.0, status="oom") for i in range(3)]
    choice = choose_limits(quick + stopped + killed, 0.4)
    assert choice.limits.time_s <= 60.0
    assert choice.failed_share == pytest.approx(11 / 30)
    assert choice.problems == ()


def test_more_draws_out_of_memory_than_the_share_still_give_a_limit() -> None:
    killed = [make_result(30 + i, time_s=3.0, mib=8000.0, status="oom") for i in range(9)]
    draws = [make_result(i, time_s=10.0 + i, mib=300.0 + i) for i in range(21)] + killed
    choice = choose_limits(draws, 0.4)
    assert 320 <= choice.limits.memory_mib < 8000
    assert 0.30 <= choice.failed_share <= 0.40


def test_crashed_draws_count_as_failed_whatever_the_limit() -> None:
    draws = [make_result(i, time_s=10.0 + i, mib=300.0 + i) for i in range(27)]
    draws += [make_result(40 + i, time_s=1.0, mib=1.0, status="diverged") for i in range(3)]
    choice = choose_limits(draws, 0.4)
    assert 0.30 <= choice.failed_share <= 0.40
    assert failed_share(draws, Limits(1e9, 1e9)) == pytest.approx(0.1)


def test_pilot_whose_valid_results_are_mostly_useless_is_refused() -> None:
    draws = [make_result(i, time_s=5.0 * (i + 1), f1=0.4 if i % 2 else 0.8) for i in range(30)]
    choice = choose_limits(draws, 0.4)
    assert choice.useless_share is not None
    assert choice.useless_share > 1 / 3
    assert any("useless" in problem and "`--train`" in problem for problem in choice.problems)


def test_score_equal_to_the_constant_prediction_is_useless() -> None:
    draws = [make_result(i, time_s=5.0 * (i + 1), f1=0.4 if i < 5 else 0.41) for i in range(30)]
    choice = choose_limits(draws, 0.4)
    n_valid = round(30 * (1 - choice.failed_share))
    assert choice.useless_share == pytest.approx(5 / n_valid)
    assert choice.problems == ()


def test_pilot_with_too_many_failures_of_its_own_is_refused() -> None:
    draws = [make_result(i, time_s=120.0, status="timeout") for i in range(15)]
    draws += [make_result(20 + i, time_s=10.0 + i) for i in range(15)]
    choice = choose_limits(draws, 0.4)
    assert any("`--pilot-limit`" in problem for problem in choice.problems)


def test_pilot_without_a_working_draw_is_refused() -> None:
    choice = choose_limits([make_result(i, status="crashed") for i in range(30)], 0.4)
    assert choice.failed_share == 1.0
    assert choice.problems


def test_entries_of_several_tasks_are_kept(tmp_path) -> None:
    save_entry(tmp_path, "limits.json", "trec", {"time_limit_s": 1.0})
    save_entry(tmp_path, "limits.json", "liar", {"time_limit_s": 2.0})
    save_entry(tmp_path, "limits.json", "trec", {"time_limit_s": 3.0})
    assert read_limits(tmp_path) == {"liar": {"time_limit_s": 2.0}, "trec": {"time_limit_s": 3.0}}
