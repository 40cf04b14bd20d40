"""The command line: parse, call, print. Results go to stdout, everything else to stderr.

Exit codes: 0 done; 1 the run found no working pipeline or failed; 2 wrong usage or bad input (nothing written); 130
interrupted (everything finished so far is kept).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from xautolm.errors import UsageError, XAutoLMError

EXIT_INTERRUPTED = 130
#: click's `UsageError`, wherever this version of typer keeps click.
_WrongUsage: Any = typer.BadParameter.__base__

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AutoML for fine-tuning language models: picks the model, the method and the hyperparameters together.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, everything else on stderr.")]


@app.command()
def fit(
    data: Annotated[
        str | None, typer.Argument(help="csv, tsv, json, jsonl, parquet (also .gz), datasets folder or hub id.")
    ] = None,
    valid: Annotated[str | None, typer.Option(help="Validation data; cut from DATA when not given.")] = None,
    test: Annotated[
        str | None, typer.Option(help="Test data, sealed until the report; cut from DATA when not given.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task kind: text-classification.")] = None,
    text: Annotated[str | None, typer.Option(help="Text column, when it is not plain.")] = None,
    target: Annotated[str | None, typer.Option(help="Label column, when it is not plain.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="ROLE=NAME, roles: text, text_pair, target.")] = None,
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
    models: Annotated[str | None, typer.Option(help="Names, folders or hub ids, separated by commas.")] = None,
    exclude_models: Annotated[str | None, typer.Option(help="Models to leave out.")] = None,
    methods: Annotated[str | None, typer.Option(help="head, partial, lora, full.  [default: all]")] = None,
    prior: Annotated[str | None, typer.Option(help="reference or none.")] = None,
    sampler: Annotated[str | None, typer.Option(help="experience or optuna:NAME.")] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Start from nothing: --prior none.")] = False,
    store: Annotated[str | None, typer.Option(help="URL of the experience store.  [default: XAUTOLM_STORE]")] = None,
    no_starter: Annotated[
        bool, typer.Option("--no-starter", help="Leave out experiences that ship with the package.")
    ] = False,
    exclude_dataset: Annotated[list[str] | None, typer.Option(help="Leave out experiences of this data set.")] = None,
    backend: Annotated[str | None, typer.Option(help="local.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of splits, search and trials.")] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Train the chosen pipeline once more on train + validation.")
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
        "column": _roles(column),
        "budget": budget,
        "trial_timeout": trial_timeout,
        "memory": memory,
        "max_disk": max_disk,
        "device": device,
        "threads": threads,
        "workers": workers,
        "objectives": _listed(objectives),
        "models": _listed(models),
        "exclude_models": _listed(exclude_models),
        "methods": _listed(methods),
        "prior": "none" if cold else prior,
        "sampler": sampler,
        "store": store,
        "starter": False if no_starter else None,
        "exclude_dataset": exclude_dataset or None,
        "backend": backend,
        "seed": seed,
        "refit": refit or None,
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


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Show what a run found, and write its report.html anew."""
    from xautolm.report.folder import read_run
    from xautolm.report.html import write_html
    from xautolm.report.summary import summarise

    summary = summarise(read_run(folder))
    write_html(summary)
    _print_run(folder, as_json)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Exported model folder, or its run folder.")],
    data: Annotated[Path, typer.Argument(help="File with the text columns of the training data.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: csv, tsv, jsonl, parquet.")],
    device: Annotated[str, typer.Option(help="cpu or cuda:N.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Label every row of a file: adds `prediction` and one `prob_<label>` per label."""
    from xautolm.export import predict_file
    from xautolm.metafeatures.machine import usable_cores

    n_rows = predict_file(model, data, output, device=device, n_threads=usable_cores())
    if as_json:
        print(json.dumps({"n_rows": n_rows, "output": str(output)}))
    else:
        print(f"{n_rows} rows labelled in {output}")


def _roles(values: list[str] | None) -> dict[str, str] | None:
    if not values:
        return None
    wrong = [value for value in values if "=" not in value]
    if wrong:
        raise UsageError(f"expected `--column ROLE=NAME`, got {wrong[0]!r}")
    return dict(value.split("=", 1) for value in values)


def _listed(value: str | None) -> tuple[str, ...] | None:
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
        _print_run(Path(found.folder), as_json)
        if stop.is_requested():
            raise typer.Exit(EXIT_INTERRUPTED)


def _print_run(folder: Path, as_json: bool) -> None:
    from xautolm.report.folder import read_run
    from xautolm.report.summary import summarise
    from xautolm.report.text import print_summary

    found = read_run(folder)
    if as_json:
        print(json.dumps({**found.run, "folder": str(folder)}))
    else:
        print_summary(summarise(found), Console())


def main() -> None:
    """Entry point of the `xautolm` command."""
    try:
        sys.exit(app(standalone_mode=False))  # what `typer.Exit` carried, else None
    except XAutoLMError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except _WrongUsage as error:
        error.show()
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
