"""`models`: what can be tuned here, and what of it fits a data set."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from xautolm.cli.app import Json, app
from xautolm.cli.search import listed, roles
from xautolm.errors import UsageError


@app.command()
def models(
    data: Annotated[
        str | None, typer.Argument(help="Judge the models by these data: a file, datasets folder or hub id.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Kind of task; guessed when plain.")] = None,
    text: Annotated[str | None, typer.Option(help="Text column, when it is not plain.")] = None,
    target: Annotated[str | None, typer.Option(help="Label column, when it is not plain.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="ROLE=NAME, such as text_pair=question2.")] = None,
    models: Annotated[str | None, typer.Option(help="Only these: names, folders or hub ids, with commas.")] = None,
    methods: Annotated[str | None, typer.Option(help="head, partial, lora, full.  [default: all]")] = None,
    budget: Annotated[str | None, typer.Option(help="Of the run to come: 30m, 2h, 40trials.  [default: 30m]")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="Limit per trial.  [default: budget / 8]")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Limit per trial, such as 8GiB.  [default: 80 % of free / workers]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads per trial.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at the same time.")] = None,
    as_json: Json = False,
) -> None:
    """List the models that are known and those on this machine; with DATA, say which fit, with estimates.

    Nothing is downloaded. With DATA the speed of this machine is measured once and kept.
    """
    from xautolm.config import make_settings
    from xautolm.report.models_text import models_text, shortlist_text
    from xautolm.shortlist import shortlist
    from xautolm.space.fits import offer_to_dict
    from xautolm.space.inventory import offers

    names = listed(models)
    given = {
        "task": task,
        "text": text,
        "target": target,
        "column": roles(column),
        "methods": listed(methods),
        "budget": budget,
        "trial_timeout": trial_timeout,
        "memory": memory,
        "device": device,
        "threads": threads,
        "workers": workers,
    }
    if data is None:
        idle = [name.replace("_", "-") for name, value in given.items() if value is not None]
        if idle:
            raise UsageError(f"`--{idle[0]}` needs DATA: without data the models are only listed")
        offered = offers(names)
        _print({"models": [offer_to_dict(offer) for offer in offered]} if as_json else models_text(offered, _width()))
        return
    settings = make_settings({"data": data, "models": names, **given})
    found = shortlist(settings)
    _print(found.to_dict() if as_json else shortlist_text(found, _width()))


def _width() -> int:
    console = Console()
    return console.width if console.is_terminal else 100


def _print(content: dict[str, object] | str) -> None:
    if isinstance(content, str):
        Console().print(Text(content), soft_wrap=True, highlight=False, end="")
    else:
        print(json.dumps(content, allow_nan=False))
