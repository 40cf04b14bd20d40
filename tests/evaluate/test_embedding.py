"""The jobs `embed` (mean-pooled, of length 1, in the order of the texts) and `measure` (what the speed is made of)."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from xautolm.evaluate.embedding import embed_texts
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.measuring import matmul_gflops, measure_speed
from xautolm.space.catalogue import read_model

TEXTS = ["good film", "", "bad " * 40, "the plot was ugly and SAD!", " \t\n", "zebra", "Größe 漢字 🙂", "good film"]


@pytest.fixture
def embed(tiny_bert, tmp_path, monkeypatch):
    """Runs the job in this process, in fp32."""
    monkeypatch.setattr("xautolm.evaluate.batches.has_bf16", lambda device: False)

    def run(texts, max_length=16, **facts):
        spec = {"model": asdict(read_model(tiny_bert, "m", **facts)), "device": "cpu"}
        result = embed_texts({**spec, "texts": texts, "max_length": max_length}, JobFolder(tmp_path))
        return np.load(tmp_path / "embeddings.npy"), result["n_tokens"]

    return run


def reference(folder, text, max_length):
    """One text by transformers alone: mean over its tokens, length 1."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    mean = hidden.mean(0)
    return (mean / mean.norm()).numpy(), len(hidden)


@pytest.mark.parametrize("max_length", [16, 48])
def test_each_embedding_is_the_mean_over_its_own_tokens_scaled_to_length_one(embed, tiny_bert, max_length):
    found, n_tokens = embed(TEXTS, max_length)
    expected = [reference(tiny_bert, text, max_length) for text in TEXTS]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack([vector for vector, _ in expected]), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert n_tokens == sum(n for _, n in expected)


def test_order_and_other_texts_change_no_embedding(embed):
    alone = np.concatenate([embed([text])[0] for text in TEXTS])
    together, backwards = embed(TEXTS)[0], embed(TEXTS[::-1])[0]
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(backwards[::-1], alone, atol=2e-6)
    assert np.abs(together[0] - together[3]).max() > 0.01
    assert (together[0] == together[7]).all()


def test_a_cut_encoder_embeds_with_the_layers_it_has(embed):
    assert np.abs(embed(TEXTS)[0] - embed(TEXTS, keep_layers=1)[0]).max() > 0.01


def test_measurement_tells_the_fastest_step_and_products_only_when_asked(tiny_bert, tmp_path):
    spec = {"model": asdict(read_model(tiny_bert, "m")), "device": "cpu"}
    plain = measure_speed(spec, JobFolder(tmp_path))
    full = measure_speed({**spec, "with_products": True}, JobFolder(tmp_path))
    assert set(full) - set(plain) == {"matmul_gflops"}
    assert 0 < plain["best_step_s"] <= plain["step_s"] < 5
    assert full["matmul_gflops"] > 0.1


def test_products_count_two_operations_per_entry_and_take_the_fastest(monkeypatch):
    ticks = iter([0.0, 0.0, 0.5, 0.5, 0.75, 0.75, 1.75])  # began; three products of 0.5, 0.25 and 1 s
    monkeypatch.setattr("xautolm.evaluate.measuring.time.perf_counter", lambda: next(ticks, 100.0))
    assert matmul_gflops(torch.device("cpu")) == pytest.approx(2 * 1024**3 / 0.25 / 1e9)
