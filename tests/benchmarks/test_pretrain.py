"""Pretraining: what is learned from, what is asked, and that a training that stops goes on as if it had not."""

from __future__ import annotations

import doctest
import gzip
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pretrain
from benchmarks.pretraining import architectures, corpus, loop, objectives, perplexity, questions
from benchmarks.pretraining.architectures import RECIPES, borrow_embeddings, make_batches, make_model
from benchmarks.pretraining.corpus import ADDRESS, read_corpus
from benchmarks.pretraining.loop import Budget, Training, scale, train
from benchmarks.pretraining.objectives import (
    IGNORED,
    NOISE_SHARE,
    CausalBatches,
    Seq2SeqBatches,
    Windows,
    continuation_row,
    remove_spans,
)
from benchmarks.pretraining.perplexity import score_continuations, score_questions, score_restored, score_text
from benchmarks.pretraining.questions import ask
from benchmarks.pretraining.wording import (
    END_ID,
    FIRST_SENTINEL_ID,
    PAD_ID,
    SENTINELS,
    encode_documents,
    train_tokenizer,
    write_tokenizer,
)
from xautolm.errors import DataError, UsageError

N_TOKENS = 400
#: Enough for every part to have a few windows.
SENTENCES = [
    f"In the year {1800 + i} the {colour} horse of {name} ran to {place}, and nobody who saw it could say why it had."
    for i, (colour, name, place) in enumerate(
        (colour, name, place)
        for colour in ("black", "white", "grey")
        for name in ("Anna", "Tom", "Mrs. Hale", "Peter Grimes")
        for place in ("London", "the sea", "Bath", "York")
    )
]
TEXT = " ".join(SENTENCES)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SENTENCES, N_TOKENS)


@pytest.fixture(scope="module")
def ids(tokenizer):
    return encode_documents(tokenizer, [TEXT, TEXT])


@pytest.mark.parametrize("module", [architectures, corpus, loop, objectives, perplexity, questions])
def test_examples_in_docstrings_are_true(module):
    result = doctest.testmod(module)

    assert result.attempted > 0
    assert result.failed == 0


def tiny(kind):
    """The recipe with short rows."""
    return replace(RECIPES[kind], n_input=48, n_target=16 if kind == "seq2seq" else 0, n_rows=2)


def write_corpus(folder: Path) -> Path:
    folder.mkdir()
    contents = {
        "train": ["novel:Hardy_Jude_1895", "novel:Forster_View_1908", "pros_cons:IntegratedPros", "masc:jokes1"],
        "validation": ["masc:jokes2", ADDRESS],
    }
    (folder / "contents.json").write_text(json.dumps(contents))
    texts = {
        "train": "\n\n".join([TEXT, "A view of Florence.", "good price", "\n".join(SENTENCES)]),
        "validation": "\n\n".join([TEXT, TEXT]),
        "wikitext2_test": "\n = Horse = \n\n The horse ran to <unk> . \n" * 30,
    }
    for name, text in texts.items():
        with gzip.open(folder / f"{name}.txt.gz", "wt", encoding="utf-8") as file:
            file.write(text)
    return folder


def test_protected_novels_and_the_texts_of_the_demo_are_not_learned_from(tmp_path):
    documents = read_corpus(write_corpus(tmp_path / "corpus"), "train")

    assert [document.name for document in documents] == ["novel:Hardy_Jude_1895", "masc:jokes1"]
    assert documents[1].text.splitlines() == SENTENCES


def test_a_corpus_that_is_not_there_or_does_not_match_its_contents_is_said(tmp_path):
    with pytest.raises(DataError, match=r"`--corpus`"):
        read_corpus(tmp_path, "train")
    folder = write_corpus(tmp_path / "corpus")
    (folder / "contents.json").write_text(json.dumps({"train": ["masc:a"], "validation": []}))
    with pytest.raises(DataError, match="expected 1 documents in"):
        read_corpus(folder, "train")


def test_a_word_is_the_same_token_at_the_start_of_an_answer_as_in_a_passage(tokenizer):
    answer = tokenizer.encode("London", add_special_tokens=False).ids
    passage = tokenizer.encode("ran to London", add_special_tokens=False).ids

    assert passage[-len(answer) :] == answer


def test_every_text_can_be_written_and_read_back(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    write_tokenizer(tokenizer, tmp_path, max_length=512, ends=True)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "Zoë ran 3\u202f% \N{GRINNING FACE} far"
    encoded = loaded([text, "x"], padding=True)

    assert loaded.batch_decode(encoded["input_ids"], skip_special_tokens=True)[0] == f" {text}"
    assert (loaded.pad_token_id, loaded.eos_token_id, loaded.model_max_length) == (PAD_ID, END_ID, 512)
    assert encoded["input_ids"][1][2:4] == [END_ID, PAD_ID]
    assert loaded.convert_tokens_to_ids(SENTINELS[0]) == FIRST_SENTINEL_ID


def test_windows_of_an_epoch_cover_the_text_once_and_the_next_epoch_is_another_order():
    windows = Windows(np.arange(1005, dtype=np.uint16), 10, seed=0)
    first = [windows.window(i) for i in range(windows.n_windows)]
    second = [windows.window(windows.n_windows + i) for i in range(windows.n_windows)]

    covered = np.sort(np.concatenate(first))
    assert (np.diff(covered) == 1).all()
    assert len(covered) == windows.n_windows * 10 >= 980
    assert [w.tolist() for w in first] != [w.tolist() for w in second]


def test_a_text_without_spans_is_to_be_written_out_in_full():
    rng = np.random.default_rng(0)
    window = np.arange(100, 220)
    source, target = remove_spans(window, rng)
    marks = [token for token in source.tolist() if token < 100 and token != END_ID]
    kept = [token for token in source.tolist() if token >= 100]

    assert target.tolist() == [*window.tolist(), END_ID]
    assert source[-1] == END_ID
    assert len(kept) == len(window) - round(NOISE_SHARE * len(window))
    assert kept == sorted(kept)
    assert marks == list(range(FIRST_SENTINEL_ID, FIRST_SENTINEL_ID + round(NOISE_SHARE * len(window) / 3)))
    # A mark stands for the tokens that are missing between its neighbours.
    gaps = [b - a - 1 for a, b in itertools.pairwise(kept) if b - a > 1]
    assert len(gaps) in {len(marks), len(marks) - 1}


def test_a_continuation_begins_where_its_input_stops():
    source, target = continuation_row(np.arange(100, 200), 20, 16)

    assert source.tolist() == [*range(100, 120), END_ID]
    assert target.tolist() == list(range(120, 136))


def test_answers_stand_in_their_passage_and_not_in_their_question():
    for seed in range(200):
        question = ask(TEXT[seed : seed + 400], np.random.default_rng(seed))
        passage, asked = question.prompt.removeprefix("Context: ").split("\nQuestion: ")
        assert question.answer in passage
        assert asked.endswith("?\nAnswer:")
        assert "what" in asked.split("?")[0].split()
        assert 1 <= len(question.answer.split()) <= 6


def test_names_and_numbers_are_asked_for_more_than_other_words():
    answers = [ask(TEXT[:600], np.random.default_rng(seed)).answer for seed in range(300)]

    assert np.mean([answer[0].isupper() or answer[0].isdigit() for answer in answers]) > 0.6


def test_a_passage_of_few_words_is_not_asked_about():
    assert ask("Nobody knew.", np.random.default_rng(0)) is None


def test_a_share_of_causal_windows_are_questions_and_all_have_the_length(ids, tokenizer):
    batches = CausalBatches(Windows(np.concatenate([ids] * 3), 512, 0), tokenizer, 4, question_share=0.5)
    rows = np.concatenate([batches.batch(i)["input_ids"] for i in range(20)])
    are_questions = ["\nAnswer:" in tokenizer.decode(row.tolist()) for row in rows]

    assert rows.shape == (80, 512)
    assert 0.3 < np.mean(are_questions) < 0.7


def test_rows_of_the_encoder_decoder_are_a_mixture_within_its_lengths(ids, tokenizer):
    batches = Seq2SeqBatches(Windows(ids, 383, 0), tokenizer, 8, 256, 128, 0.3, 0.3)
    kinds = {"question": 0, "spans": 0, "continuation": 0}
    for i in range(20):
        batch = batches.batch(i)
        assert batch["input_ids"].shape[1] <= 256
        assert batch["labels"].shape[1] <= 128
        for source, target in zip(batch["input_ids"], batch["labels"], strict=True):
            if FIRST_SENTINEL_ID in source:
                kinds["spans"] += 1
            elif END_ID in target[target != IGNORED][-1:]:
                kinds["question"] += 1
            else:
                kinds["continuation"] += 1

    assert min(kinds.values()) > 16


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_batch_depends_on_seed_and_number_alone(kind, ids, tokenizer):
    first, second = (make_batches(tiny(kind), ids, tokenizer, seed=3) for _ in range(2))
    first.batch(0)

    for name, values in first.batch(7).items():
        assert (values == second.batch(7)[name]).all()
    assert (
        first.batch(7)["labels"].tolist()
        != make_batches(tiny(kind), ids, tokenizer, seed=4).batch(7)["labels"].tolist()
    )


def test_a_decoder_only_model_first_sees_short_windows_then_long_ones(ids, tokenizer):
    from benchmarks.pretrain import Material, plan_batches

    recipe = replace(tiny("causal"), short_share=0.5)
    plan = plan_batches(recipe, Material(tokenizer, ids, ids, ids, ids, {}, 0), seed=0)
    training = replace(make_training("causal", ids, tokenizer, Path("unused"), 4), batches=plan)

    assert [training.batches_at(share).batch(0)["input_ids"].shape for share in (0.0, 0.49, 0.5, 0.99)] == [
        (4, 24),
        (4, 24),
        (2, 48),
        (2, 48),
    ]
    assert {batches.n_tokens for batches in plan.values()} == {96}


def test_the_rate_rises_then_falls_to_zero_with_the_budget():
    assert scale(0.0, 0, 100) == pytest.approx(0.01)
    assert scale(0.1, 500, 100) > scale(0.5, 2500, 100) > scale(0.9, 4500, 100)
    assert scale(1.0, 5000, 100) == pytest.approx(0.0)


def make_training(kind, ids, tokenizer, folder, n_steps, calls_before_stop=10**6):
    import torch

    torch.manual_seed(0)
    asked = iter(range(10**6))
    return Training(
        model=make_model(kind, N_TOKENS),
        batches={0.0: make_batches(tiny(kind), ids, tokenizer, seed=0)},
        budget=Budget(steps=n_steps),
        learning_rate=3e-3,
        warmup_steps=2,
        checkpoint=folder / "model.pt",
        log=lambda line: None,
        check=lambda: "",
        should_stop=lambda: next(asked) >= calls_before_stop,
    )


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped(kind, ids, tokenizer, tmp_path):
    import torch

    whole = make_training(kind, ids, tokenizer, tmp_path / "whole", 4)
    assert train(whole).step == 4
    first = make_training(kind, ids, tokenizer, tmp_path / "parts", 4, calls_before_stop=2)
    assert train(first).step == 2
    second = make_training(kind, ids, tokenizer, tmp_path / "parts", 4)
    assert train(second).step == 4

    for name, values in whole.model.state_dict().items():
        assert torch.equal(values, second.model.state_dict()[name]), name


def test_a_random_model_is_as_good_as_guessing_and_bytes_are_counted(ids, tokenizer):
    model = make_model("causal", N_TOKENS).eval()
    found = score_text(model, tokenizer, ids, length=64, stride=32)

    assert found.n_tokens == len(ids) - 1
    # Each text begins with a space that the tokenizer adds; the first token, that space and "In", is not scored.
    assert found.n_bytes == 2 * (len(TEXT.encode()) + 1) - len(tokenizer.decode([int(ids[0])]))
    assert found.per_token == pytest.approx(N_TOKENS, rel=0.3)


def test_windows_that_overlap_score_each_token_once(ids, tokenizer):
    """With one window for all, and with many, the same tokens are scored; what a token may look back on differs."""
    model = make_model("causal", N_TOKENS).eval()
    whole = score_text(model, tokenizer, ids[:100], length=100, stride=100)
    parts = score_text(model, tokenizer, ids[:100], length=64, stride=16)

    assert (whole.n_tokens, whole.n_bytes) == (parts.n_tokens, parts.n_bytes)
    assert parts.nats == pytest.approx(whole.nats, rel=0.05)


def test_an_encoder_decoder_is_scored_on_spans_continuations_and_questions(ids, tokenizer):
    model = make_model("seq2seq", N_TOKENS).eval()
    continued = score_continuations(model, tokenizer, ids, n_input=48, n_target=16)

    assert continued.n_tokens == 16 * (len(ids) // 63)
    assert continued.n_bytes > continued.n_tokens
    assert score_restored(model, tokenizer, ids, n_target=16).per_token > 50
    assert score_questions(model, tokenizer, np.concatenate([ids] * 3), 5) == 0.0


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_the_command_writes_a_model_that_transformers_loads_with_its_card(kind, tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    texts = write_corpus(tmp_path / "corpus")
    out = tmp_path / "model"
    arguments = [kind, "--steps", "2", "--corpus", str(texts), "--work", str(tmp_path / "work"), "--out", str(out)]
    code = pretrain.main(arguments, recipes={kind: tiny(kind)}, n_tokens=N_TOKENS)

    assert code == 0, capsys.readouterr().err
    figures = json.loads((out / "figures.json").read_text())
    card = (out / "README.md").read_text()
    assert f"{figures['validation_per_token']:.0f}" in card
    assert "$" not in card.replace("$ OMP_NUM_THREADS", "")
    loader = AutoModelForCausalLM if kind == "causal" else AutoModelForSeq2SeqLM
    model, loaded = loader.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert next(model.parameters()).dtype.itemsize == 2
    assert model.generate(**loaded("The horse", return_tensors="pt"), max_new_tokens=3).shape[1] > 1
    assert {path.suffix for path in out.iterdir()} == {".json", ".safetensors", ".md"}


@pytest.mark.parametrize("budget", [[], ["--minutes", "1", "--steps", "1"], ["--minutes", "0"]])
def test_a_budget_is_minutes_or_steps(budget, tmp_path, capsys):
    code = pretrain.main(["causal", *budget, "--work", str(tmp_path)])

    assert code == UsageError.exit_code
    assert "`--minutes` or `--steps`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_embeddings_are_taken_from_a_model_of_the_same_shape_only(tmp_path):
    causal, seq2seq = make_model("causal", N_TOKENS), make_model("seq2seq", N_TOKENS)
    causal.save_pretrained(tmp_path)
    borrow_embeddings(seq2seq, tmp_path)

    assert (seq2seq.shared.weight == causal.model.embed_tokens.weight).all()
    assert (seq2seq.lm_head.weight == causal.model.embed_tokens.weight).all()
    with pytest.raises(UsageError, match=r"shape \(300, 192\)"):
        borrow_embeddings(make_model("seq2seq", 300), tmp_path)


def test_the_encoder_decoder_starts_with_a_sense_of_near_and_far():
    """A head that looks back prefers the token before to a far one and to the next; its neighbour looks ahead."""
    model = make_model("seq2seq", N_TOKENS)
    for stack in (model.encoder, model.decoder):
        attention = stack.block[0].layer[0].SelfAttention
        bias = attention.compute_bias(40, 40)[0].detach()
        assert bias[4, 20, 19] > bias[4, 20, 10]
        if stack is model.encoder:
            assert bias[4, 20, 19] > bias[4, 20, 21]
            assert bias[5, 20, 21] > bias[5, 20, 19]


def test_the_encoder_decoder_starts_with_heads_for_neighbours():
    model = make_model("seq2seq", N_TOKENS)
    looks = {model.encoder: {0: 21, 1: 21, 2: 19}, model.decoder: {0: 19}}
    for stack, neighbours in looks.items():
        bias = stack.block[0].layer[0].SelfAttention.compute_bias(40, 40)[0].detach()
        assert {head: int(bias[head, 20].argmax()) for head in neighbours} == neighbours
        assert all((bias[head, 20] == bias[head, 20].max()).sum() == 1 for head in neighbours)


def test_the_encoder_decoder_starts_by_looking_where_its_last_token_stands():
    import torch

    torch.manual_seed(0)
    model = make_model("seq2seq", N_TOKENS).eval()
    model.set_attn_implementation("eager")
    source = torch.arange(50, 82)[None]
    with torch.inference_mode():
        outputs = model(input_ids=source, decoder_input_ids=source, output_attentions=True)

    for layer in outputs.cross_attentions:
        found = (layer[0].mean(0).argmax(-1) == torch.arange(32)).float().mean()
        assert found > 0.3  # chance: one in 32
