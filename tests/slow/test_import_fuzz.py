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

from xautolm.experience.store import ExperienceStore

SECONDS = float(os.environ.get("XAUTOLM_FUZZ_S", "120"))
#: A hang would be an attack too; a case takes some milliseconds.
MAX_CASE_S = 20


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 5 + 60)
def test_no_damaged_source_does_harm(tmp_path: Path, own_store: str) -> None:
    first = int(os.environ.get("XAUTOLM_FUZZ_SEED", "") or random.SystemRandom().randrange(10**9))
    end, n_cases, n_taken = time.monotonic() + SECONDS, 0, 0
    with ExperienceStore(own_store) as store:
        while time.monotonic() < end:
            seed = first + n_cases
            target = TARGETS[seed % len(TARGETS)]
            started = time.monotonic()
            n_taken += check_case(target, tmp_path / str(seed), seed, store)
            assert time.monotonic() - started < MAX_CASE_S, f"{target}, seed {seed} took too long"
            shutil.rmtree(tmp_path / str(seed), ignore_errors=True)
            n_cases += 1
        n_loaded = len(store.load(kind=None))
        print(f"{n_cases} cases from seed {first}: {n_taken} experiences taken, {n_loaded} different ones")

        assert n_loaded == store.count()
    assert n_taken > n_cases / 10
