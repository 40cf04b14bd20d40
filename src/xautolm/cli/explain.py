"""`explain`: what past experience says about a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from xautolm.cli.app import Json, app
from xautolm.cli.search import NoPublished, NoStarter, listed, roles


@app.command()
def explain(
    data: Annotated[
        str, typer.Argument(help="csv, tsv, json, jsonl, parquet, conll (also .gz), datasets folder or hub id.")
    ],
    valid: Annotated[str | None, typer.Option(help="Validation data; cut from DATA when not given.")] = None,
    test: Annotated[str | None, typer.Option(help="Test data; cut from DATA when not given.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="text-classification, multi-label, text-regression, token-classification, question-answering or "
            "text-generation; guessed when plain."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text column, when it is not plain.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Target column, when it is not plain; a,b,c = columns of 0 and 1.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=NAME: text, text_pair, target; words, target; context, question, answers."),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Names, folders or hub ids, separated by commas.")] = None,
    methods: Annotated[str | None, typer.Option(help="head, partial, lora, full.  [default: all]")] = None,
    prior: Annotated[str | None, typer.Option(help="learned, reference, knn or none.")] = None,
    store: Annotated[str | None, typer.Option(help="URL of the experience store.  [default: XAUTOLM_STORE]")] = None,
    no_starter: NoStarter = False,
    no_published: NoPublished = False,
    exclude_dataset: Annotated[list[str] | None, typer.Option(help="Leave out experiences of this data set.")] = None,
    no_semantic: Annotated[
        bool, typer.Option("--no-semantic", help="Profile the data without embedding any text.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the splits.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what past experience says about a task: near tasks, what counts, what the search would prefer.

    No model is kept, and nothing is written but the page and, once, the measured speed of this machine.
    """
    from xautolm.config import make_settings
    from xautolm.explain import explain as explained
    from xautolm.report.explain_html import check_place, write_explanation
    from xautolm.report.explain_text import render_explanation_text

    settings = make_settings(
        {
            "data": data,
            "valid": valid,
            "test": test,
            "task": task,
            "text": text,
            "target": target,
            "column": roles(column),
            "models": listed(models),
            "methods": listed(methods),
            "prior": prior,
            "store": store,
            "starter": False if no_starter else None,
            "published": False if no_published else None,
            "exclude_dataset": exclude_dataset or None,
            "semantic": False if no_semantic else None,
            "seed": seed,
        }
    )
    if html is not None:
        check_place(html)
    explanation = explained(settings)
    if html is not None:
        write_explanation(explanation, html)
    if as_json:
        print(json.dumps(explanation.to_dict(), allow_nan=False))
        return
    console = Console()
    width = console.width if console.is_terminal else 100
    console.print(Text(render_explanation_text(explanation, width)), soft_wrap=True, highlight=False, end="")
    if html is not None:
        console.print(f"\nPage: {html}", soft_wrap=True, highlight=False)
