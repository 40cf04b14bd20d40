"""How figures, settings and foreign strings are written, the same in every renderer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from xautolm.records import ParamValue

#: Names that readers see for the metric keys.
METRIC_NAMES: Mapping[str, str] = {
    "f1": "macro F1",
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "token_f1": "token F1",
    "micro_f1": "micro F1",
    "rouge_l": "ROUGE-L",
    "pearson": "Pearson r",
    "spearman": "Spearman rho",
    "rmse": "RMSE",
}

#: Kinds of tasks in which a key means something else than in classification.
_METRIC_NAMES_OF: Mapping[str, Mapping[str, str]] = {
    "": {"f1": "F1"},
    "token-classification": {"f1": "entity F1", "accuracy": "accuracy of words"},
    "question-answering": {"f1": "token F1"},
    "text-generation": {"f1": "token F1"},
}

#: Names that readers see for the baselines.
BASELINE_NAMES: Mapping[str, str] = {
    "majority": "majority class",
    "tfidf_logreg": "TF-IDF + logistic regression",
    "embedding_logreg": "frozen embedding + logistic regression",
}

_COMMONEST: Mapping[str, str] = {
    "multi-label": "commonest labels",
    "text-regression": "mean",
    "token-classification": "commonest tag of each word",
    "question-answering": "commonest answer",
    "text-generation": "commonest answer",
}

#: Short names of hyperparameters, in the order in which they are shown; others follow under their own names.
SHORT_NAMES: Mapping[str, str] = {
    "learning_rate": "lr",
    "epochs": "epochs",
    "n_epochs": "epochs",
    "batch_size": "batch",
    "max_length": "length",
    "train_fraction": "rows",
    "pooling": "pooling",
    "n_layers": "layers",
    "last_k": "last_k",
    "rank": "rank",
    "lora_rank": "rank",
    "r": "rank",
    "C": "C",
}

#: How many settings a table cell or a log line shows.
N_KEY_SETTINGS = 6


def metric_name(key: str, kind: str) -> str:
    """What readers see for a metric of a kind of task, empty while that is not known.

    >>> metric_name("f1", "question-answering"), metric_name("f1", "text-classification")
    ('token F1', 'macro F1')
    """
    return _METRIC_NAMES_OF.get(kind, {}).get(key) or METRIC_NAMES.get(key) or clean(key, 40)


def baseline_name(name: str, kind: str) -> str:
    """What readers see for a baseline; `majority` is the commonest answer of whatever kind there is.

    >>> baseline_name("majority", "text-classification"), baseline_name("majority", "question-answering")
    ('majority class', 'commonest answer')
    """
    if name == "majority":
        return _COMMONEST.get(kind, BASELINE_NAMES[name])
    return BASELINE_NAMES.get(name) or clean(name, 60)


def clean(text: object, limit: int = 300) -> str:
    r"""One printable line of at most `limit` characters from any string of a user, a model or a library.

    Control characters (terminal escapes, line ends), direction overrides and lone surrogates become a middle
    dot or a space, so that no renderer has to think of them.

    >>> clean("two\nlines \x1b[31mred")
    'two lines ·[31mred'
    >>> clean("x" * 10, limit=5)
    'xxxx…'
    """
    line = " ".join(str(text)[: 4 * limit].split())
    line = "".join(c if c.isprintable() else "·" for c in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def number(value: ParamValue) -> str:
    """A hyperparameter as people write it.

    >>> [number(v) for v in (0.001, 0.00012345, 0.1, 16, True, "mean", 2.0)]
    ['1e-3', '1.23e-4', '0.1', '16', 'yes', 'mean', '2']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return clean(value)
    if value and math.isfinite(value) and abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}"


def score(value: float | None) -> str:
    """A score with three digits; `-` when there is none.

    >>> score(0.84249), score(None)
    ('0.842', '-')
    """
    return "-" if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Seconds in the largest readable units.

    >>> [duration(s) for s in (0.0421, 12.34, 140.2, 3725, None)]
    ['0.04 s', '12.3 s', '2 min 20 s', '1 h 02 min', '-']
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def memory(mib: float | None) -> str:
    """Memory in MiB or GiB.

    >>> memory(512.4), memory(1536), memory(None)
    ('512 MiB', '1.5 GiB', '-')
    """
    if mib is None or not math.isfinite(mib):
        return "-"
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def energy(watt_hours: float) -> str:
    """Energy with three digits.

    >>> energy(0.01234), energy(12.345), energy(2345.6)
    ('0.0123 Wh', '12.3 Wh', '2.35 kWh')
    """
    return f"{watt_hours / 1000:.3g} kWh" if watt_hours >= 1000 else f"{watt_hours:.3g} Wh"


def signed(value: float | None) -> str:
    """A weight with its sign; `-` when there is none.

    >>> signed(0.25), signed(-0.021), signed(0.0), signed(None)
    ('+0.25', '-0.021', '0', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:+.2g}" if value else "0"


def percent(share: float) -> str:
    """A share of 1 in percent; never rounded to 0 or 100 when it is neither.

    >>> percent(0.5), percent(1.0), percent(0.9999), percent(0.0004)
    ('50 %', '100 %', '99.99 %', '0.04 %')
    """
    digits = next((d for d in (0, 1, 2) if round(100 * share, d) not in (0, 100)), 0)
    return f"{100 * share:.{digits}f} %"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "trial"), plural(1200, "trial")
    ('1 trial', '1,200 trials')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def settings(params: Mapping[str, ParamValue], limit: int | None = None) -> str:
    """Hyperparameters on one line, the important ones first; `limit` keeps the first few.

    >>> settings({"warmup_ratio": 0.1, "epochs": 2, "learning_rate": 1e-3})
    'lr=1e-3 epochs=2 warmup_ratio=0.1'
    >>> settings({"warmup_ratio": 0.1, "epochs": 2, "learning_rate": 1e-3}, limit=1)
    'lr=1e-3'
    """
    order = {name: rank for rank, name in enumerate(SHORT_NAMES)}
    names = sorted(params, key=lambda name: (order.get(name, len(order)), name))
    return " ".join(f"{SHORT_NAMES.get(n, clean(n, 40))}={number(params[n])}" for n in names[:limit])
