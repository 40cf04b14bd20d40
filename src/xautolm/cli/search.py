"""`fit` and `resume`: run a search with a live view."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from xautolm.cli.app import EXIT_INTERRUPTED, Json, app
from xautolm.cli.results import print_run
from xautolm.errors import UsageError

NoStarter = Annotated[bool, typer.Option("--no-starter", help="Leave out experiences that ship with the package.")]
NoPublished = Annotated[bool, typer.Option("--no-published", help="Leave out the published evaluations among them.")]


@app.command()
def fit(
    data: Annotated[
        str | None, typer.Argument(help="csv, tsv, json, jsonl, parquet, conll (also .gz), datasets folder or hub id.")
    ] = None,
    valid: Annotated[str | None, typer.Option(help="Validation data; cut from DATA when not given.")] = None,
    test: Annotated[
        str | None, typer.Option(help="Test data, sealed until the report; cut from DATA when not given.")
    ] = None,
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
    budget: Annotated[str | None, typer.Option(help="30m, 2h, 40trials.  [default: 30m]")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="Limit per trial.  [default: budget / 8]")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Limit per trial, such as 8GiB.  [default: 80 % of free / workers]")
    ] = None,
    max_disk: Annotated[str | None, typer.Option(help="Limit for kept checkpoints.  [default: 5GiB]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads per trial.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at the same time.")] = None,
    objectives: Annotated[str | None, typer.Option(help="f1,time; the first decides the recommendation.")] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="Bound for what is recommended: 'f1>=0.9', 'latency<=20' (ms).")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="How rows are put to models that write: '{context}\\n{question}\\nAnswer:'.")
    ] = None,
    no_quotes: Annotated[bool, typer.Option("--no-quotes", help="Quote none of the test rows in the report.")] = False,
    no_semantic: Annotated[
        bool, typer.Option("--no-semantic", help="Profile the data without embedding any text.")
    ] = False,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Do not score majority class, TF-IDF and a frozen encoder first.")
    ] = False,
    no_stopping: Annotated[
        bool, typer.Option("--no-stopping", help="Let every trial run to its end, also a hopeless one.")
    ] = False,
    models: Annotated[str | None, typer.Option(help="Names, folders or hub ids, separated by commas.")] = None,
    exclude_models: Annotated[str | None, typer.Option(help="Models to leave out.")] = None,
    methods: Annotated[str | None, typer.Option(help="head, partial, lora, full.  [default: all]")] = None,
    space: Annotated[str | None, typer.Option(help="usual or wide: more hyperparameters.")] = None,
    prior: Annotated[str | None, typer.Option(help="learned, reference, knn or none.")] = None,
    sampler: Annotated[str | None, typer.Option(help="experience or optuna:NAME.")] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Start from nothing: --prior none.")] = False,
    store: Annotated[str | None, typer.Option(help="URL of the experience store.  [default: XAUTOLM_STORE]")] = None,
    no_starter: NoStarter = False,
    no_published: NoPublished = False,
    exclude_dataset: Annotated[list[str] | None, typer.Option(help="Leave out experiences of this data set.")] = None,
    backend: Annotated[str | None, typer.Option(help="local.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of splits, search and trials.")] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Train the chosen pipeline once more on train + validation.")
    ] = False,
    estimate_energy: Annotated[
        bool, typer.Option("--estimate-energy", help="Without a counter, estimate energy (needs the extra `energy`).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder.  [default: runs/<data>-<n>]")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file; options given here win.")] = None,
    as_json: Json = False,
) -> None:
    """Search for the best pipelines within a budget, export the best one, and report."""
    from xautolm.config import make_settings, read_settings_file

    given: dict[str, Any] = {
        "data": data,
        "valid": valid,
        "test": test,
        "task": task,
        "text": text,
        "target": target,
        "column": roles(column),
        "budget": budget,
        "trial_timeout": trial_timeout,
        "memory": memory,
        "max_disk": max_disk,
        "device": device,
        "threads": threads,
        "workers": workers,
        "objectives": listed(objectives),
        "constraint": tuple(constraint) if constraint else None,
        "prompt": prompt,
        "baselines": False if no_baselines else None,
        "stopping": False if no_stopping else None,
        "semantic": False if no_semantic else None,
        "quotes": False if no_quotes else None,
        "models": listed(models),
        "exclude_models": listed(exclude_models),
        "methods": listed(methods),
        "space": space,
        "prior": "none" if cold else prior,
        "sampler": sampler,
        "store": store,
        "starter": False if no_starter else None,
        "published": False if no_published else None,
        "exclude_dataset": exclude_dataset or None,
        "backend": backend,
        "seed": seed,
        "refit": refit or None,
        "estimate_energy": estimate_energy or None,
    }
    fields = read_settings_file(config) if config else {}
    if data is not None and data != fields.get("data"):
        fields.pop("data_sha256", None)  # hashes belong to the data that the file named
    fields |= {name: value for name, value in given.items() if value is not None}
    if "data" not in fields:
        raise UsageError("expected DATA: a csv, tsv, json, jsonl or parquet file, a `datasets` folder or a hub id")
    settings = make_settings(fields)
    from xautolm import run

    folder = out or run.default_out(settings.data)
    _search(lambda view, stop: run.fit(settings, folder, observer=view, should_stop=stop), settings, as_json)


@app.command()
def resume(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Continue a run after any kind of stop."""
    from xautolm import run
    from xautolm.config import make_settings, read_settings_file
    from xautolm.experience.run_folder import check_is_run

    check_is_run(folder)
    settings = make_settings(read_settings_file(folder / "config.yaml"))
    _search(lambda view, stop: run.resume(folder, observer=view, should_stop=stop), settings, as_json)


def roles(values: list[str] | None) -> dict[str, str] | None:
    """`ROLE=NAME` options as a mapping.

    Raises:
        UsageError: one has another form.
    """
    if not values:
        return None
    wrong = [value for value in values if "=" not in value]
    if wrong:
        raise UsageError(f"expected `--column ROLE=NAME`, got {wrong[0]!r}")
    return dict(value.split("=", 1) for value in values)


def listed(value: str | None) -> tuple[str, ...] | None:
    """The parts of an option that takes several values separated by commas."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def _search(search: Any, settings: Any, as_json: bool) -> None:
    """Run a search with a live view and Ctrl-C handling, then print what it found."""
    from xautolm.interrupts import StopRequest
    from xautolm.report.live import LiveView

    console = Console(stderr=True)
    with StopRequest(
        lambda: console.print("stopping: everything finished is kept; Ctrl-C again leaves at once")
    ) as stop:
        with LiveView(console, settings.parsed_budget, settings.parsed_objectives) as view:
            found = search(view, stop.is_requested)
        print_run(Path(found.folder), as_json)
        if stop.is_requested():
            raise typer.Exit(EXIT_INTERRUPTED)
