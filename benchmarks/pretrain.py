"""Pretrain the models of the package's zoo: `python -m benchmarks.pretrain causal --minutes 75`, and with `seq2seq`.

Goes on where an earlier call, stopped or killed, left off. When the budget is used up, the model is written as a
folder that plain `transformers` loads, scored as written, and gets its card. Each model takes one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.pretraining.architectures import RECIPES, Kind, Recipe, borrow_embeddings, make_batches, make_model
from benchmarks.pretraining.corpus import (
    ADDRESS,
    DEFAULT_CORPUS,
    WIKITEXT,
    count_bytes,
    paragraphs,
    read_corpus,
    read_text,
)
from benchmarks.pretraining.loop import Budget, Progress, Training, train
from benchmarks.pretraining.objectives import Batches
from benchmarks.pretraining.perplexity import score_continuations, score_questions, score_restored, score_text
from benchmarks.pretraining.wording import N_TOKENS, Ids, encode_documents, train_tokenizer
from benchmarks.pretraining.writing import corpus_facts, write_card, write_model
from xautolm.errors import UsageError, XAutoLMError
from xautolm.interrupts import StopRequest

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

EXIT_INTERRUPTED = 130
WARMUP_STEPS = 100
#: Tokens of the validation text that are scored at every checkpoint.
_GLANCE_TOKENS = 8_192
_N_QUESTIONS = 1000
#: Of each text, for the final figures of the encoder-decoder, which reads them twice.
_N_SEQ2SEQ_TOKENS = 100_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """The corpus as tokens.

    Attributes:
        tokenizer: trained on the training text.
        train: ids.
        validation: ids.
        wikitext: ids of the WikiText-2 test file.
        address: ids of one speech of the validation text.
        n_bytes: of the training text, per part.
        n_wikitext_words: of the WikiText-2 test file, line ends counted as words, as its perplexities are.
    """

    tokenizer: Tokenizer
    train: Ids
    validation: Ids
    wikitext: Ids
    address: Ids
    n_bytes: dict[str, int]
    n_wikitext_words: int


def main(argv: Sequence[str] | None = None, recipes: dict[Kind, Recipe] = RECIPES, n_tokens: int = N_TOKENS) -> int:
    """Run the command line.

    Args:
        argv: arguments, None = those of the process.
        recipes: what is trained; tests give smaller ones.
        n_tokens: size of the vocabulary.

    Returns:
        0 = the model is written, 130 = stopped before its budget was used up; a checkpoint is kept.
    """
    options = _parser().parse_args(argv)
    try:
        with StopRequest(lambda: _say("stopping after this step; the checkpoint is kept")) as stop:
            return _run(options, recipes[options.model], n_tokens, stop.is_requested)
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrain", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=tuple(RECIPES), help="which one")
    parser.add_argument("--minutes", type=float, help="time for training, over all calls")
    parser.add_argument("--steps", type=int, help="updates instead of minutes; repeats a training exactly")
    parser.add_argument("--corpus", type=Path, default=DEFAULT_CORPUS, help="folder (default: %(default)s)")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/pretrain"), help="tokens and checkpoints (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="folder of the model (default: its name in the work folder)")
    parser.add_argument("--rate", type=float, help="highest learning rate (default: the recipe's)")
    parser.add_argument("--embeddings", type=Path, help="folder of a model of the same work folder to take them from")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default: %(default)s)")
    return parser


def _run(options: argparse.Namespace, recipe: Recipe, n_tokens: int, should_stop: Callable[[], bool]) -> int:
    import torch

    budget = _budget(options)
    material = prepare(options.corpus, options.work, n_tokens)
    torch.manual_seed(options.seed)
    model = make_model(recipe.kind, n_tokens)
    if options.embeddings:
        borrow_embeddings(model, options.embeddings)
    checkpoint = options.work / f"{recipe.name}.pt"
    n_params = sum(p.numel() for p in model.parameters())
    _say(f"{recipe.name}: {n_params} parameters, {len(material.train)} tokens of training text")
    training = Training(
        model=model,
        batches=plan_batches(recipe, material, options.seed),
        budget=budget,
        learning_rate=options.rate or recipe.learning_rate,
        warmup_steps=WARMUP_STEPS,
        checkpoint=checkpoint,
        log=_say,
        check=lambda: _glance(model, material, recipe),
        should_stop=should_stop,
    )
    progress = train(training)
    if budget.share_used(progress) < 1.0:
        return EXIT_INTERRUPTED
    _finish(options.out or options.work / recipe.name, model, material, recipe, progress)
    return 0


def plan_batches(recipe: Recipe, material: Material, seed: int) -> dict[float, Batches]:
    """The batches of a training, by the share of the budget they begin at."""
    rows = material.train, material.tokenizer, seed
    plan = {0.0: make_batches(recipe, *rows, are_short=True)} if recipe.short_share else {}
    return plan | {recipe.short_share: make_batches(recipe, *rows)}


def _budget(options: argparse.Namespace) -> Budget:
    given = [value for value in (options.minutes, options.steps) if value is not None]
    if len(given) != 1 or given[0] <= 0:
        raise UsageError("expected either `--minutes` or `--steps`, above 0")
    return Budget(steps=options.steps) if options.steps else Budget(seconds=60 * options.minutes)


def prepare(corpus: Path, work: Path, n_tokens: int) -> Material:
    """Read the corpus and turn it into tokens, once per work folder.

    Raises:
        DataError: the corpus is not there.
    """
    from tokenizers import Tokenizer

    documents = read_corpus(corpus, "train")
    wikitext = read_text(corpus, WIKITEXT)
    work.mkdir(parents=True, exist_ok=True)
    stored = work / "tokenizer.json"
    if stored.is_file():
        tokenizer = Tokenizer.from_file(str(stored))
    else:
        tokenizer = train_tokenizer(paragraphs(documents), n_tokens)
        tokenizer.save(str(stored))
    held_out = read_corpus(corpus, "validation")
    texts = {
        "train": [document.text for document in documents],
        "validation": [document.text for document in held_out],
        "wikitext": [wikitext],
        "address": [document.text for document in held_out if document.name == ADDRESS],
    }
    ids = {name: _stored_ids(work / f"{name}.npy", tokenizer, rows) for name, rows in texts.items()}
    n_words = sum(len(line.split()) + 1 for line in wikitext.splitlines())
    return Material(tokenizer, **ids, n_bytes=count_bytes(documents), n_wikitext_words=n_words)


def _stored_ids(file: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> Ids:
    if not file.is_file():
        np.save(file, encode_documents(tokenizer, texts))
    ids: Ids = np.load(file, allow_pickle=False)
    return ids


def _glance(model: PreTrainedModel, material: Material, recipe: Recipe) -> str:
    """What is said of a model while it trains, on the start of the validation text."""
    model.eval()
    figures = measure(model, material, recipe, {"validation": material.validation[:_GLANCE_TOKENS]}, n_questions=100)
    return "  ".join(["checkpoint:", *(f"{name} {value:.3f}" for name, value in figures.items())])


def measure(
    model: PreTrainedModel, material: Material, recipe: Recipe, texts: Mapping[str, Ids], *, n_questions: int
) -> dict[str, float]:
    """Score a model on text that it has not seen.

    Args:
        model: in evaluation mode.
        material: whose validation text is asked about.
        recipe: of the model.
        texts: ids by name; perplexities get the names, `wikitext` also one per word, if it is whole.
        n_questions: on the validation text.

    Returns:
        Perplexities and shares, by the names that the model cards use.
    """
    figures: dict[str, float] = {}
    for name, ids in texts.items():
        if recipe.kind == "causal":
            found = score_text(model, material.tokenizer, ids, length=recipe.n_input, stride=recipe.n_input // 2)
        else:
            sizes = {"n_input": recipe.n_input, "n_target": recipe.n_target}
            found = score_continuations(model, material.tokenizer, ids, **sizes)
            restored = score_restored(model, material.tokenizer, ids, n_target=recipe.n_target)
            figures[f"{name}_restored_per_token"] = restored.per_token
        figures[f"{name}_per_token"] = found.per_token
        figures[f"{name}_per_byte"] = found.per_byte
        if name == "wikitext" and recipe.kind == "causal" and len(ids) == len(material.wikitext):
            figures["wikitext_per_word"] = float(np.exp(found.nats / material.n_wikitext_words))
    figures["questions_right"] = score_questions(model, material.tokenizer, material.validation, n_questions)
    return figures


def _finish(out: Path, model: PreTrainedModel, material: Material, recipe: Recipe, progress: Progress) -> None:
    n_bytes = write_model(model, material.tokenizer, recipe, out)
    model.eval()
    n_tokens = _N_SEQ2SEQ_TOKENS if recipe.kind == "seq2seq" else None
    texts = {"validation": material.validation, "wikitext": material.wikitext, "address": material.address}
    scored = {name: ids[:n_tokens] for name, ids in texts.items()}
    figures = measure(model, material, recipe, scored, n_questions=_N_QUESTIONS)
    n_params = sum(p.numel() for p in model.parameters())
    write_card(out, recipe, corpus_facts(material.n_bytes, len(material.train), n_params, n_bytes, progress), figures)
    for name, value in figures.items():
        _say(f"{name}: {value:.3f}")
    _say(f"{recipe.name}: {n_bytes} bytes in `{out}`")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
