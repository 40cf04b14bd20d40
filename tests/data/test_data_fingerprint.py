"""Sketches recognise subsets of the same data; file hashes see every byte."""

import pytest

from xautolm.data.fingerprint import SKETCH_SIZE, file_sha256, row_key, sketch_containment, sketch_rows
from xautolm.errors import DataError


def rows(start, stop):
    return [row_key(f"row number {i}") for i in range(start, stop)]


def test_sketch_is_ascending_distinct_and_fits_signed_64_bit():
    sketch = sketch_rows(rows(0, 1000) * 2)
    assert len(sketch) == SKETCH_SIZE
    assert list(sketch) == sorted(set(sketch))
    assert 0 <= sketch[0] <= sketch[-1] < 2**63


def test_sketch_is_pinned():
    # stored sketches must stay comparable: this value may never change
    assert sketch_rows(["hello world"]) == (2363413740616702685,)


def test_sketch_ignores_order_case_and_white_space():
    assert sketch_rows([row_key("A  b"), row_key("c\n")]) == sketch_rows([row_key(" C"), row_key("a B ")])


@pytest.mark.parametrize(
    ("a", "b", "truth"),
    [
        ((0, 4000), (0, 4000), 1.0),
        ((0, 4000), (2000, 6000), 0.5),
        ((0, 4000), (1000, 2000), 1.0),
        ((0, 400), (400, 9000), 0.0),
    ],
)
def test_containment_estimate_is_near_the_truth_and_symmetric(a, b, truth):
    sketches = sketch_rows(rows(*a)), sketch_rows(rows(*b))
    estimate = sketch_containment(*sketches)
    assert estimate == pytest.approx(truth, abs=0.12)
    assert estimate == sketch_containment(*reversed(sketches))


def test_containment_of_small_sets_is_exact():
    assert sketch_containment(sketch_rows(rows(0, 10)), sketch_rows(rows(5, 105))) == 0.5


def test_pair_and_joined_text_are_different_rows():
    assert row_key("a", "b") != row_key("a b")
    assert row_key("a\x1fb") != row_key("a", "b")


def test_folder_hash_sees_names_and_bytes(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    first = file_sha256(tmp_path)
    assert file_sha256(str(tmp_path)) == first
    (tmp_path / "d" / "a").write_text("2")
    second = file_sha256(tmp_path)
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert len({first, second, file_sha256(tmp_path)}) == 3


def test_hash_of_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file or directory"):
        file_sha256(tmp_path / "gone.csv")
