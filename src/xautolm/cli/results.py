"""`report`, `study`, `replay` and `predict`: what a run left."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xautolm.cli.app import Json, app


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Show what a run found, and write its report.html anew."""
    from xautolm.report.folder import read_run
    from xautolm.report.html import write_html
    from xautolm.report.summary import summarise

    summary = summarise(read_run(folder))
    write_html(summary)
    print_run(folder, as_json)


@app.command()
def study(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    storage: Annotated[str, typer.Option(help="Optuna storage: sqlite:///PATH, postgresql://..., or a file.")],
    name: Annotated[str | None, typer.Option(help="Name of the new study.  [default: that of the run folder]")] = None,
    as_json: Json = False,
) -> None:
    """Write a run as an Optuna study, for optuna-dashboard and optuna.visualization."""
    from xautolm.experience.location import display_url
    from xautolm.report.study import export_study

    written = export_study(folder, storage, name)
    states = Counter(trial.state.name.lower() for trial in written.get_trials(deepcopy=False))
    counts = {f"n_{state}": states[state] for state in ("complete", "pruned", "fail")}
    url = display_url(storage if "://" in storage else f"sqlite:///{storage}")
    if as_json:
        print(json.dumps({"study": written.study_name, "storage": url, "n_trials": states.total(), **counts}))
    else:
        print(
            f"study {written.study_name!r} in {url}: {states.total()} trials, {states['complete']} complete, "
            f"{states['pruned']} stopped, {states['fail']} failed\nopen it with: optuna-dashboard {url}"
        )


@app.command()
def replay(folder: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Propose every trial of a run again, without evaluating it, and tell which proposals are not the recorded ones."""
    from xautolm.replaying import replay_run

    found = replay_run(folder)
    if as_json:
        differences = [
            {"trial_id": d.trial_id, "recorded": d.recorded.to_dict(), "proposed": d.proposed.to_dict()}
            for d in found.differences
        ]
        print(json.dumps({"n_trials": found.n_trials, "differences": differences, "versions": dict(found.versions)}))
    else:
        print("\n".join(found.lines))
    if found.differences:
        raise typer.Exit(1)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Exported model folder, or its run folder.")],
    data: Annotated[Path, typer.Argument(help="File with the text columns of the training data.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: csv, tsv, jsonl, parquet.")],
    device: Annotated[str, typer.Option(help="cpu or cuda:N.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Label every row of a file: adds `prediction` and one `prob_<label>` per label."""
    from xautolm.metafeatures.machine import usable_cores
    from xautolm.prediction import predict_file

    n_rows = predict_file(model, data, output, device=device, n_threads=usable_cores())
    if as_json:
        print(json.dumps({"n_rows": n_rows, "output": str(output)}))
    else:
        print(f"{n_rows} rows labelled in {output}")


def print_run(folder: Path, as_json: bool) -> None:
    """Print what a run found, as text or as its `run.json`."""
    from xautolm.report.folder import read_run
    from xautolm.report.summary import summarise
    from xautolm.report.text import print_summary

    found = read_run(folder)
    if as_json:
        print(json.dumps({**found.run, "folder": str(folder)}))
    else:
        print_summary(summarise(found), Console())
