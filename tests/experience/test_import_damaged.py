"""Damaged sources are refused cleanly; `tests/slow/test_import_fuzz.py` does the same for minutes."""

from __future__ import annotations

import pytest
from import_fuzz import CORPUS, TARGETS, Target, assert_clean
from import_fuzz import check_case as check

from xautolm.experience.importers import read
from xautolm.experience.store import ExperienceStore
from xautolm.experience.transfer import read as read_export
from xautolm.experience.transfer import take_in


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.corpus)
def test_damaged_sources_are_refused_cleanly(target: Target, tmp_path, own_store) -> None:
    n_cases = 8 if target.form == "optuna" else 25
    with ExperienceStore(own_store) as store:
        n_taken = [check(target, tmp_path / str(seed), seed, store) for seed in range(n_cases)]

        assert len(store.load(kind=None)) == store.count()
    assert max(n_taken) > 0


@pytest.mark.parametrize("target", TARGETS[:4], ids=lambda target: target.corpus)
def test_the_seed_corpus_itself_is_read_whole(target: Target) -> None:
    imported = read(str(CORPUS / target.corpus), target.form)

    assert imported.rejected == []
    assert_clean(imported, target.corpus)


@pytest.mark.parametrize("name", ["export.jsonl", "export.parquet"])
def test_the_seed_exports_are_read_whole(name, own_store) -> None:
    with ExperienceStore(own_store) as store:
        taken = take_in(store, read_export(CORPUS / name), allow_rejects=False)

        assert taken.n_new == store.count() == 10
