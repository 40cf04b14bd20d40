"""The models that other tests train: real architectures, words of one token, texts that survive their tokenizer."""

import pytest
import torch
from tiny_families import TINY
from tiny_models import HIDDEN, WORDS
from transformers import AutoModel, AutoTokenizer

SENTENCE = "the film was good today"


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_model_reads_words_as_single_tokens_and_gives_them_back(name, tiny_model):
    folder = tiny_model(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(SENTENCE, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(SENTENCE.split())
    assert set(SENTENCE.split()) <= set(WORDS)
    assert tokenizer.decode(ids).strip() == SENTENCE
    model = AutoModel.from_pretrained(folder).eval()
    inputs = tokenizer([SENTENCE], return_tensors="pt")
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    with torch.inference_mode():
        hidden = model(**inputs).last_hidden_state
    assert hidden.shape[::2] == (1, HIDDEN)
    assert bool(torch.isfinite(hidden).all())
