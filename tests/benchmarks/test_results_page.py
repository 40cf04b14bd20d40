"""The committed results, their history and the page that is made of them belong together."""

from __future__ import annotations

import doctest
import importlib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import replay, results
from benchmarks.page import live_part
from benchmarks.page.svg import Axis, Panel, picture
from benchmarks.replaying import history
from benchmarks.replaying.strategies import OURS


@pytest.fixture(scope="module")
def replayed() -> dict[str, object]:
    return results.read_result(replay.RESULT)


def test_the_page_is_what_the_committed_results_say(capsys: pytest.CaptureFixture[str]) -> None:
    code = results.main(["--check"])

    assert code == 0, capsys.readouterr().out


def test_a_page_that_is_out_of_date_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main(["--check", "--out", str(tmp_path)]) == 1
    assert "out of date: results.md" in capsys.readouterr().out
    assert results.main(["--out", str(tmp_path)]) == 0
    assert results.main(["--check", "--out", str(tmp_path)]) == 0


def test_the_newest_lines_of_the_history_are_those_of_the_committed_result(replayed: dict[str, object]) -> None:
    lines, newest = history.read(), history.lines_of(replayed)

    assert lines[-len(newest) :] == newest
    assert all(set(line) == set(history.COLUMNS) for line in lines)
    assert [line["date"] for line in lines] == sorted(line["date"] for line in lines)
    assert all(0.0 <= float(line["error_ratio"]) <= 1.0 and float(line["rank"]) >= 1.0 for line in lines)


def test_the_committed_result_is_small_and_says_where_it_comes_from(replayed: dict[str, object]) -> None:
    assert replay.RESULT.stat().st_size < 1_500_000  # 2,700 searches in a line each
    assert {"commit", "date", "versions", "machine", "wall_s", "searched_s"} <= set(replayed)


def test_every_plot_is_xml_with_a_panel_per_task(replayed: dict[str, object]) -> None:
    files = results.page_files(results.RESULTS)

    plots = {name: content for name, content in files.items() if name.endswith(".svg")}
    assert len(plots) >= 3
    for name, content in plots.items():
        found = {element.text for element in ET.fromstring(content).iter() if element.text}
        assert OURS in found, name
        assert {"trec", "liar"} <= found or "live" in name, name


def live_result(f1: float, rival: float) -> dict[str, object]:
    """A result of `benchmarks.live` on one task, as its docstring describes it."""

    def summary(value: float) -> dict[str, object]:
        spread = {"median": value, "low": value - 0.1, "high": value + 0.1}
        figures = {key: spread for key, _ in live_part.COLUMNS.values()} | {"f1_first": spread, "f1_tenth": None}
        band = {name: [0.0, value] for name in ("median", "low", "high")}
        return {"seeds": [0, 1, 2], "figures": figures, "curves": {"best_f1": band, "hypervolume": band}}

    names = list(live_part.SERIES)
    by_name = {name: summary(f1 if name == names[0] else rival) for name in names}
    unfinished = {name: {"seeds": []} for name in names}
    return {
        "minutes": 3.0, "commit": "abc", "versions": {}, "machine": {}, "grid_s": [0.0, 180.0],
        "summary": {"trec": by_name, "sst2": unfinished},
    }  # fmt: skip


def test_live_results_have_a_table_and_name_what_is_lost() -> None:
    behind, ahead = (live_part.text(live_result(0.5, rival)) for rival in (0.6, 0.4))

    assert "| trec | random | 1 (0 to 1) |" in behind
    assert "Behind in test F1 on 1 of 1 tasks: trec (ours cold 0.600, ours warm 0.500)." in behind
    assert "Behind" not in ahead
    assert "sst2" not in behind
    assert set(live_part.plots(live_result(0.0, 0.0))) == {"live-f1.svg", "live-hypervolume.svg"}


def test_points_lie_where_their_axes_say() -> None:
    panel = Panel("t", Axis(1.0, 100.0, (), "x", is_log=True), Axis(0.0, 1.0, (), "y"))

    (left, bottom), (middle, _), (right, top) = panel.at(1.0, 0.0), panel.at(10.0, 0.5), panel.at(100.0, 1.0)

    assert left < middle < right
    assert middle - left == pytest.approx(right - middle)
    assert top < bottom
    assert panel.at(1000.0, 2.0) == (right, top)


def test_words_in_a_picture_cannot_break_it() -> None:
    panel = Panel("a < b & c", Axis(0.0, 1.0, (), ""), Axis(0.0, 1.0, (), ""))

    found = [element.text for element in ET.fromstring(picture([panel], [(0, "<x>")], "d")).iter()]

    assert "a < b & c" in found
    assert "<x>" in found


@pytest.mark.parametrize("name", ["svg", "wording"])
def test_examples_of_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"benchmarks.page.{name}"))

    assert result.attempted > 0
    assert result.failed == 0
