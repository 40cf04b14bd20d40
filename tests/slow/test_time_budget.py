"""A budget in time is kept on real data, with everything that belongs to a run inside it."""

import json
import time
from pathlib import Path

import pytest
from command_line import xautolm

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_minute_ends_within_a_minute_and_ten_seconds(tmp_path, own_store):
    data = ROOT / "examples" / "data" / "pros_cons.csv"
    started = time.monotonic()
    xautolm("fit", data, "--budget", "60s", "--no-starter", "--out", "run", cwd=tmp_path, store=own_store)
    assert time.monotonic() - started < 70  # 2 min 20 s for 2 min, in proportion
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "complete"
    assert run["n_ok"] >= 2
    assert run["test"]["f1"] > 0.6
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
