"""The published experience folder: both generations and the flat form give the same experiences, none twice."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from published_folder import FEATURES, SHARED, files_of, make_row, shared_features, shared_rows, write_published

from xautolm.errors import DataError
from xautolm.experience.importers.evaluation import (
    CLASSIFICATION_FEATURES,
    GENERATION_FEATURES,
    SYSTEM_FEATURES,
    dataset_of,
)
from xautolm.experience.importers.paper import read
from xautolm.experience.importers.paper_rows import read_published_rows
from xautolm.experience.importers.published import ENCODERS, GENERATORS, _class_name, model_of, published_form
from xautolm.experience.importers.published_errors import classify
from xautolm.experience.store import ExperienceStore
from xautolm.metafeatures import PUBLISHED_CLASSIFICATION, PUBLISHED_GENERATION
from xautolm.metafeatures.machine import system_features
from xautolm.prior.blame import blamed
from xautolm.records import Experience
from xautolm.space.figures import figures_of

OOM = (
    "CUDA out of memory. Tried to allocate 200.00 MiB. GPU 0 has a total capacity of 23.64 GiB of which 132.44 MiB is "
    "free. Process 2508565 has 23.51 GiB memory in use."
)


def make_failure(error: str | None = OOM, **changes):
    return make_row(f1=None, evaluation_time=None, accuracy=None, error=error, **changes)


def write_file(folder: Path, row, generation="older", **changes) -> Path:
    """The first file of a row, with some of its content replaced."""
    path, content = next(files_of(row, FEATURES, generation))
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(json.dumps(content | changes))
    return folder / path


def only(imported) -> Experience:
    assert imported.rejected == []
    (experience,) = imported.experiences
    return experience


@pytest.mark.parametrize("generation", ["older", "newer"])
def test_every_published_row_is_imported_as_it_stands(tmp_path, generation) -> None:
    rows, features = shared_rows(), shared_features()
    write_published(rows, features, tmp_path / "store", generation)

    imported = read(str(tmp_path / "store"))

    assert imported.rejected == []
    assert len(imported.experiences) == len(rows) == 300
    by_end = {(e.run_id, e.result.finished_at): e for e in imported.experiences}
    for row in rows:
        experience = by_end[row["alias"], row["file"][:19].replace("/", "T").replace("_", ":") + "+00:00"]
        result = experience.result
        method, model, params = published_form(result.pipeline, experience.kind)
        assert (method, model, params) == (row["method"], row["model"], row["params"])
        assert (result.status == "ok") == (row["f1"] is not None)
        assert (result.status, result.error) == (classify(row["error"]) if row["f1"] is None else ("ok", None))
        if row["f1"] is not None:
            scale = 100 if experience.dataset_id == "squad" else 1
            assert result.scores["f1"] == pytest.approx(row["f1"] / scale, rel=1e-12)
            assert result.cost.time_s == row["evaluation_time"]
        else:
            assert result.scores == {}
        assert experience.dataset_id == row["alias"].partition("_warmstart")[0]


def test_both_generations_and_the_flat_form_agree(tmp_path) -> None:
    rows, features = shared_rows(), shared_features()
    write_published(rows, features, tmp_path / "older", "older")
    write_published(rows, features, tmp_path / "newer", "newer")

    older, newer = read(str(tmp_path / "older")).experiences, read(str(tmp_path / "newer")).experiences
    flat = read_published_rows(str(SHARED)).experiences

    assert {e.result.trial_id: e.result for e in older} == {e.result.trial_id: e.result for e in newer}
    assert [e for e in older if e.kind == "text-classification"] == [e for e in flat if e.kind == "text-classification"]
    assert [e.result for e in older] == [e.result for e in flat]
    assert {len(e.profile.semantic or ()) for e in newer if e.kind == "question-answering"} == {384}


def test_statuses_of_the_published_sample() -> None:
    shared_rows()

    counts = Counter((e.result.status, e.result.error.kind) for e in read(str(SHARED)).experiences if e.result.error)

    assert counts == {
        ("crashed", "unknown"): 84,
        ("oom", "oom_train"): 29,
        ("timeout", "time_limit"): 29,
        ("unavailable", "load"): 11,
        ("crashed", "bug"): 6,
        ("oom", "oom_host"): 3,
        ("invalid", "unsupported"): 3,
        ("crashed", "killed"): 1,
    }


@pytest.mark.parametrize("generation", ["older", "newer"])
def test_a_second_import_adds_nothing(tmp_path, own_store, generation) -> None:
    rows = [make_row(), make_failure(file="2024-11-02/12_00_00-aaaaaaaa"), make_row(alias="liar_warmstart (f-pos)")]
    write_published(rows, FEATURES, tmp_path / "store", generation)
    with ExperienceStore(own_store) as store:
        assert store.add(read(str(tmp_path / "store")).experiences) == 3
        assert store.add(read(str(tmp_path / "store")).experiences) == 0
        assert store.count() == 3


def test_a_larger_part_of_the_same_folder_adds_the_rest(tmp_path, own_store) -> None:
    later = make_row(file="2024-11-03/09_00_00-bbbbbbbb", f1=0.5)
    write_published([later, make_failure()], FEATURES, tmp_path / "store", "older")
    with ExperienceStore(own_store) as store:
        assert store.add(read(str(tmp_path / "store")).experiences) == 2
        earlier = make_row(file="2024-11-01/09_00_00-cccccccc", f1=0.4)
        write_published([earlier], FEATURES, tmp_path / "store", "older")

        assert store.add(read(str(tmp_path / "store")).experiences) == 1


def test_what_is_stored_comes_back_equal(tmp_path, own_store) -> None:
    write_published([make_row(), make_failure(alias="liar_knn25")], FEATURES, tmp_path / "store", "older")
    imported = read(str(tmp_path / "store")).experiences
    with ExperienceStore(own_store) as store:
        store.add(imported)
        loaded = store.load(kind=None)

    assert [e.result for e in loaded] == [e.result for e in imported]
    assert [e.profile for e in loaded] == [e.profile for e in imported]


def test_the_facts_of_an_experience(tmp_path) -> None:
    write_published([make_row(alias="liar_warmstart (f-pos f-neg)[F1+Time] (seed_42)")], FEATURES, tmp_path, "older")

    experience = only(read(str(tmp_path)))

    assert experience.dataset_id == "liar"
    assert experience.run_id == "liar_warmstart (f-pos f-neg)[F1+Time] (seed_42)"
    assert (experience.kind, experience.source) == ("text-classification", "import")
    assert experience.result.pipeline.to_dict() == {
        "model": "bert-base-cased",
        "method": "partial",
        "epochs": 3,
        "dropout": 0.2,
        "n_layers": 2,
        "weight_decay": 0,
        "num_workers": "3/4",
    }
    assert experience.result.scores == {"f1": 0.25, "accuracy": 0.3}
    assert experience.result.cost.time_s == 120.5
    assert experience.result.started_at == "2024-11-02T11:18:21.500000+00:00"
    assert experience.profile.task["tree_landmark"] == 0.22
    assert experience.time_limit_s == 5400
    assert len(experience.fingerprint) == 64


def test_equal_names_have_equal_fingerprints_and_no_others(tmp_path) -> None:
    rows = [make_row(), make_row(alias="liar_knn50", file="2024-11-02/11_20_23-a"), make_row(alias="other")]
    write_published(rows, FEATURES | {"other": FEATURES["liar"]}, tmp_path, "older")

    prints = {e.run_id: e.fingerprint for e in read(str(tmp_path)).experiences}

    assert prints["liar"] == prints["liar_knn50"] != prints["other"]


def test_squad_is_scaled_and_keeps_its_parts(tmp_path) -> None:
    row = make_row(
        alias="squad",
        file="2025-05-14/06_20_16-577a1fe5",
        method="LoraGenLLMTask",
        model="TEXT_GEN_Gpt2",
        params={"lora_r": 4, "lora_alpha": 8},
        f1=8.5,
        evaluation_time=6000.0,
        accuracy=None,
        exact_match=3.0,
        time_train_mean_seconds=5600.0,
        time_valid_mean_seconds=400.0,
    )
    write_published([row], FEATURES, tmp_path, "newer")

    experience = only(read(str(tmp_path)))

    assert experience.kind == "question-answering"
    assert experience.profile.schema == "generation/1"
    assert experience.result.scores == {"f1": 0.085, "token_f1": 0.085, "exact_match": 0.03}
    cost = experience.result.cost
    assert (cost.time_s, cost.train_s, cost.predict_s) == (6000.0, 5600.0, 400.0)
    # Published evaluations took longer than the stated limit, and no text tells the card.
    assert (experience.time_limit_s, experience.memory_limit_mib) == (None, None)


def test_the_memory_of_the_card_comes_from_a_failure_on_the_same_machine(tmp_path) -> None:
    features = {"liar": FEATURES["liar"] | {"system_features": [64.0, 128.0, 3.5, 500.1, 0.0]}}
    write_published([make_row(), make_failure(file="2024-11-02/13_00_00-a")], features, tmp_path / "told", "older")
    write_published([make_row()], features, tmp_path / "untold", "older")

    told, untold = read(str(tmp_path / "told")).experiences[0], only(read(str(tmp_path / "untold")))

    assert told.memory_limit_mib == 24207
    assert told.profile.system["gpu_memory_gib"] == 23.64
    assert untold.memory_limit_mib is None
    assert "gpu_memory_gib" not in untold.profile.system  # the stored 0 is false


def test_a_part_of_the_release_gives_the_same_experiences_as_the_whole(tmp_path) -> None:
    write_published([make_row()], FEATURES, tmp_path, "older")
    part = only(read(str(tmp_path)))
    write_published([make_failure(file="2024-11-02/13_00_00-a")], FEATURES, tmp_path, "older")

    assert read(str(tmp_path)).experiences[0] == part


def test_a_failure_is_one_experience_with_its_text(tmp_path) -> None:
    write_published([make_failure()], FEATURES, tmp_path, "older")
    assert len(list(tmp_path.rglob("*.json"))) == 2

    result = only(read(str(tmp_path))).result

    assert (result.status, result.scores) == ("oom", {})
    assert result.finished_at.startswith("2024-11-02T11:20:22")


def test_failures_that_are_no_pair_stay_apart(tmp_path) -> None:
    other_pipeline = make_failure(file="2024-11-02/11_20_23-a", params={"epochs": 4})
    later = make_failure(file="2024-11-02/11_20_29-a")
    write_published([make_failure(), other_pipeline, later], FEATURES, tmp_path, "older")

    assert len(read(str(tmp_path)).experiences) == 3


def test_a_failure_that_was_stored_once_counts_once(tmp_path) -> None:
    write_file(tmp_path, make_failure())

    assert only(read(str(tmp_path))).result.status == "oom"


def test_two_evaluations_of_one_second_get_numbers_of_their_own(tmp_path) -> None:
    rows = [make_row(file="2024-11-02/11_20_22-a"), make_row(file="2024-11-02/11_20_22-b", f1=0.5)]
    write_published(rows, FEATURES, tmp_path, "older")

    first, second = read(str(tmp_path)).experiences

    assert second.result.trial_id == first.result.trial_id + 1


@pytest.mark.parametrize(
    ("text", "status", "kind", "teaches"),
    [
        (OOM, "oom", "oom_train", True),
        ("Exceeded allowed time for execution. The process was terminated after 5400.0 seconds.", "timeout",
         "time_limit", True),
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory", "oom", "oom_host", True),
        ("DataLoader worker (pid 4) is killed by signal: Bus error.", "crashed", "killed", False),
        ("Can't load tokenizer for 'mistralai/Mistral-7B-v0.1'.", "unavailable", "load", False),
        ("Unable to load weights from pytorch checkpoint file for '/home/a'", "unavailable", "load", False),
        ("Unrecognized configuration class <class 'Phi3Config'> for this kind of AutoModel", "invalid",
         "unsupported", False),
        ("unscale_() has already been called on this optimizer", "crashed", "bug", False),
        ("'int' object has no attribute 'type'", "crashed", "bug", False),
        ("`loftq_config` must be specified", "crashed", "bug", False),
        ("mat1 and mat2 shapes cannot be multiplied (256x1024 and 3072x32)", "crashed", "bug", False),
        ("something else", "crashed", "other", False),
        ("  ", "crashed", "unknown", False),
    ],
)  # fmt: skip
def test_what_failures_teach(text, status, kind, teaches, tmp_path) -> None:
    write_published([make_failure(text)], FEATURES, tmp_path, "older")

    result = only(read(str(tmp_path))).result

    assert (result.status, result.error.kind) == (status, kind)
    assert bool(blamed(result)) == teaches


def test_the_time_of_a_timeout_is_its_limit_and_of_other_failures_unknown(tmp_path) -> None:
    late = make_failure("The process was terminated after 5400.0 seconds. Exceeded allowed time")
    write_published([late, make_failure(file="2024-11-02/13_00_00-a")], FEATURES, tmp_path, "older")

    timeout, oom = read(str(tmp_path)).experiences

    assert (timeout.result.cost.time_s, oom.result.cost.time_s) == (5400, 0)


def test_no_text_of_a_user_gets_in(tmp_path, own_store) -> None:
    marker = "Dear Anna, my diagnosis is bad"
    failure = make_failure(f"ValueError: could not convert {marker}", params={"prompt": marker, "stop": [marker, 3]})
    write_published([failure], FEATURES, tmp_path / "store", "older")
    with ExperienceStore(own_store) as store:
        store.add([only(read(str(tmp_path / "store")))])

    content = Path(own_store.removeprefix("sqlite:///")).read_bytes()
    assert b"could not convert" in content
    assert b"Anna" not in content
    assert b"diagnosis" not in content


def test_unknown_models_and_hyperparameters_are_kept(tmp_path) -> None:
    row = make_row(model="WORD_EMB_Acme_New_1B", params={"sam_rho": 0.05, "layers": [1, 2], "unset": None})
    write_published([row], FEATURES, tmp_path, "older")

    pipeline = only(read(str(tmp_path))).result.pipeline

    assert pipeline.to_dict() == {
        "model": "WORD_EMB_Acme_New_1B", "method": "partial", "sam_rho": 0.05, "layers": "1,2"
    }  # fmt: skip


def test_class_names_of_models_can_be_undone() -> None:
    names = {_class_name("WORD_EMB_", model) for model in ENCODERS} | {_class_name("TEXT_GEN_", m) for m in GENERATORS}

    assert len(names) == len(ENCODERS) + len(GENERATORS)
    assert {model_of(name) for name in names} == {*ENCODERS, *GENERATORS}


def test_the_catalogue_knows_the_size_of_every_published_model() -> None:
    assert [model for model in (*ENCODERS, *GENERATORS) if figures_of(model) is None] == []


def test_every_model_of_the_published_sample_is_known() -> None:
    unknown = {row["model"] for row in shared_rows() if model_of(row["model"]) == row["model"]}

    assert unknown == set()


def test_features_have_the_names_of_this_release() -> None:
    assert PUBLISHED_CLASSIFICATION == CLASSIFICATION_FEATURES
    assert PUBLISHED_GENERATION == GENERATION_FEATURES
    assert tuple(system_features())[:5] == SYSTEM_FEATURES


@pytest.mark.parametrize(
    ("alias", "dataset"),
    [
        ("liar", "liar"),
        ("ag_news", "ag_news"),
        ("ag_news_warmstart (no-pos a-neg euc k=0.5 linear_front)[F1+Time][linear_front] (seed_42)", "ag_news"),
        ("squad_warmstart (a-pos no-neg)[weighted_sum]", "squad"),
        ("sst2_knn25", "sst2"),
        ("(odd)", "(odd)"),
    ],
)
def test_the_data_set_of_an_alias(alias, dataset) -> None:
    assert dataset_of(alias) == dataset


BAD_FILES = {
    "two algorithms": ({"algorithms": [{}, {}]}, "one algorithm"),
    "no algorithms": ({"algorithms": None}, "one algorithm"),
    "an unknown method": ({"algorithms": [{"Carp": {}}]}, "nine published"),
    "no model": ({"algorithms": [{"LoraGenLLMTask": {"epochs": {"value": 1}}}]}, "model class"),
    "a bare parameter": ({"algorithms": [{"LoraGenLLMTask": {"epochs": 1}}]}, "`value`"),
    "a short vector": ({"dataset_features": [1.0]}, "list of 10 numbers, got 1 values"),
    "a vector of text": ({"dataset_features": ["a"] * 10}, "must be a number"),
    "NaN in a vector": ({"dataset_features": [float("nan")] * 10}, "finite number"),
    "no features": ({"dataset_features": None}, "list of 10 numbers"),
    "no machine": ({"system_features": None}, "`system_features`"),
    "a negative machine": ({"system_features": [-1, 1, 1, 1, 0]}, "from 0 to"),
    "F1 above 1": ({"f1": 25.0}, "from 0 to 1"),
    "F1 NaN": ({"f1": float("nan")}, "NaN"),
    "F1 without time": ({"evaluation_time": None}, "must both be there"),
    "time without F1": ({"f1": None}, "must both be there"),
    "a negative time": ({"evaluation_time": -1.0}, "from 0 to"),
    "scores and an error": ({"error": "boom"}, "no error text"),
    "an error that is no text": ({"error": 3}, "text or null"),
    "an alias that is no name": ({"alias": 3}, "`alias`"),
    "an alias of two lines": ({"alias": "a\nb"}, "printable"),
    "an alias too long": ({"alias": "a" * 300}, "200 characters"),
    "a lone surrogate": ({"alias": "a\ud800"}, "printable"),
    "metrics that are no list": ({"metrics": 3}, "list of metrics"),
    "a metric twice": ({"metrics": [{"name": "f1", "value": 1}] * 2}, "name of its own"),
    "a metric without name": ({"metrics": [{"value": 1}]}, "name of its own"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_used_is_reported_and_the_others_go_in(case, tmp_path) -> None:
    changes, reason = BAD_FILES[case]
    bad = write_file(tmp_path, make_row(file="2024-11-02/10_00_00-bad"), **changes)
    write_file(tmp_path, make_row())

    imported = read(str(tmp_path))

    assert len(imported.experiences) == 1
    (rejected,) = imported.rejected
    assert rejected.where == bad.relative_to(tmp_path).as_posix()
    assert reason in rejected.reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("model", "x", "plain name"),
        ("a b", 1, "plain name"),
        ("epochs", float("inf"), "finite"),
        ("epochs", 10**30, "2^53"),
        ("epochs", {"a": {}, "b": {}}, "one model"),
        ("dropout", 0.2, "stand once"),
        ("epochs", [[1]], "a number, a word"),
    ],
)
def test_a_hyperparameter_that_cannot_be_kept_rejects_its_file(name, value, reason, tmp_path) -> None:
    write_file(tmp_path, make_row(params={"dropout_rate": 0.1, name: value}))

    imported = read(str(tmp_path))

    assert imported.experiences == []
    assert reason in imported.rejected[0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b'{"alias": "liar", "algo', "damaged"),
        (b"[1]", "JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": "\xff\xfe"}', "UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "larger"),
    ],
    ids=["empty", "truncated", "a list", "deep", "twice", "not utf-8", "a huge integer", "a huge text"],
)
def test_a_damaged_file_is_reported(content, reason, tmp_path) -> None:
    path = write_file(tmp_path, make_row())
    path.write_bytes(content)

    imported = read(str(tmp_path))

    assert imported.experiences == []
    assert reason in imported.rejected[0].reason


def test_links_in_circles_pipes_and_folders_named_like_files_do_no_harm(tmp_path) -> None:
    day = write_file(tmp_path, make_row()).parent
    (day / "loop").symlink_to(tmp_path)
    (day / "circle.json").symlink_to(day / "circle.json")
    os.mkfifo(day / "pipe.json")
    (day / "folder.json").mkdir()

    imported = read(str(tmp_path))

    assert len(imported.experiences) == 1
    assert {r.where.rpartition("/")[2] for r in imported.rejected} == {"loop", "circle.json", "pipe.json"}


def test_one_alias_or_one_day_can_be_named(tmp_path) -> None:
    day = write_file(tmp_path, make_row()).parent

    assert read(str(day)).experiences == read(str(day.parent)).experiences == read(str(tmp_path)).experiences


@pytest.mark.parametrize("what", ["missing", "a file", "empty"])
def test_a_source_that_is_no_published_folder_is_one_error(what, tmp_path) -> None:
    source = tmp_path / "source"
    if what == "a file":
        source.write_text("{}")
    elif what == "empty":
        source.mkdir()

    with pytest.raises(DataError, match="Expected"):
        read(str(source))
