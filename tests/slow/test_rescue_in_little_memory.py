"""A pipeline that does not fit is trained in less memory, scored, and exported with the settings that worked."""

import json
import random
from pathlib import Path

import pytest

from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import Slots
from xautolm.evaluate.isolate import WorkerServer
from xautolm.export import ExportContext, export_trial
from xautolm.records import Pipeline, Trial
from xautolm.space.catalogue import resolve_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
#: The encoder with one layer takes 775 MiB for 64 rows of 256 tokens, 555 MiB for 32, 405 MiB for one (docs/log.md).
NAME, LIMIT_MIB = "all-MiniLM-L6-v2@1", 600.0
PARAMS = {
    "batch_size": 64,
    "epochs": 1,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_ratio": 0.0,
    "dropout": 0.0,
    "max_length": 256,
    "pooling": "mean",
    "train_fraction": 1.0,
    "class_weighting": True,
}


def write_rows(folder: Path) -> None:
    folder.mkdir(parents=True)
    words = ["the", "a", "of", "to", "and", "in", "is", "it", "film", "plot", "actor", "scene", "time", "story"]
    labels = {"kind": "text-classification", "names": ["bad", "good"]}
    for split, n in (("train", 128), ("validation", 32)):
        rng = random.Random(split)
        labels[split] = [i % 2 for i in range(n)]
        texts = [" ".join([("good", "bad")[i % 2], *rng.choices(words, k=230)]) for i in range(n)]
        (folder / f"{split}.json").write_text(json.dumps({"texts": texts, "pairs": None}))
    (folder / "labels.json").write_text(json.dumps(labels))


@pytest.fixture
def backend(tmp_path):
    models, _ = resolve_models([NAME], (), offline=True)
    context = TrialContext(tmp_path, {NAME: models[0]}, 240.0, LIMIT_MIB, data_seed=0)
    write_rows(context.work / "data")
    server = WorkerServer(tmp_path / "server.log")
    yield LocalBackend(server, Slots(("cpu",), 1), context), models[0]
    server.close()


def finish(backend, trial):
    backend.submit(trial)
    done = []
    while not done:
        done = backend.poll(1.0)
    return done[0]


def test_a_trial_too_large_for_its_limit_is_rescued_and_exported_with_what_it_ran(backend, tmp_path):
    backend, model = backend
    asked = Pipeline(NAME, "full", PARAMS)
    result = finish(backend, Trial(0, asked, seed=1))
    log = (tmp_path / "trials" / "0.log").read_text()
    assert result.status == "ok", log[-3000:]
    assert result.requested == asked
    micro = result.pipeline.params["micro_batch_size"]
    assert 64 % micro == 0
    assert micro < 64
    assert result.pipeline.params["batch_size"] == 64
    assert result.cost.peak_mem_mib < LIMIT_MIB
    assert result.curve[-1][0] == 2  # 128 rows in batches of 64, whatever their parts
    assert log.count("starting again") == {32: 1, 16: 2, 8: 3, 4: 4, 2: 5, 1: 6}[micro]

    labels = ("neg", "pos")
    context = ExportContext("run", "reviews", labels, {"text": "text", "target": "label"}, 0)
    export_trial(backend, result, model, context, tmp_path / "model")
    info = json.loads((tmp_path / "model" / "xautolm.json").read_text())
    assert info["pipeline"]["micro_batch_size"] == micro
    assert info["pipeline"]["gradient_accumulation_steps"] == 64 // micro
    assert info["requested"] == asked.to_dict()
    assert f"| micro_batch_size | {micro} |" in (tmp_path / "model" / "README.md").read_text()


def test_a_trial_that_fits_in_no_way_is_out_of_memory(backend):
    backend, _ = backend
    backend._context = TrialContext(backend._context.folder, backend._context.models, 240.0, 60.0, data_seed=0)
    result = finish(backend, Trial(1, Pipeline(NAME, "full", PARAMS), seed=1))
    assert (result.status, result.requested) == ("oom", None)
    assert result.error.kind in {"oom_host", "oom_train"}
