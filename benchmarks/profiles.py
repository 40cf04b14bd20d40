"""Profiles of real data sets, and what a profile costs: `python -m benchmarks.profiles [--docs FILE] [--json FILE]`.

Profiles every data set in the folder with its own validation and test files, as `fit` would, and prints one table per
task kind, features as rows. With `--large` instead: time and peak memory of everything but embeddings for large made
data, each case in a process of its own, beside what they must be.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.distances import replace_tables
from benchmarks.overhead import Figure, in_new_process, peak_mib, table
from benchmarks.recording.provenance import commit
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import choose_slots
from xautolm.data.load import load_task
from xautolm.evaluate.isolate import WorkerServer
from xautolm.metafeatures import embedding_features, profile_task, schema_of
from xautolm.metafeatures.machine import machine_facts, usable_cores
from xautolm.preparation import library_versions
from xautolm.profiling import embed_task
from xautolm.records import Answer, DataSource, Split, Task

CLASSIFICATION = (
    *("sst2", "movie_reviews", "sms_spam", "pros_cons", "meld", "cola", "trec", "liar", "ag_news", "mrpc", "rte"),
)
QUESTIONS = ("squad", "drop")


@dataclass(frozen=True, slots=True)
class Measured:
    """Features of one data set.

    Attributes:
        schema: of the features.
        features: name -> value.
        cpu_s: processor seconds of this process for everything but embeddings.
    """

    schema: str
    features: Mapping[str, float]
    cpu_s: float


def profile_sets(data: Path, names: Sequence[str], *, with_embeddings: bool) -> dict[str, Measured]:
    """Profile data sets, each a folder with `train.jsonl.gz`, `validation.jsonl.gz` and maybe `test.jsonl.gz`."""
    found = {}
    with ExitStack() as stack:
        backend = _backend(stack) if with_embeddings else None
        for name in names:
            sys.stderr.write(f"profiling {name}\n")
            train, valid, test = (data / name / f"{split}.jsonl.gz" for split in ("train", "validation", "test"))
            task = load_task(str(train), valid=str(valid), test=str(test) if test.exists() else None)
            started = time.process_time()
            features = dict(profile_task(task))
            cpu_s = time.process_time() - started
            if backend is not None:
                features |= embedding_features(task, embed_task(task, backend, limit_s=math.inf))
            found[name] = Measured(schema_of(task), features, cpu_s)
    return found


def _backend(stack: ExitStack) -> LocalBackend:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = WorkerServer(folder / "server.log")
    stack.callback(server.close)
    slots = choose_slots(usable_cores(), ["cpu"], 30_000_000, workers=1, threads=None)
    backend = LocalBackend(server, slots, TrialContext(folder, {}, math.inf, math.inf, 0))
    backend.start()
    return backend


def features_in_words(found: Mapping[str, Measured]) -> Iterator[str]:
    """Data sets of one schema as lines of Markdown, one line per feature."""
    yield f"| | {' | '.join(found)} |"
    yield "|---|" + "---:|" * len(found)
    for feature in next(iter(found.values())).features:
        cells = (number_in_words(measured.features[feature]) for measured in found.values())
        yield f"| `{feature}` | {' | '.join(cells)} |"


def number_in_words(value: float) -> str:
    """A number for a table.

    >>> [number_in_words(value) for value in (0.0, 4000.0, 209680.4, 13.25, 0.513, 0.00051)]
    ['0', '4,000', '209,680', '13.2', '0.513', '0.0005']
    """
    if value.is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.1g}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


@dataclass(frozen=True, slots=True)
class Case:
    """Made data of a size.

    Attributes:
        what: in words.
        n_rows: training rows.
        n_chars: characters of each document or context.
        kind: task kind.
        most_s: seconds that the profile may take; None = no requirement.
        most_mib: peak memory that the process may take, data and libraries included.
    """

    what: str
    n_rows: int
    n_chars: int
    kind: str = "text-classification"
    most_s: float | None = None
    most_mib: float | None = None


LARGE = (
    Case("4,000 rows of 240 characters", 4_000, 240),
    Case("120,000 rows of 240 characters", 120_000, 240, most_s=30.0, most_mib=1536.0),
    Case("4,000 documents of 20,000 characters", 4_000, 20_000),
    Case("90,000 questions on 750 characters", 90_000, 750, "question-answering"),
    Case("100,000 rows of 240 characters with up to 4 of 60 labels", 100_000, 240, "multi-label"),
    Case("100,000 rows of 240 characters with a score", 100_000, 240, "text-regression"),
    Case("15,000 sentences of 120 characters with tags", 15_000, 120, "token-classification"),
    Case("100,000 texts of 750 characters with a shorter one", 100_000, 750, "text-generation"),
)


def make_task(case: Case, n_words: int = 50_000) -> Task:
    """A task of made words whose frequencies follow Zipf's law; seeded."""
    rng = np.random.default_rng(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "in")]
    # Frequent words are short, as in real text.
    lengths = 1 + np.log2(np.arange(n_words) + 2).astype(int) // 5
    words = np.asarray(["".join(rng.choice(syllables, length)) for length in lengths], dtype=object)
    odds = 1 / np.arange(1, n_words + 1)
    mean_chars = float(np.average([len(word) + 1 for word in words], weights=odds))
    n_each = math.ceil(1.5 * case.n_chars / mean_chars) + 10
    totals = np.cumsum(odds)
    texts = []
    for _ in range(case.n_rows):
        drawn = words[np.searchsorted(totals, rng.random(n_each) * totals[-1])]
        texts.append(" ".join(drawn)[: case.n_chars])
    kinds_of_labels = {"multi-label": [f"label {i}" for i in range(60)], "token-classification": ["B-X", "I-X", "O"]}
    return Task(
        dataset_id="made",
        kind=case.kind,
        labels=tuple(kinds_of_labels.get(case.kind, "abcd")),
        train=_split(case.kind, tuple(texts), rng),
        validation=Split((), None, ()),
        test=None,
        columns={},
        sources={"train": DataSource("made", "0" * 64)},
        fingerprint="0" * 64,
        sketch=(),
    )


def _split(kind: str, texts: tuple[str, ...], rng: np.random.Generator) -> Split:
    """Rows about the texts, which ask for random things; answers are the second word and what follows it."""
    if kind in ("question-answering", "text-generation"):
        starts = [text.find(" ") + 1 for text in texts]
        answers = tuple((Answer(text[start : start + 20], start),) for text, start in zip(texts, starts, strict=True))
        if kind == "text-generation":
            return Split(texts, None, (), answers)
        return Split(tuple(f"what about {text[:40]}?" for text in texts), texts, (), answers)
    if kind == "multi-label":
        sizes = rng.integers(0, 5, len(texts)).tolist()
        sets = tuple(tuple(sorted(rng.choice(60, size, replace=False).tolist())) for size in sizes)
        return Split(texts, None, (), targets=sets)
    if kind == "text-regression":
        return Split(texts, None, (), targets=tuple(rng.random(len(texts)).tolist()))
    if kind == "token-classification":
        words = tuple(tuple(text.split()) for text in texts)
        tags = tuple(tuple(rng.integers(0, 3, len(row)).tolist()) for row in words)
        return Split(texts, None, (), targets=tags, words=words)
    return Split(texts, None, tuple(rng.integers(0, 4, len(texts)).tolist()))


def measure_case(case: Case) -> dict[str, float]:
    """Seconds on the clock and of the processor, and peak memory of this process in MiB, of one profile."""
    task = make_task(case)
    started, worked = time.perf_counter(), time.process_time()
    profile_task(task)
    return {"s": time.perf_counter() - started, "cpu_s": time.process_time() - worked, "peak_mib": peak_mib()}


def measure_large(cases: Sequence[Case]) -> list[Figure]:
    """Each case in a process of its own."""
    figures = []
    for case in cases:
        sys.stderr.write(f"measuring {case.what}\n")
        found = in_new_process(measure_case, case)
        figures += [
            Figure(f"{case.what}: time", found["s"], "s", case.most_s),
            Figure(f"{case.what}: processor time", found["cpu_s"], "s"),
            Figure(f"{case.what}: peak memory of the process", found["peak_mib"], "MiB", case.most_mib),
        ]
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 when a figure of `--large` is not what it must be, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with one folder per data set")
    parser.add_argument("--no-semantic", action="store_true", help="features of embeddings are left 0")
    parser.add_argument("--large", action="store_true", help="time and memory for large made data instead")
    parser.add_argument("--docs", type=Path, help="page whose tables are replaced by the measured ones")
    parser.add_argument("--json", type=Path, help="file for the figures, with provenance")
    options = parser.parse_args(arguments)
    if options.large:
        figures = measure_large(LARGE)
        _write(options.json, {"figures": [asdict(figure) for figure in figures]})
        _replace(options.docs, {"large": table(figures).splitlines()})
        print(table(figures))
        return 0 if all(figure.is_met for figure in figures) else 1
    names = [name for name in (*CLASSIFICATION, *QUESTIONS) if (options.data / name).is_dir()]
    if not names:
        parser.error(f"expected folders such as `sst2` in `{options.data}`; name another with `--data`")
    found = profile_sets(options.data, names, with_embeddings=not options.no_semantic)
    _write(options.json, {"sets": {name: asdict(measured) for name, measured in found.items()}})
    tables = {
        schema.partition("/")[0]: list(features_in_words({n: m for n, m in found.items() if m.schema == schema}))
        for schema in dict.fromkeys(measured.schema for measured in found.values())
    }
    _replace(options.docs, tables)
    print("\n\n".join("\n".join(lines) for lines in tables.values()))
    return 0


def _write(path: Path | None, content: Mapping[str, object]) -> None:
    if path:
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        provenance = {"commit": commit(), "versions": library_versions(), "machine": machine_facts()}
        document = {**content, "load_average": load_average, **provenance}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _replace(page: Path | None, tables: Mapping[str, Sequence[str]]) -> None:
    if page:
        replace_tables(page, tables)


if __name__ == "__main__":
    sys.exit(main())
