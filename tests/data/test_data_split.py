"""Cuts are complete, stratified, seeded, and keep equal texts together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.data.split import cut_splits, split_shares


def cut(keys, labels, validation=0.1, test=0.1, seed=0):
    return cut_splits(keys, labels, validation=validation, test=test, seed=seed)


def test_shares_follow_the_size():
    assert split_shares(300, validation=True, test=True) == (0.10, 0.10)
    assert split_shares(299, validation=True, test=True) == (0.15, 0.15)
    assert split_shares(50, validation=True, test=True) == (0.15, 0.15)
    assert split_shares(49, validation=True, test=True) == (0.20, 0.0)
    assert split_shares(1000, validation=True, test=False) == (0.10, 0.0)
    assert split_shares(1000, validation=False, test=False) == (0.0, 0.0)


def test_class_shares_are_kept():
    labels = [0] * 700 + [1] * 250 + [2] * 50
    parts = cut([f"t{i}" for i in range(1000)], labels)
    for rows, n in ((parts.validation, 100), (parts.test, 100)):
        assert len(rows) == n
        assert np.bincount(np.array(labels)[rows]).tolist() == [70, 25, 5]


def test_many_small_classes_still_give_a_validation_split():
    labels = [i // 4 for i in range(400)]
    parts = cut([f"t{i}" for i in range(400)], labels)
    assert len(parts.validation) == 40
    assert len(parts.test) == 40


def test_groups_of_repeats_do_not_overfill_the_cut():
    keys = [f"t{i // 3}" for i in range(900)]
    parts = cut(keys, [0] * 900)
    assert 87 <= len(parts.validation) <= 90
    assert 87 <= len(parts.test) <= 90


def test_same_seed_same_cut_other_seed_other_cut():
    keys, labels = [f"t{i}" for i in range(100)], [0, 1] * 50
    assert cut(keys, labels, seed=3).test.tolist() == cut(keys, labels, seed=3).test.tolist()
    assert cut(keys, labels, seed=3).test.tolist() != cut(keys, labels, seed=4).test.tolist()


def test_validation_and_test_are_not_biased_to_the_first_rows():
    parts = cut([f"t{i}" for i in range(1000)], [0, 1] * 500)
    assert 400 < parts.validation.mean() < 600
    assert 400 < parts.test.mean() < 600


@pytest.mark.parametrize("seed", range(20))
def test_class_of_two_rows_keeps_one_in_train(seed):
    labels = [0] * 40 + [1] * 40 + [2] * 2
    parts = cut([f"t{i}" for i in range(82)], labels, 0.4, 0.4, seed)
    assert set(np.array(labels)[parts.train]) == {0, 1, 2}


@settings(deadline=None, database=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60),
    shares=st.sampled_from([(0.1, 0.1), (0.2, 0.0), (0.0, 0.3), (0.4, 0.4)]),
    seed=st.integers(0, 5),
)
def test_cut_is_a_partition_without_shared_texts_and_train_has_all_classes(rows, shares, seed):
    keys, labels = [str(key) for key, _ in rows], [label for _, label in rows]
    parts = cut(keys, labels, *shares, seed)
    splits = (parts.train, parts.validation, parts.test)
    assert sorted(np.concatenate(splits).tolist()) == list(range(len(rows)))
    texts = [{keys[i] for i in rows} for rows in splits]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert {labels[i] for i in parts.train} == set(labels)
