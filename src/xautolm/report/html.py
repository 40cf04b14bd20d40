"""One self-contained HTML page per run: Plotly is inlined, a content security policy forbids everything else.

The policy names the page's own scripts by their hashes: a string that came in with the data could not run
even if it were left unescaped. Data reach the scripts as JSON in `<script type="application/json">` blocks,
which never execute.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from xautolm.report import wording
from xautolm.report.plots import anytime_figure, pareto_figure
from xautolm.report.summary import Summary


def render_html(summary: Summary) -> str:
    """The page as a string."""
    scripts = {"plotly": _plotly_js(), "page": _template_file("report.js")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        {
            "score": wording.score,
            "duration": wording.duration,
            "memory": wording.memory,
            "number": wording.number,
            "plural": wording.plural,
            "percent": wording.percent,
            "code": code,
        }
    )
    template = environment.from_string(_template_file("report.html.j2"))
    model = str(Path(summary.folder) / "model")
    return template.render(
        s=summary,
        style=Markup(_template_file("report.css")),  # noqa: S704  # our own file
        scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  # our own file and Plotly's
        script_hashes=" ".join(_csp_hash(text) for text in scripts.values()),
        pareto=json_block(pareto_figure(summary)),
        anytime=json_block(anytime_figure(summary)),
        n_labels_shown=20,
        model_literal=repr(model),
        model_argument=shlex.quote(model),
        resume_argument=shlex.quote(summary.folder),
    )


def write_html(summary: Summary, path: str | Path | None = None) -> Path:
    """Write the page atomically, by default to `report.html` in the run folder, and return its path.

    Raises:
        OSError: the page cannot be written; an older page is then left as it was.
    """
    target = Path(path) if path is not None else Path(summary.folder) / "report.html"
    page = render_html(summary)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def code(sentence: str) -> Markup:
    """A sentence with its backticks turned into `code` elements; everything else is escaped.

    >>> str(code("raise `--memory` < `now`"))
    'raise <code>--memory</code> &lt; <code>now</code>'
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704  # escaped


def json_block(value: Any) -> Markup:
    r"""JSON that is inert inside a `<script>` element: no `<`, `>`, `&` or line separators.

    >>> str(json_block({"a": "</script>"}))
    '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # nothing that HTML could read is left


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _template_file(name: str) -> str:
    return (resources.files("xautolm.report") / "templates" / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    """The source expression of a content security policy that allows exactly this script (CSP level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
