"""Write the experiences that come with the package: `python -m benchmarks.starter`.

`recorded` is the tables of `benchmarks.record` and `benchmarks.everyday`, `published` the sample of the published store
in the shared data. Both end up as numbers and names: error messages are left out, and a text anywhere else is refused.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.recorded import TABLE, all_experiences
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.errors import DataError, XAutoLMError
from xautolm.experience import importers
from xautolm.experience.codec import Encoder
from xautolm.experience.dump_jsonl import write_jsonl
from xautolm.experience.interchange import experience_fields, system_entry, task_entry
from xautolm.experience.starter import FOLDER, PUBLISHED, RECORDED
from xautolm.records import Experience, TrialError

#: Names, dates, versions, hub ids: no white space, so no two words of anybody's text.
_NAME = re.compile(r"[\w./@:+,=*%-]{0,120}", re.ASCII)


def without_texts(experiences: Iterable[Experience]) -> Iterator[Experience]:
    """The same experiences as numbers and names only: without error messages and the name of the machine.

    Raises:
        DataError: something else in one of them may be a text.
    """
    encoder = Encoder()
    for experience in experiences:
        result = experience.result
        error = TrialError(result.error.kind, "") if result.error else None
        profile = replace(experience.profile, system_name="")
        run_id = re.sub(r"[^\w.-]+", "-", experience.run_id)  # published ones are in the words of a settings file
        bare = replace(
            experience, run_id=run_id, result=replace(result, error=error), profile=profile, source="starter"
        )
        encoded = encoder.encode(bare)
        for text in _strings([task_entry(encoded.task), system_entry(encoded.system), experience_fields(bare)]):
            if not _NAME.fullmatch(text):
                raise DataError(f"expected numbers and names in an experience of {bare.dataset_id!r}, got {text!r}")
        yield bare


def _strings(value: object) -> Iterator[str]:
    """All strings in a JSON value, names of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _strings(item)


def write_part(folder: Path, part: str, experiences: Iterable[Experience]) -> int:
    """Write one part, replaced at once; returns the number of experiences."""
    file = folder / f"{part}.jsonl.gz"
    partial = file.with_name(f".{file.name}.partial")
    n_written = write_jsonl(partial, without_texts(experiences), is_packed=True)
    os.replace(partial, file)
    return n_written


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starter", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE, help="folder of the recorded table")
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets; `paper-store` lies beside"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    arguments = parser.parse_args(argv)
    try:
        recorded = all_experiences(arguments.table)
        published = importers.read(str(arguments.data.parent / "paper-store"), "paper").experiences
        for part, experiences in ((RECORDED, recorded), (PUBLISHED, published)):
            n_written = write_part(arguments.out, part, experiences)
            n_bytes = (arguments.out / f"{part}.jsonl.gz").stat().st_size
            print(f"{part}: {n_written} experiences, {n_bytes / 1024:.0f} KiB")
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
