"""What the error texts of the published store mean, as status and kind (design.md, decision 6).

Which of them teach the prior is decided by `prior/blame.py`: memory and time do. What the code or the machine of those
runs did wrong (`bug`, `killed`, `disk`), models that could not be had (`unavailable`) and failures without a text teach
nothing about the pipeline.
"""

from __future__ import annotations

import re

from xautolm.experience.scrub import scrub
from xautolm.records import Status, TrialError

#: Sign in the text (lower case) -> status and kind; the first that fits counts.
_SIGNS: tuple[tuple[str, Status, str], ...] = (
    (r"exceeded allowed time", "timeout", "time_limit"),
    (r"cuda out of memory|cublas_status_alloc_failed|outofmemoryerror", "oom", "oom_train"),
    # The shared memory of a container, used up by loader processes: a setting of that machine, not the batch.
    (r"bus error|out of shared memory|killed by signal", "crashed", "killed"),
    (r"can(?:'|no)t allocate memory|defaultcpuallocator|memoryerror|not enough memory", "oom", "oom_host"),
    (r"no space left", "crashed", "disk"),
    # True of the library of that time only (the classes exist today), so it must not speak against the model.
    (r"unrecognized configuration class|for this kind of automodel", "invalid", "unsupported"),
    (r"can't load (?:the )?(?:tokenizer|model|config)|unable to load weights", "unavailable", "load"),
    (r"gated repo|awaiting a review|401 client error|403 client error|404 client error", "unavailable", "load"),
    (r"does not appear to have a file|is not a local folder|couldn't connect to|offline mode", "unavailable", "load"),
    # `use_mixed_precision` with accumulation, and with some optimizers: faults of the training loop.
    (r"unscale_\(\) has already been called|'int' object has no attribute 'type'", "crashed", "bug"),
    (r"loftq|shapes cannot be multiplied|size mismatch", "crashed", "bug"),
    (r"\bnan\b", "diverged", "nan"),
)
_TIME_LIMIT_S = re.compile(r"terminated after (\d{1,9}(?:\.\d{1,9})?) seconds")
_CAPACITY_GIB = re.compile(r"total capacity of (\d{1,6}(?:\.\d{1,6})?) GiB")
#: Texts are judged by their beginning; the longest published one has 1,300 characters.
_MAX_CHARS = 20_000


def classify(text: str | None) -> tuple[Status, TrialError]:
    """Status and error of a failed evaluation from its stored text; the text itself is scrubbed.

    >>> classify("CUDA out of memory. Tried to allocate 20.00 MiB.")[0]
    'oom'
    >>> classify(None)
    ('crashed', TrialError(kind='unknown', message=''))
    """
    if not text or not text.strip():
        return "crashed", TrialError("unknown", "")
    lowered = text[:_MAX_CHARS].lower()
    status, kind = next(
        ((status, kind) for sign, status, kind in _SIGNS if re.search(sign, lowered)), ("crashed", "other")
    )
    return status, TrialError(kind, scrub(text[:_MAX_CHARS]))


def spent_s(text: str | None) -> float:
    """Seconds that a failed evaluation took, where its text tells; 0 where it is not known.

    >>> spent_s("Exceeded allowed time for execution. The process was terminated after 5400.0 seconds.")
    5400.0
    """
    found = _TIME_LIMIT_S.search((text or "")[:_MAX_CHARS])
    return float(found[1]) if found else 0.0


def capacity_gib(text: str | None) -> float | None:
    """Memory of the GPU in GiB, where an out-of-memory text tells it.

    >>> capacity_gib("GPU 0 has a total capacity of 23.64 GiB of which 132.44 MiB is free.")
    23.64
    """
    found = _CAPACITY_GIB.search((text or "")[:_MAX_CHARS])
    return float(found[1]) if found else None
