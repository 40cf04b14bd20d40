"""Points as rows of numbers: scales, choices, branches, and values that do not belong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xautolm.prior.encoding import Encoder, Tree, Variable, tree_of_domains, tree_of_space
from xautolm.records import ModelSpec
from xautolm.space.params import Categorical, Float, Int, Space

BATCH = Categorical((4, 8, 16, 64))
TREE = Tree(
    (
        Variable("method", Categorical(("full", "head"))),
        Variable("rate", Float(1e-6, 1e-2, log=True), parent="method", parent_values=("full",)),
        Variable("batch", BATCH),
    )
)


def column(encoder: Encoder, name: str, kind: str) -> int:
    return next(i for i, c in enumerate(encoder.columns) if (c.name, c.kind) == (name, kind))


def test_numeric_choices_are_numbers_on_a_log_scale_and_choices() -> None:
    encoder = Encoder(tree_of_domains({"batch": BATCH}))

    rows = encoder.encode([{"batch": size} for size in BATCH.choices])

    assert rows[:, 0] == pytest.approx([0.0, 0.25, 0.5, 1.0])
    assert rows[:, 1:].tolist() == np.eye(4).tolist()
    assert len(set(encoder.groups.tolist())) == 2  # the number, and all choices together


def test_a_number_is_scaled_by_its_logarithm_only_in_a_log_domain() -> None:
    domains = {"linear": Float(0.0, 10.0), "log": Float(1e-4, 1.0, log=True), "depth": Int(1, 5)}

    row = Encoder(tree_of_domains(domains)).encode([{"linear": 2.5, "log": 1e-3, "depth": 2}])[0]

    assert row == pytest.approx([0.25, 0.25, 0.25])


def test_words_and_flags_are_choices_only() -> None:
    encoder = Encoder(tree_of_domains({"word": Categorical(("a", "b")), "flag": Categorical((False, True))}))

    assert encoder.encode([{"word": "b", "flag": False}]).tolist() == [[0.0, 1.0, 1.0, 0.0]]
    assert encoder.encode([{"word": "b", "flag": 0}])[0, 2] == 0.0  # 0 is no flag


def test_what_does_not_apply_is_neutral_and_marked() -> None:
    encoder = Encoder(TREE)

    full, head = encoder.encode([{"method": "full", "rate": 1e-6, "batch": 4}, {"method": "head", "batch": 4}])

    number, active = column(encoder, "rate", "number"), column(encoder, "rate", "active")
    assert (full[number], full[active]) == (0.0, 1.0)
    assert (head[number], head[active]) == (0.5, 0.0)
    assert not any(c.kind == "active" for c in encoder.columns if c.name != "rate")


def test_variables_of_one_name_share_their_columns(space: Space) -> None:
    encoder = Encoder(tree_of_space(space))

    rows = encoder.encode([{"method": "full", "model": "m"}, {"method": "head", "model": "m"}])

    models = [i for i, c in enumerate(encoder.columns) if c.name == "model"]
    assert rows[0, models].tolist() == rows[1, models].tolist() == [0.0, 1.0, 0.0]
    assert not any(c.kind == "active" for c in encoder.columns if c.name == "model")


def test_facts_of_models_are_numbers_of_their_size() -> None:
    def model(name: str, n_params: int) -> ModelSpec:
        return ModelSpec(name, "", "", "bert", 6, False, n_params, 1, 384, 12, 1536, 30_000, 512, ("mean",))

    analytic = Space({"s": model("s", 10), "l": model("l", 1000), "m": model("m", 100)}, {})
    tree = Tree((Variable("model", Categorical(("s", "m", "l"))),), tree_of_space(analytic).facts)
    encoder = Encoder(tree)

    sizes = encoder.encode([{"model": name} for name in ("s", "m", "l")])[:, column(encoder, "model", "fact")]

    assert sizes == pytest.approx([0.0, 0.5, 1.0])


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "full", "x"]))


@given(st.dictionaries(st.sampled_from(["method", "rate", "batch", "unknown"]), anything))
def test_rows_are_finite_whatever_a_point_holds(point: dict[str, object]) -> None:
    rows = Encoder(TREE).encode([point])  # type: ignore[list-item]

    assert np.isfinite(rows).all()
    assert (np.abs(rows) <= 1.5).all()


def test_a_point_is_cut_to_what_applies() -> None:
    assert TREE.completed({"batch": 8, "rate": 1e-3, "method": "head", "other": 1}) == {"method": "head", "batch": 8}


def test_a_child_of_a_child_applies_with_both() -> None:
    tree = Tree((*TREE.variables, Variable("decay", Float(0, 1), parent="rate")))

    assert "decay" in tree.completed({"method": "full", "rate": 1e-3, "decay": 0.5})
    assert "decay" not in tree.completed({"method": "head", "rate": 1e-3, "decay": 0.5})
