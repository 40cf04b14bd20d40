"""Damaged sources are refused cleanly; `tests/slow/test_import_fuzz.py` does the same for minutes."""

from __future__ import annotations

import pytest
from import_fuzz import TARGETS, Target, assert_clean
from import_fuzz import check_case as check

from xautolm.experience.importers import read


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.corpus)
def test_damaged_sources_are_refused_cleanly(target: Target, tmp_path) -> None:
    n_cases = 12 if target.form == "optuna" else 60

    n_experiences = [check(target, tmp_path / str(seed), seed) for seed in range(n_cases)]

    assert max(n_experiences) > 0


@pytest.mark.parametrize("target", TARGETS[:4], ids=lambda target: target.corpus)
def test_the_seed_corpus_itself_is_read_whole(target: Target) -> None:
    from import_fuzz import CORPUS

    imported = read(str(CORPUS / target.corpus), target.form)

    assert imported.rejected == []
    assert_clean(imported, target.corpus)
