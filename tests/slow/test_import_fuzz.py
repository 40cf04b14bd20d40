"""Two minutes of random damage to what can be imported.

`XAUTOLM_FUZZ_S` sets another time; a failure names its seed, and `XAUTOLM_FUZZ_SEED` starts there.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from import_fuzz import TARGETS, check_case

SECONDS = float(os.environ.get("XAUTOLM_FUZZ_S", "120"))
#: A hang would be an attack too; a case takes some milliseconds.
MAX_CASE_S = 20


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 5 + 60)
def test_no_damaged_source_does_harm(tmp_path: Path) -> None:
    first = int(os.environ.get("XAUTOLM_FUZZ_SEED", "") or random.SystemRandom().randrange(10**9))
    end, n_cases, n_experiences = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        seed = first + n_cases
        target = TARGETS[seed % len(TARGETS)]
        folder = tmp_path / str(seed)
        started = time.monotonic()
        n_experiences += check_case(target, folder, seed)
        assert time.monotonic() - started < MAX_CASE_S, f"{target}, seed {seed} took too long"
        shutil.rmtree(folder, ignore_errors=True)
        n_cases += 1
    print(f"{n_cases} cases from seed {first}: {n_experiences} experiences")

    assert n_experiences > n_cases / 10
