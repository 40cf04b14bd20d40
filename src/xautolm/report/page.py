"""Self-contained HTML pages: Plotly is inlined, a content security policy forbids everything else.

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
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from xautolm.report import wording


def render_page(template: str, figures: Mapping[str, Mapping[str, Any]], **facts: Any) -> str:
    """Render a page.

    Args:
        template: file in `templates/` that extends `page.html.j2`.
        figures: name -> Plotly figure (data, layout); drawn into the element with that name as id.
        facts: what the template shows; every string is escaped.
    """
    scripts = {"plotly": plotly_js(), "page": _template_file("report.js")}
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_template_file),
    )
    environment.filters.update(
        {
            "score": wording.score,
            "duration": wording.duration,
            "memory": wording.memory,
            "number": wording.number,
            "plural": wording.plural,
            "percent": wording.percent,
            "signed": wording.signed,
            "code": code,
        }
    )
    return environment.get_template(template).render(
        style=Markup(_template_file("report.css")),  # noqa: S704  # our own file
        scripts={name: Markup(text) for name, text in scripts.items()},  # noqa: S704  # our own file and Plotly's
        script_hashes=" ".join(_csp_hash(text) for text in scripts.values()),
        figures={name: json_block(figure) for name, figure in figures.items()},
        **facts,
    )


def write_page(target: Path, page: str) -> Path:
    """Write a page atomically and return its path.

    Raises:
        OSError: the page cannot be written; an older page is then left as it was.
    """
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
def plotly_js() -> str:
    """Plotly's script as one text."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _template_file(name: str) -> str:
    return (resources.files("xautolm.report") / "templates" / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    """The source expression of a content security policy that allows exactly this script (CSP level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
