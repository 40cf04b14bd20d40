"""`store ...`: look into the experience store, fill it, copy it, check it, prune it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xautolm.cli.app import Json, app
from xautolm.errors import UsageError

if TYPE_CHECKING:
    from xautolm.experience.importers import Rejected
    from xautolm.experience.store import ExperienceStore

store = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look into the experience store, fill, copy, check and prune it.",
)
app.add_typer(store, name="store")

Url = Annotated[str | None, typer.Option("--store", help="URL of the experience store.  [default: XAUTOLM_STORE]")]
Rejects = Annotated[
    Path | None, typer.Option(help="Leave out rows that are not valid, and write them with reasons to this file.")
]


@store.command()
def info(url: Url = None, as_json: Json = False) -> None:
    """Say what the store holds, in numbers, and what comes with the package beside it."""
    from xautolm.experience.overview import overview
    from xautolm.experience.starter import describe
    from xautolm.report.store_text import overview_text, starter_text

    with _open(url) as opened:
        found = overview(opened)
    starter = describe()
    text = "\n".join([overview_text(found), starter_text(starter)])
    _print({**asdict(found), "starter": [asdict(part) for part in starter]}, text, as_json)


@store.command("list")
def list_(url: Url = None, as_json: Json = False) -> None:
    """List the data sets of which there are experiences."""
    from xautolm.experience.overview import datasets
    from xautolm.report.store_text import datasets_text

    with _open(url) as opened:
        lines = datasets(opened)
    _print([asdict(line) for line in lines], datasets_text(lines), as_json)


@store.command()
def show(
    what: Annotated[str, typer.Argument(help="Name of a data set, or number of an experience.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show a data set with its machines and best experiences, or one experience."""
    with _open(url) as opened:
        if any(group.dataset_id == what for group in opened.groups()):
            _show_dataset(opened, what, as_json)
        else:
            _show_experience(opened, what, as_json)


@store.command()
def add(folder: Annotated[Path, typer.Argument(help="Run folder.")], url: Url = None, as_json: Json = False) -> None:
    """Add the trials of a run folder that the store does not have yet."""
    from xautolm.experience.from_run import experiences_of_run

    experiences = experiences_of_run(folder)
    with _open(url, create=True) as opened:
        n_new = opened.add(experiences)
    _print_taken(len(experiences), n_new, (), f"run folder {folder}", as_json)


@store.command()
def merge(
    source: Annotated[str, typer.Argument(metavar="URL", help="The store to copy from: sqlite:/// or postgresql://.")],
    rejects: Rejects = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Copy what another store has and this one lacks."""
    from xautolm.experience import transfer
    from xautolm.experience.store import ExperienceStore

    with ExperienceStore(source, create=False) as other:
        if rejects is not None:
            transfer.write_report(rejects, ())
        with _open(url, create=True) as opened:
            taken = transfer.merge(opened, other, allow_rejects=rejects is not None)
        if rejects is not None:
            transfer.write_report(rejects, taken.rejected)
        _print_taken(taken.n_read, taken.n_new, taken.rejected, other.display_url, as_json)


@store.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="New file: .jsonl, .jsonl.gz or .parquet.")],
    kind: Annotated[str | None, typer.Option(help="Only experiences of this task kind.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Write all experiences to a file, from which `import` restores them without a loss."""
    from xautolm.experience.transfer import export

    with _open(url) as opened:
        n = export(opened, file, kind)
    _print({"n_written": n, "file": str(file)}, f"{n:,} experiences written to {file}", as_json)


@store.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="FILE", help="File, run folder, or URL of an Optuna storage.")],
    form: Annotated[
        str | None, typer.Option("--from", help="jsonl, parquet, paper, optuna or hf.  [default: by the file's name]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Optuna: the study. hf: name of the data set.")] = None,
    rejects: Rejects = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Add experiences from a file of `export` or from elsewhere: all that is valid, or nothing."""
    from xautolm.experience import transfer

    if rejects is not None:
        transfer.write_report(rejects, ())  # a place that cannot be written to is noticed before anything is added
    if form in (None, *transfer.FORMS):
        if name is not None:
            raise UsageError(f"`--name` is for `--from optuna` and `--from hf`; leave {name!r} out")
        rows = transfer.read(Path(source), form)
        with _open(url, create=True) as opened:
            taken = transfer.take_in(opened, rows, allow_rejects=rejects is not None)
    else:
        from xautolm.experience import importers

        imported = importers.read(source, form, name=name)
        if imported.rejected and rejects is None:
            raise transfer.refusal(imported.rejected)
        with _open(url, create=True) as opened:
            n_new = opened.add(imported.experiences)
        taken = transfer.Taken(len(imported.experiences), n_new, imported.rejected)
    if rejects is not None:
        transfer.write_report(rejects, taken.rejected)
    _print_taken(taken.n_read, taken.n_new, taken.rejected, source, as_json)


@store.command()
def prune(
    older_than: Annotated[str | None, typer.Option(help="Age such as 90d, or a day such as 2026-01-31.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Of this data set; may be given again.")] = None,
    source: Annotated[str | None, typer.Option(help="machine, import or starter.")] = None,
    keep: Annotated[int, typer.Option(help="Keep so many of each task and machine, the last added ones.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Remove experiences for which all conditions hold. Nothing else ever removes any."""
    from xautolm.experience.pruning import Rule
    from xautolm.experience.pruning import prune as pruned
    from xautolm.report.store_text import counts

    rule = Rule(_moment(older_than) if older_than else None, tuple(dataset or ()), source, keep)
    with _open(url) as opened:
        removed = pruned(opened, rule, is_rehearsal=dry_run)
    n = sum(removed.values())
    text = f"{n:,} experiences {'would be' if dry_run else 'were'} removed{': ' if n else ''}{counts(removed)}"
    _print({"n_removed": n, "datasets": removed, "is_dry_run": dry_run}, text, as_json)


@store.command()
def audit(
    kind: Annotated[str, typer.Option(help="Task kind.")] = "text-classification",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Leave each task out in turn and say how much the prior of the others would have helped or hurt."""
    from xautolm.prior.audit import audit as audited
    from xautolm.prior.audit import audit_summary
    from xautolm.report.store_text import audit_text

    with _open(url) as opened:
        lines = audited(opened, kind)
    summary = audit_summary(lines)
    _print({"tasks": [line.to_dict() for line in lines], **summary}, audit_text(lines, summary), as_json)


@store.command()
def check(url: Url = None, as_json: Json = False) -> None:
    """Read everything again and compare it with its content hashes; exit code 1 when something is damaged."""
    from xautolm.experience.integrity import check as checked
    from xautolm.report.wording import clean

    with _open(url) as opened:
        n, problems = opened.count(), list(checked(opened))
    found = "".join(f"\n{problem.where}: {clean(problem.what)}" for problem in problems)
    text = f"{n:,} experiences checked, {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}{found}"
    _print({"n_checked": n, "problems": [asdict(problem) for problem in problems]}, text, as_json)
    if problems:
        raise typer.Exit(1)


def _open(url: str | None, *, create: bool = False) -> ExperienceStore:
    from xautolm.experience.store import ExperienceStore, default_store_url

    return ExperienceStore(url or default_store_url(os.environ), create=create)


def _print(document: Mapping[str, Any] | Sequence[Any], text: str, as_json: bool) -> None:
    print(json.dumps(document, allow_nan=False) if as_json else text)


def _print_taken(n_read: int, n_new: int, rejected: Sequence[Rejected], source: str, as_json: bool) -> None:
    document = {"n_read": n_read, "n_new": n_new, "n_rejected": len(rejected), "source": source}
    left_out = f", {len(rejected):,} rows left out" if rejected else ""
    text = f"{n_new:,} of {n_read:,} experiences were new{left_out}"
    _print({**document, "rejected": [asdict(row) for row in rejected]}, text, as_json)


def _show_dataset(opened: ExperienceStore, dataset_id: str, as_json: bool) -> None:
    from xautolm.experience.overview import best_of, count_statuses
    from xautolm.report.store_text import dataset_text

    groups = [group for group in opened.groups() if group.dataset_id == dataset_id]
    statuses, best = count_statuses(opened, dataset_id), best_of(opened, dataset_id)
    document = {
        "dataset_id": dataset_id,
        "statuses": statuses,
        "best": best,
        "groups": [asdict(group) for group in groups],
    }
    _print(document, dataset_text(dataset_id, groups, statuses, best), as_json)


def _show_experience(opened: ExperienceStore, what: str, as_json: bool) -> None:
    from xautolm.experience.interchange import experience_fields
    from xautolm.report.store_text import experience_text

    number = int(what) if what.isdecimal() and len(what) < 19 else None
    experience = None if number is None else opened.get(number)
    if number is None or experience is None:
        raise UsageError(
            f"expected a data set or the number of an experience in `{opened.display_url}`, got {what!r}; "
            "`xautolm store list` names the data sets"
        )
    facts = {"dataset_id": experience.dataset_id, "kind": experience.kind, "profile": asdict(experience.profile)}
    document = {"experience_id": number, **facts, **experience_fields(experience)}
    _print(document, experience_text(number, experience), as_json)


def _moment(text: str) -> datetime:
    """A day, or as long ago as a duration says."""
    from xautolm.quantities import parse_duration

    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text, "older-than"))
    return day if day.tzinfo else day.replace(tzinfo=UTC)
