"""What `xautolm models` prints: models in columns that fit a terminal of 80 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from xautolm.report.wording import clean, duration, memory, plural
from xautolm.space.fits import Bench, Candidate, Fit, Shortlist
from xautolm.space.inventory import Offer, unknown_size

#: The narrowest output.
NARROWEST = 72
_FAMILIES: Mapping[str | None, str] = {
    "encoder": "Encoders",
    "decoder": "Decoders",
    "encoder-decoder": "Encoder-decoders",
    None: "Models of unknown family",
}
_SHORT_FAMILIES: Mapping[str | None, str] = {"encoder-decoder": "enc-dec", None: "?"}
_GAP = "  "
#: Width of one verdict: time, mark, memory.
_CELL = 10


def models_text(offered: Sequence[Offer], width: int = 80) -> str:
    """What can be named: first what is on this machine, then the hub's models by family.

    Names are never cut off, so that they can be copied; licences give way.

    Args:
        offered: from `space.inventory.offers`.
        width: of the terminal, in characters.
    """
    width = max(width, NARROWEST)
    usable = [offer for offer in offered if not offer.problem]
    here = [offer for offer in usable if offer.place]
    blocks = []
    if here:
        blocks.append(_section("On this machine", here, width, with_place=True))
    for family, heading in _FAMILIES.items():
        others = [offer for offer in usable if not offer.place and offer.figures.family == family]
        if others:
            blocks.append(_section(f"{heading} on the hub", others, width))
    blocks += [_unknown(offered, width), _problems(offered, width), _legend(offered, width)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def shortlist_text(found: Shortlist, width: int = 80) -> str:
    """Which models fit a task and this machine, with estimates.

    Args:
        found: from `shortlist.shortlist`.
        width: of the terminal, in characters.
    """
    width = max(width, NARROWEST)
    fitting = [candidate for candidate in found.candidates if candidate.is_fitting]
    judged = [candidate.offer for candidate in found.candidates]
    blocks = [
        "\n".join(_labelled(line[:10], line[10:], width) for line in (*found.data, *_circumstances(found))),
        _fitting(found, fitting, width),
        _too_large([c for c in found.candidates if c.closest and not c.is_fitting], width),
        _refused(found, width),
        _unknown(judged, width),
        _problems(judged, width),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def count_in_words(count: int | None) -> str:
    """A number of parameters, short.

    >>> [count_in_words(n) for n in (22_713_216, 1_235_814_400, 69_503_033_344, 4_300, None)]
    ['22.7M', '1.24B', '69.5B', '4.3k', '?']
    >>> count_in_words(999_885_952)
    '1B'
    """
    if count is None:
        return "?"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def brief(fit: Fit) -> str:
    """Time and memory of what fits, in ten characters at most.

    >>> from xautolm.records import Pipeline
    >>> brief(Fit("full", "", Pipeline("m", "full"), True, 137.0, 2754.0)), brief(Fit("full", "too slow"))
    ('2.3m* 2.7G', '-')
    """
    if not fit.fits or fit.time_s is None or fit.memory_mib is None:
        return "-" if fit.is_able else ""
    seconds, gib = fit.time_s, fit.memory_mib / 1024
    units = ((3600.0, "h"), (60.0, "m"), (1.0, "s"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= size), (1.0, "s"))
    number = seconds / size
    digits = 1 if number < 9.95 and unit != "s" else 0
    room = f"{gib:.1f}G" if gib < 9.95 else f"{gib:.0f}G"
    return f"{number:.{digits}f}{unit}{'*' if fit.is_reduced else ''} {room}"


def _section(heading: str, offered: Sequence[Offer], width: int, *, with_place: bool = False) -> str:
    """A heading, and one line per model."""
    head = ("model", *(("where", "family") if with_place else ()), "params", "context", "langs", "licence")
    rows = [head, *(_row(offer, with_place=with_place) for offer in offered)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    room = max(6, width - sum(widths) - len(_GAP) * len(widths))
    right = {len(head) - 4, len(head) - 3}
    lines = [f"{heading}: {plural(len(offered), 'model')}"]
    for row in rows:
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=False))]
        lines.append(_GAP.join([*cells, clean(row[-1], room)]).rstrip())
    return "\n".join(lines)


def _row(offer: Offer, *, with_place: bool) -> tuple[str, ...]:
    figures = offer.figures
    family = _SHORT_FAMILIES.get(figures.family, str(figures.family))
    return (
        clean(offer.name, 100),
        *((str(offer.place), family) if with_place else ()),
        count_in_words(figures.n_params),
        "?" if figures.context is None else str(figures.context),
        _languages(figures.languages),
        ("*" if figures.gated else "") + (figures.licence or "?"),
    )


def _languages(languages: Sequence[str]) -> str:
    """Languages in seven characters at most: `many` = about a hundred."""
    if "multilingual" in languages:
        return "many"
    return " ".join(languages) or "?" if len(languages) < 3 else str(len(languages))


def _legend(offered: Iterable[Offer], width: int) -> str:
    marks = "* = asks to accept its terms on the hub first. " if any(offer.figures.gated for offer in offered) else ""
    return _wrap(
        f"{marks}? = nobody stated it. Figures and where each is from: `--json`. Which of them fit a data set and this "
        "machine: `xautolm models DATA`.",
        width,
    )


def _circumstances(found: Shortlist) -> list[str]:
    lines = [f"{'Machine':<10}{clean(found.machine)}"]
    for bench in found.benches:
        models = f"of models up to {count_in_words(bench.largest)} parameters: " if len(found.benches) > 1 else ""
        lines.append(f"{'Trials':<10}{models}{_bench(bench)}")
    return lines


def _bench(bench: Bench) -> str:
    at_once = f"{bench.n_at_once} at once" if bench.n_at_once > 1 else "one at a time"
    limits = f"up to {duration(bench.limits.time_s)} and {memory(bench.limits.memory_mib)} each"
    speed = "measured speed" if bench.speed.source == "measured" else "speed of a usual machine, not of this one"
    return f"{at_once} on {bench.device} with {plural(bench.n_threads, 'thread')}, {limits}; {speed}"


def _fitting(found: Shortlist, fitting: Sequence[Candidate], width: int) -> str:
    if not fitting:
        return "No model fits."
    room = width - (_CELL + 1) * len(found.methods)
    lines = [
        _wrap(
            f"{plural(len(fitting), 'model')} of {len(found.candidates)} can be tuned: estimated time and peak memory "
            "of what a run would try first.",
            width,
        ),
        " " * room + _cells(found.methods),
    ]
    for place, heading in ((True, "on this machine"), (False, "to be downloaded")):
        some = [candidate for candidate in fitting if bool(candidate.offer.place) is place]
        lines += [f"{heading}:"] if some else []
        for candidate in some:
            name, cells = clean(candidate.offer.name, 100), _cells([brief(fit) for fit in candidate.fits])
            name += "" if not candidate.offer.figures.gated else " (gated)"
            lines += [f"{name:<{room}}{cells}"] if len(name) < room else [name, " " * room + cells]
    lines.append(_wrap("* = with fewer epochs, rows or tokens than usual, so that it fits; - = does not fit.", width))
    return "\n".join(line.rstrip() for line in lines)


def _cells(cells: Sequence[str]) -> str:
    return "".join(f" {cell:<{_CELL}}" for cell in cells)


def _too_large(candidates: Sequence[Candidate], width: int) -> str:
    """What does not fit with any method, and the least that it needs."""
    if not candidates:
        return ""
    n_slow = sum(any(fit.lacks == ("time",) for fit in candidate.fits) for candidate in candidates)
    slow = f", {n_slow} of them for lack of time alone (`--trial-timeout`, `--budget`)" if n_slow else ""
    lines = [_wrap(f"{plural(len(candidates), 'model')} would not fit{slow}; the least that each needs:", width)]
    for candidate in candidates:
        least = candidate.closest
        if least is not None:
            needs = f"{memory(least.memory_mib):>9} {duration(least.time_s):>13}  {least.method}"
            lines.append(f"{clean(candidate.offer.name, 100):<42} {needs}")
    return "\n".join(lines)


def _refused(found: Shortlist, width: int) -> str:
    """What cannot learn the task, and methods that cannot teach it."""
    reasons: dict[str, list[str]] = {}
    for candidate in found.candidates:
        if candidate.refusal:
            reasons.setdefault(candidate.refusal, []).append(candidate.offer.name)
    lines = [f"{plural(len(names), 'model')} cannot learn this task: {reason}." for reason, names in reasons.items()]
    for i, method in enumerate(found.methods):
        judged = [c.fits[i] for c in found.candidates if c.fits and not c.refusal]
        if judged and not any(fit.is_able for fit in judged):
            lines.append(f"The method `{method}` cannot teach it: {judged[0].reason}.")
    return "\n".join(_wrap(line, width) for line in lines)


def _unknown(offered: Iterable[Offer], width: int) -> str:
    names = unknown_size(offered)
    return _wrap(f"Size unknown until the configuration is read: {', '.join(names)}.", width) if names else ""


def _problems(offered: Iterable[Offer], width: int) -> str:
    broken = [offer for offer in offered if offer.problem]
    return "\n".join(_wrap(f"Cannot be used: {clean(o.name, 100)}: {clean(o.problem)}", width, "  ") for o in broken)


def _labelled(label: str, text: str, width: int) -> str:
    return _wrap(f"{label:<10}{clean(text, 1000)}", width, " " * 10)


def _wrap(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
