"""Worst answers on the page: shortened, harmless, and absent where a run left none."""

import json

from xautolm.report.folder import read_run
from xautolm.report.html import write_html
from xautolm.report.summary import summarise
from xautolm.report.worst import read_worst


def test_entries_become_one_line_each():
    rows = read_worst(
        {
            "worst": [
                {"row": 3, "text": "why?\n" + "x" * 900, "expected": ["a", "b"], "predicted": "", "score": 0.0},
                {"row": "3"},
                "nothing",
            ]
        }
    )
    assert len(rows) == 1
    assert (rows[0].row, rows[0].expected, rows[0].predicted, rows[0].score) == (3, "a | b", "(none)", 0.0)
    assert "\n" not in rows[0].text
    assert len(rows[0].text) <= 241


def test_the_page_shows_them_escaped(make_run):
    folder = make_run()
    entry = {"row": 1, "text": "<script>alert(1)</script>", "expected": "yes", "predicted": "no", "score": 0.0}
    (folder / "test_worst.json").write_text(json.dumps({"worst": [entry]}))
    page = write_html(summarise(read_run(folder))).read_text()
    assert "Worst answers on the test rows" in page
    assert "&lt;script&gt;alert(1)" in page
    (folder / "test_worst.json").unlink()
    assert "Worst answers" not in write_html(summarise(read_run(folder))).read_text()
