"""Which models, methods and objectives a kind of task can be searched with."""

from dataclasses import replace

import pytest

from xautolm.config import make_settings
from xautolm.errors import ModelError, UsageError
from xautolm.records import ModelSpec
from xautolm.suitability import methods_for, suitable_models, with_objectives

ENCODER = ModelSpec(
    "encoder", "/m", "r", "bert", 6, False, 22_000_000, 12_000_000, 384, 12, 1536, 30522, 512, ("mean",)
)
DECODER = replace(ENCODER, name="decoder", family="decoder", poolings=("native",))


def test_models_that_write_no_text_are_left_out_of_generation_with_the_reason():
    models, dropped = suitable_models([ENCODER, DECODER], "text-generation")
    assert [model.name for model in models] == ["decoder"]
    assert [(item.what, "writes no text" in item.reason) for item in dropped] == [(ENCODER.name, True)]


def test_nothing_but_encoders_cannot_generate():
    with pytest.raises(ModelError, match=r"decoder or encoder-decoder for `text-generation`.*`--models`"):
        suitable_models([ENCODER], "text-generation")


def test_heads_over_single_tokens_have_one_way_to_read_a_model():
    (model,), _ = suitable_models([ENCODER], "token-classification")
    assert model.poolings == ("native",)
    (model,), _ = suitable_models([ENCODER], "multi-label")
    assert model.poolings == ENCODER.poolings


def test_a_head_on_frozen_features_is_offered_for_whole_texts_only():
    assert "head" in methods_for(None, [ENCODER], "text-regression")
    assert "head" not in methods_for(None, [ENCODER], "token-classification")
    with pytest.raises(UsageError, match="`head` does not suit this task"):
        methods_for(["head"], [ENCODER], "question-answering")


def test_the_default_objectives_follow_the_task():
    settings = make_settings({"data": "x.csv"})
    assert with_objectives(settings, "text-classification").objectives == ("f1", "time")
    assert with_objectives(settings, "text-regression").objectives == ("pearson", "time")
    chosen = make_settings({"data": "x.csv", "objectives": ("spearman", "latency")})
    assert with_objectives(chosen, "text-regression").objectives == ("spearman", "latency")


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"objectives": ("exact_match", "time")}, "exact_match"), ({"constraint": ("rouge_l>=0.2",)}, "rouge_l")],
)
def test_scores_that_a_task_does_not_have_are_refused(fields, said):
    settings = make_settings({"data": "x.csv", **fields})
    with pytest.raises(UsageError, match=f"`text-classification` to be among `f1`, `accuracy`.*{said}"):
        with_objectives(settings, "text-classification")
