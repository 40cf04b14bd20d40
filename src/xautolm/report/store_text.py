"""What `xautolm store` prints: plain text, with nothing in it that a terminal would obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xautolm.experience.groups import ExperienceGroup
from xautolm.experience.overview import DatasetLine, Overview
from xautolm.experience.starter import PartFacts
from xautolm.prior.audit import Audit
from xautolm.records import Experience
from xautolm.report.wording import clean, plural, score, signed

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: Names that a line of counts holds.
_N_NAMES = 8


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, n_left: int = 1) -> str:
    """Columns of text; the first `n_left` are aligned left, figures right.

    >>> print(table(("name", "n"), [("a", 10), ("bc", 9)]))
    name   n
    a     10
    bc     9
    """
    lines = [tuple(clean(cell, 60) for cell in row) for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    aligned = (
        "  ".join(c.ljust(w) if i < n_left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in aligned)


def size_in_words(n_bytes: float) -> str:
    """A size on the disk.

    >>> size_in_words(1536)
    '1.5 KiB'
    """
    power = 0
    while n_bytes >= 1024 and power < len(_UNITS) - 1:
        n_bytes, power = n_bytes / 1024, power + 1
    return f"{n_bytes:,.1f} {_UNITS[power]}" if power else f"{n_bytes:,.0f} bytes"


def overview_text(found: Overview) -> str:
    """A store in a few lines."""
    made = "" if found.oldest is None else f", made {_day(found.oldest)} to {_day(found.newest)}"
    machines = {name or "(name not kept)": n for name, n in found.machines.items()}
    n_tasks = f"{plural(found.n_tasks, 'task')} of {plural(found.n_datasets, 'data set')}"
    lines = [
        ("Store", f"{found.url} ({size_in_words(found.size_bytes)}, schema {found.schema})"),
        ("Holds", f"{plural(found.n_experiences, 'experience')} on {n_tasks}{made}"),
        ("Kinds", counts(found.kinds)),
        ("Status", counts(found.statuses)),
        ("Sources", counts(found.sources)),
        ("Models", counts(found.models)),
        ("Machines", counts(machines)),
    ]
    return "\n".join(f"{name:<9} {clean(text, 1000)}" for name, text in lines if text)


def starter_text(parts: Sequence[PartFacts]) -> str:
    """What comes with the package, a line per part."""
    lines = (f"{plural(part.n_experiences, 'experience')} on {counts(part.datasets)}" for part in parts)
    first, *others = (f"{part.part}: {line}" for part, line in zip(parts, lines, strict=True))
    return "\n".join([f"Package   {first}", *(f"{'':<9} {line}" for line in others)])


def counts(values: Mapping[str, int]) -> str:
    """Names with their numbers, the first few.

    >>> counts({"ok": 1200, "oom": 3})
    'ok 1,200, oom 3'
    """
    shown = [f"{clean(name, 60)} {n:,}" for name, n in list(values.items())[:_N_NAMES]]
    rest = len(values) - len(shown)
    return ", ".join([*shown, *([f"{rest} more"] if rest else [])])


def datasets_text(lines: Sequence[DatasetLine]) -> str:
    """One line per data set."""
    if not lines:
        return "The store is empty."
    head = ("data set", "kind", "experiences", "ok", "best F1", "machines", "newest")
    rows = [
        (
            line.dataset_id,
            line.kind,
            f"{line.n_experiences:,}",
            f"{line.n_ok:,}",
            "-" if line.best_f1 is None else score(line.best_f1),
            line.n_machines,
            _day(line.newest),
        )
        for line in lines
    ]
    return table(head, rows, n_left=2)


def dataset_text(
    dataset_id: str,
    groups: Sequence[ExperienceGroup],
    statuses: Mapping[str, int],
    best: Sequence[Mapping[str, object]],
) -> str:
    """What there is about one data set."""
    first = groups[0]
    blocks = [
        f"{clean(dataset_id)} ({clean(first.kind)}): {counts(statuses)}",
        f"Profile ({clean(first.profile.schema)}): {_features(first.profile.task)}",
        *(
            f"Machine {clean(group.profile.system_name or '(name not kept)')}: "
            f"{plural(group.n_experiences, 'experience')}, {group.n_ok:,} ok; {_features(group.profile.system)}"
            for group in groups
        ),
    ]
    if best:
        head = ("id", "model", "method", "F1", "time")
        rows = [
            (b["experience_id"], b["model"], b["method"], score(_float(b["f1"])), f"{_float(b['time_s']):,.1f} s")
            for b in best
        ]
        blocks.append("Best experiences\n" + table(head, rows, n_left=3))
    return "\n".join(blocks)


def experience_text(number: int, experience: Experience) -> str:
    """One experience, a line per fact."""
    result = experience.result
    facts: list[tuple[str, object]] = [
        ("Experience", f"{number}: trial {result.trial_id} of run {experience.run_id}, {result.status}"),
        ("Data set", f"{experience.dataset_id} ({experience.kind})"),
        ("Machine", experience.profile.system_name or "(name not kept)"),
        ("Pipeline", " ".join(f"{name}={value}" for name, value in result.pipeline.to_dict().items())),
        ("Scores", _features(result.scores) or "none"),
        ("Cost", _features({n: v for n in result.cost.__slots__ if (v := getattr(result.cost, n)) is not None})),
        ("Curve", f"{plural(len(result.curve), 'point')}" if result.curve else "none"),
        ("Source", f"{experience.source}, {experience.created_at}"),
        ("Versions", " ".join(f"{name} {value}" for name, value in experience.versions.items())),
    ]
    if result.error:
        facts.insert(5, ("Error", f"{result.error.kind}: {result.error.message}"))
    return "\n".join(f"{name:<10} {clean(text, 1000)}" for name, text in facts)


def audit_text(lines: Sequence[Audit], summary: Mapping[str, object]) -> str:
    """Per task whether the prior of the others would have helped, and how often in all."""
    if not lines:
        return "The store holds no experiences of this kind."
    head = ("data set", "verdict", "gain", "95 % interval", "experiences", "learned from", "nearest")
    rows = [
        (
            line.dataset_id,
            line.verdict,
            signed(line.gain),
            f"{signed(line.low)} to {signed(line.high)}",
            f"{line.n:,}",
            f"{line.n_learned:,}",
            line.nearest or "-",
        )
        for line in lines
    ]
    found = ", ".join(f"{name} {summary[name]}" for name in ("helped", "hurt", "neutral", "alone"))
    note = "Gain: utility (half F1, half time) of the fifth of the tried pipelines that the prior likes best, less all."
    return f"{table(head, rows, n_left=2)}\n{plural(len(lines), 'task')}: {found}\n{note}"


def _features(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _day(time: str | None) -> str:
    return (time or "-")[:10]


def _float(value: object) -> float:
    assert isinstance(value, int | float)  # noqa: S101 - a column of numbers
    return float(value)
