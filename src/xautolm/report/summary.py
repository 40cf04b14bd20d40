"""The facts of a run, computed once and rendered as text and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xautolm.pareto import satisfies
from xautolm.records import RunReport, TrialResult
from xautolm.report.baselines import BaselineFacts, baseline_facts
from xautolm.report.folder import constraints_of, quality_objective, read_extra, read_run
from xautolm.report.prior_facts import PriorFacts, from_run
from xautolm.report.recommend import Recommendation, recommend
from xautolm.report.rows import TrialRow, best_so_far, finite, trial_rows
from xautolm.report.wording import clean, duration, energy, metric_name, number, plural
from xautolm.report.worst import WorstRow, read_worst

__all__ = ["Summary", "read_run", "summarise"]

#: Distinct error messages shown per status.
N_EXAMPLES = 3

#: What to do about each kind of failure.
ADVICE: Mapping[str, str] = {
    "oom": "out of memory: raise `--memory`, or leave large models out with `--exclude-models`",
    "timeout": "out of time: raise `--trial-timeout` or `--budget`",
    "diverged": "training diverged: the learning rate was too high",
    "crashed": "the worker crashed: the traceback is in `trials/<id>.log`",
    "unavailable": "a model could not be loaded: check `--models` and the network",
    "invalid": "the settings could not be run: the reason is in `trials/<id>.log`",
}


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """How many trials ended with one status, what they cost, and what they said.

    Attributes:
        spent_s: seconds charged to the budget.
        examples: distinct messages, most frequent first, each with the trial that said it first.
    """

    status: str
    n_trials: int
    spent_s: float
    examples: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of the data; every part may be empty.

    Attributes:
        rows: split -> rows.
        labels: (label, rows) with the most frequent first.
        length_tokens: percentile -> tokens.
        profile: meta-feature -> value as text.
    """

    dataset_id: str
    rows: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    length_tokens: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]
    profile: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a renderer shows.

    Attributes:
        status_sentence: how the run ended, in words.
        metric: readable name of the quality metric.
        metric_key: its key in `scores`.
        test: metric name -> test score, quality metric first; empty without a test score.
        worst: the test rows that the exported model answered worst.
        front: the non-dominated trials and baselines, cheapest first.
        baselines: what the recommended pipeline is held against.
        anytime: (elapsed seconds, best score so far, trial id) at each improvement.
        spent: per status, `ok` first, then by number of trials.
        models: names of the models in the space.
        dropped: (what, reason) of what was removed from the space.
        has_model: whether the folder holds an exported model.
    """

    folder: str
    run_id: str
    task: str
    status: str
    status_sentence: str
    metric: str
    metric_key: str
    maximize: bool
    elapsed_s: float | None
    trials: tuple[TrialRow, ...]
    front: tuple[TrialRow, ...]
    baselines: tuple[BaselineFacts, ...]
    best: Recommendation | None
    test: tuple[tuple[str, float], ...]
    worst: tuple[WorstRow, ...]
    anytime: tuple[tuple[float, float, int], ...]
    spent: tuple[StatusFacts, ...]
    models: tuple[str, ...]
    methods: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    prior: PriorFacts
    data: DataFacts
    notes: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    machine: tuple[tuple[str, str], ...]
    seed: str
    has_model: bool

    @property
    def failures(self) -> tuple[StatusFacts, ...]:
        return tuple(facts for facts in self.spent if facts.advice)

    @property
    def n_failed(self) -> int:
        return sum(facts.n_trials for facts in self.failures)


def summarise(report: RunReport) -> Summary:
    """Compute the facts; reads the optional `space.json`, `prior.json` and `data.json` of the run folder."""
    run = report.run
    objective, kind = quality_objective(run), str(run.get("task", "text-classification"))
    maximize = objective.direction == "maximize"
    everything = trial_rows(report, objective.name)
    by_id = {row.trial_id: row for row in everything}
    rows = tuple(row for row in everything if not row.is_baseline)
    best = next((row for row in rows if row.is_best), None)
    baselines = baseline_facts(run.get("baselines"), everything, best, sign=1.0 if maximize else -1.0, kind=kind)
    extras = {name: read_extra(report.folder, f"{name}.json") for name in ("space", "prior", "data", "test_worst")}
    space, data = extras["space"][0], _data(extras["data"][0], run)
    n_train = dict(data.rows).get("train")
    spent = _spent(rows)
    return Summary(
        folder=report.folder,
        run_id=clean(run["run_id"], 120),
        task=clean(run.get("task", ""), 60),
        status=clean(run["status"], 20),
        status_sentence=_status_sentence(run, spent, len(everything) - len(rows)),
        metric=metric_name(objective.name, kind),
        metric_key=objective.name,
        maximize=maximize,
        elapsed_s=_elapsed(run),
        trials=rows,
        front=tuple(by_id[i] for i in report.front if i in by_id),
        baselines=baselines,
        best=recommend(rows, run, baselines=baselines, metric=objective.name, maximize=maximize, n_train=n_train),
        test=_test(run.get("test"), objective.name, kind),
        worst=read_worst(extras["test_worst"][0]),
        anytime=best_so_far(rows, maximize=maximize),
        spent=spent,
        models=_names(space.get("models"), "name"),
        methods=_names(space.get("methods"), "method"),
        dropped=_dropped(space.get("dropped")),
        prior=from_run(_mapping(run.get("prior")), extras["prior"][0], space),
        data=data,
        notes=(
            *_bounds_note(run, report.trials),
            *_energy_note(run),
            *_notes(run, rows, [note for _, note in extras.values() if note]),
        ),
        versions=_pairs(run.get("versions")),
        machine=_pairs(run.get("machine")),
        seed=clean(run.get("seed", ""), 20),
        has_model=(Path(report.folder) / "model" / "config.json").is_file(),
    )


def _spent(rows: Sequence[TrialRow]) -> tuple[StatusFacts, ...]:
    statuses = {row.status for row in rows}
    facts = []
    for status in statuses:
        group = [row for row in rows if row.status == status]
        messages: dict[str, list[int]] = {}
        for row in group:
            if row.error:
                messages.setdefault(row.error, []).append(row.trial_id)
        frequent = sorted(messages.items(), key=lambda item: -len(item[1]))[:N_EXAMPLES]
        examples = tuple(
            f"trial {ids[0]}: {text}" + (f" ({len(ids)} trials)" if len(ids) > 1 else "") for text, ids in frequent
        )
        spent_s = sum(row.spent_s for row in group)
        facts.append(StatusFacts(status, len(group), spent_s, examples, ADVICE.get(status, "")))
    return tuple(sorted(facts, key=lambda f: (f.status != "ok", -f.n_trials, f.status)))


def _status_sentence(run: Mapping[str, Any], spent: Sequence[StatusFacts], n_baselines: int) -> str:
    counted = [f for f in spent if f.status != "interrupted"]
    n_ok = sum(f.n_trials for f in counted if f.status == "ok")
    n_failed = sum(f.n_trials for f in counted if f.advice)
    n_stopped = sum(f.n_trials for f in counted if f.status == "stopped")
    ways = {
        "complete": "The run is complete",
        "interrupted": "The run was interrupted; everything finished until then is kept",
        "failed": "The run failed",
        "running": "The run has not ended yet (or was killed); `xautolm resume` continues it",
    }
    sentence = ways.get(str(run["status"]), f"The run ended with status {clean(run['status'], 20)}")
    counts = [f"{n_ok} ok", *([f"{n_stopped} stopped early"] if n_stopped else []), f"{n_failed} failed"]
    total = plural(sum(f.n_trials for f in counted), "trial")
    beside = f" beside {plural(n_baselines, 'baseline')}" if n_baselines else ""
    elapsed = _elapsed(run)
    budget_s = finite(_mapping(run.get("budget")).get("wall_s"))
    of_budget = f" of a budget of {duration(budget_s)}" if budget_s else ""
    return f"{sentence}: {total} ({', '.join(counts)}){beside}" + (
        f" in {duration(elapsed)}{of_budget}." if elapsed else "."
    )


def _elapsed(run: Mapping[str, Any]) -> float | None:
    return finite(run.get("elapsed_s")) or finite(run.get("wall_s"))


def _test(test: Any, metric: str, kind: str) -> tuple[tuple[str, float], ...]:
    values = {str(key): finite(value) for key, value in _mapping(test).items()}
    keys = sorted((key for key in values if values[key] is not None), key=lambda key: (key != metric, key))
    return tuple((metric_name(key, kind), values[key] or 0.0) for key in keys)


def _data(data: Mapping[str, Any], run: Mapping[str, Any]) -> DataFacts:
    labels = sorted(_counts(data.get("labels")), key=lambda item: -item[1])
    profile = _mapping(data.get("profile"))
    features = {**_mapping(profile.get("task")), **_mapping(profile.get("system"))} or profile
    return DataFacts(
        dataset_id=clean(data.get("dataset_id") or run.get("dataset_id") or "", 120),
        rows=_counts(data.get("rows")),
        labels=tuple(labels),
        length_tokens=_counts(data.get("length_tokens")),
        warnings=_sentences(data.get("warnings")),
        profile=tuple((clean(name, 60), _value(value)) for name, value in features.items()),
    )


def _notes(run: Mapping[str, Any], rows: Sequence[TrialRow], damage: Sequence[str]) -> tuple[str, ...]:
    loads = {(row.n_threads, row.n_parallel) for row in rows if row.is_front}
    uneven = (
        "The trials on the front ran with different numbers of threads or parallel trials; compare their "
        "times with care."
    )
    return (*_sentences(run.get("notes")), *damage, *([uneven] if len(loads) > 1 else []))


def _bounds_note(run: Mapping[str, Any], trials: Sequence[TrialResult]) -> tuple[str, ...]:
    """How many trials kept the constraints of the run; a warning when none did."""
    constraints = constraints_of(run)
    if not constraints:
        return ()
    bounds = " and ".join(f"{c.name} {'>=' if c.is_minimum else '<='} {c.bound:g}" for c in constraints)
    valid = [trial for trial in trials if trial.is_ok]
    n_kept = sum(satisfies(trial, constraints) for trial in valid)
    if n_kept == 0:
        return (f"No trial keeps the constraint {bounds}: front and recommendation disregard it.",)
    return (f"Constraint {bounds}: {n_kept} of {plural(len(valid), 'scored trial')} keep it; only they are compared.",)


def _energy_note(run: Mapping[str, Any]) -> tuple[str, ...]:
    """What the run used, by which counters; an estimate is named as one."""
    measured, estimated = finite(run.get("energy_wh")), finite(run.get("energy_wh_estimate"))
    if measured is not None:
        return (f"The machine used {energy(measured)} during the run ({clean(run.get('energy_source', ''), 20)}).",)
    if estimated is not None:
        return (
            f"The machine used about {energy(estimated)} during the run. No counter can be read here: this and the "
            "energies of the trials are estimates by CodeCarbon's model of the machine, no measurements.",
        )
    return ()


def _dropped(entries: Any) -> tuple[tuple[str, str], ...]:
    listed = entries if isinstance(entries, list) else []
    return tuple((clean(e.get("what", ""), 160), clean(e.get("reason", ""))) for e in listed if isinstance(e, Mapping))


def _names(entries: Any, key: str) -> tuple[str, ...]:
    """What each entry of a list in `space.json` calls itself."""
    listed = entries if isinstance(entries, list) else []
    return tuple(clean(entry[key], 120) for entry in listed if isinstance(entry, Mapping) and key in entry)


def _counts(value: Any) -> tuple[tuple[str, int], ...]:
    items = ((clean(key, 80), finite(count)) for key, count in _mapping(value).items())
    return tuple((key, round(count)) for key, count in items if count is not None)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    return tuple((clean(key, 60), _value(item)) for key, item in _mapping(value).items())


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else clean(value)


def _sentences(value: Any) -> tuple[str, ...]:
    return tuple(clean(item, 500) for item in value) if isinstance(value, list | tuple) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
