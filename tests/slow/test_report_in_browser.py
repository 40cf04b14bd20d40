"""The report page in headless Chromium, driven through the DevTools pipe: it draws, sorts, and stays offline."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from explanations import make_explanation

from xautolm.records import Cost, Pipeline, RunReport, TrialError, TrialResult
from xautolm.report.explain_html import write_explanation
from xautolm.report.html import write_html
from xautolm.report.summary import summarise

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
HOSTILE = "</script><script>window.attacked=1</script><img src=http://example.org/x onerror='window.attacked=1'>"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium (.ci/run does)"),
]


class Browser:
    """A page in Chromium; every DevTools event is kept in `events`."""

    def __init__(self, profile: Path) -> None:
        # Chromium reads commands from descriptor 3 and writes answers to 4, each ended by a zero byte.
        command_in, self._to = os.pipe()
        self._from, answer_out = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe about:blank"
        shell = f'exec "$0" --user-data-dir="$1" {flags} 3<&{command_in} 4>&{answer_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, str(CHROMIUM), str(profile)],
            pass_fds=(command_in, answer_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_in)
        os.close(answer_out)
        self._buffer, self._count, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read(30)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _read(self, timeout_s: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], timeout_s)
            assert ready, "Chromium did not answer"
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "Chromium ended"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(line))

    def run(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.as_uri())
        drawn = "[...document.querySelectorAll('.plot')].every(p => p.dataset.drawn === 'yes') && 'yes'"
        ready = f"document.readyState === 'complete' && document.querySelector('footer') !== null && {drawn}"
        deadline = time.monotonic() + 40
        while (state := self.run(ready)) != "yes":
            assert time.monotonic() < deadline, f"the plots were not drawn: {state!r}"
            time.sleep(0.1)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    opened = Browser(tmp_path / "profile")
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of a run with three scored trials, one of them with a hostile name, and one failure."""
    folder = tmp_path / "run"
    folder.mkdir()
    trials = tuple(
        result(i, f1, time_s, model)
        for i, (f1, time_s, model) in enumerate(
            [(0.7, 9.0, "small"), (None, 5.0, "huge"), (0.9, 100.0, HOSTILE), (0.6, 20.0, "medium")]
        )
    )
    run = {
        "run_id": HOSTILE,
        "task": "text-classification",
        "status": "complete",
        "objectives": [{"name": "f1", "direction": "maximize"}, {"name": "time", "direction": "minimize"}],
        "notes": [HOSTILE],
    }
    (folder / "data.json").write_text(json.dumps({"labels": {HOSTILE: 3, "con": 2}, "rows": {"train": 5}}))
    return write_html(summarise(RunReport(str(folder), run, trials, front=(0, 2), best=2)))


def result(trial_id: int, f1: float | None, time_s: float, model: str) -> TrialResult:
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=100 * trial_id)
    return TrialResult(
        trial_id=trial_id,
        status="oom" if f1 is None else "ok",
        pipeline=Pipeline(model, "lora", {"learning_rate": 1e-3, HOSTILE: HOSTILE}),
        scores={} if f1 is None else {"f1": f1},
        cost=Cost(time_s=time_s),
        seed=0,
        curve=() if f1 is None else ((1, 1.0, f1 / 2), (2, 2.0, f1)),
        error=TrialError("oom_train", HOSTILE) if f1 is None else None,
        started_at=start.isoformat(),
        finished_at=(start + timedelta(seconds=time_s)).isoformat(),
    )


def test_plots_are_drawn_without_errors_or_network(browser: Browser, page: Path) -> None:
    browser.open(page)
    points = "document.querySelectorAll('#pareto .scatterlayer .point').length"
    assert browser.run(points) == 1 + 2 + 1 + 1  # dominated, front, recommended, failed
    assert browser.run("document.querySelectorAll('#anytime .scatterlayer .trace').length") >= 2
    assert problems_of(browser) == []
    requests = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert requests, "the page itself is a request"
    assert browser.run("window.attacked === undefined && document.images.length === 0")


def problems_of(browser: Browser) -> list[dict[str, Any]]:
    """Errors and warnings, and requests that leave the page."""
    return [
        e["params"]
        for e in browser.events
        if e.get("method") == "Runtime.exceptionThrown"
        or (e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] in ("error", "warning"))
        or (e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] in ("error", "warning"))
        or (
            e.get("method") == "Network.requestWillBeSent"
            and not e["params"]["request"]["url"].startswith(("file:", "data:", "blob:", "about:"))
        )
    ]


@pytest.mark.parametrize("width", [390, 1280])
def test_explanation_is_drawn_without_errors_network_or_sideways_scroll(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    path = write_explanation(make_explanation(HOSTILE, n_tasks=14), tmp_path / "page.html")
    browser.open(path, width=width)
    assert problems_of(browser) == []
    assert browser.run("window.attacked === undefined && document.images.length === 0")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('#methods .barlayer .point').length") == 4
    labels = browser.run("[...document.querySelectorAll('#heat .xtick text')].map(t => t.textContent)")
    assert len(labels) == 15
    # A narrow screen scrolls the map inside its frame, so that its figures stay apart.
    gaps = "[...document.querySelectorAll('#heat .xtick text')].map(t => t.getBoundingClientRect().right)"
    ends = sorted(browser.run(gaps))
    assert min(b - a for a, b in pairwise(ends)) > 10


def test_no_button_sends_the_chart_away(browser: Browser, page: Path) -> None:
    browser.open(page)
    titles = browser.run("[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title ?? b.ariaLabel)")
    assert titles
    assert not [title for title in titles if "hare" in str(title) or "loud" in str(title)]
    assert len(titles) == 2 * 6


def test_click_on_a_head_sorts_the_trials(browser: Browser, page: Path) -> None:
    browser.open(page)
    order = "[...document.querySelectorAll('#trials tbody tr')].map(r => r.id.slice(6)).join('')"
    head = "document.querySelectorAll('#trials th')[{}]"
    assert browser.run(order) == "0123"
    browser.run(head.format(3) + ".querySelector('button').click()")
    assert browser.run(order) == "1032"  # by seconds, not by text: 5 < 9 < 20 < 100
    assert browser.run(head.format(3) + ".getAttribute('aria-sort')") == "ascending"
    browser.run(head.format(2) + ".querySelector('button').click()")
    assert browser.run(order) == "3021"  # the trial without a score comes last ...
    browser.run(head.format(2) + ".querySelector('button').click()")
    assert browser.run(order) == "2031"  # ... also downwards
    assert browser.run(head.format(3) + ".getAttribute('aria-sort')") == "none"


def test_filter_and_click_on_a_point_lead_to_the_trial(browser: Browser, page: Path) -> None:
    browser.open(page)
    visible = (
        "[...document.querySelectorAll('#trials tbody tr')].filter(r => !r.hidden).map(r => r.id.slice(6)).join('')"
    )
    browser.run("document.querySelector('[data-show=front]').click()")
    assert browser.run(visible) == "02"
    browser.run("document.querySelector('[data-show=failed]').click()")
    assert browser.run(visible) == "1"
    browser.run("document.getElementById('pareto').emit('plotly_click', {points: [{customdata: 3}]})")
    assert browser.run(visible) == "0123"
    assert browser.run("document.querySelector('tr.found').id") == "trial-3"


def test_narrow_screen_has_no_sideways_scroll(browser: Browser, page: Path) -> None:
    for width in (390, 1280):
        browser.open(page, width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width


def test_dark_scheme_changes_page_and_plot(browser: Browser, page: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        browser.open(page, scheme=scheme)
        body = browser.run("getComputedStyle(document.body).backgroundColor")
        tick = browser.run("document.querySelector('#pareto .xtick text').style.fill")
        colours[scheme] = (body, tick)
    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]
