"""What a kept search depends on, and that it comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.replaying import searches, versions
from benchmarks.replaying.cache import Cache, Search
from benchmarks.replaying.strategies import ENTRIES, OURS, OURS_COLD, RIVAL
from benchmarks.replaying.versions import code_hash, imported, libraries, version_of
from xautolm.records import Cost, Pipeline, TrialError, TrialResult

RESULTS = [
    TrialResult(0, "ok", Pipeline("m", "head", {"c": 1.0}), {"f1": 0.5, "accuracy": 0.6}, Cost(1.25), seed=3),
    TrialResult(1, "oom", Pipeline("m", "full", {}), {}, Cost(4.0), seed=3, error=TrialError("oom_train", "x")),
]


def test_a_search_comes_back_from_its_file_as_it_is_without_one(tmp_path: Path) -> None:
    cache, search = Cache(tmp_path), Search.of(RESULTS, 1.5)
    path = cache.path("trec", "published warm (high)", 3, "abc")

    assert path is not None
    assert path.relative_to(tmp_path).as_posix() == "trec/published-warm-high/3-abc.json"
    assert cache.read(path) is None
    cache.write(path, search)

    assert cache.read(path) == search
    assert [r.status for r in search.results] == ["ok", "oom"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_torn_file_is_searched_again_and_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    path = Cache(tmp_path).path("trec", "random", 0, "abc")
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_text('{"trials": [["ok"', encoding="utf-8")

    assert Cache(tmp_path).read(path) is None
    assert Cache(None).path("trec", "random", 0, "abc") is None


def test_comments_docstrings_and_layout_do_not_change_the_hash_of_code_but_a_constant_does(tmp_path: Path) -> None:
    sources = [
        '"""A."""\n\n\ndef f(x):\n    """B."""\n    return x + 1\n',
        "def f( x ):  # C\n    return x + 1\n",
        "def f(x):\n    return x + 2\n",
    ]
    paths = [tmp_path / f"{i}.py" for i in range(3)]
    for path, source in zip(paths, sources, strict=True):
        path.write_text(source, encoding="utf-8")

    a, b, c = map(code_hash, paths)

    assert a == b != c


def test_imports_are_found_also_inside_functions(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import a.b\nfrom c import d\n\ndef f():\n    from e.f import g\n", encoding="utf-8")

    assert imported(path) == ("a.b", "c", "c.d", "e.f", "e.f.g")


@pytest.mark.parametrize(
    ("module", "changed"),
    [
        ("xautolm.search.ranking", {OURS, OURS_COLD}),
        ("xautolm.prior.guard", {OURS, OURS_COLD}),
        ("xautolm.search.nspe", {RIVAL, OURS, OURS_COLD}),
        ("benchmarks.replaying.surrogate", {"random", "TPE caught", RIVAL, OURS, OURS_COLD}),
        ("xautolm.api", set()),
    ],
)
def test_a_change_of_code_makes_what_depends_on_it_new(
    module: str, changed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("random", "TPE caught", RIVAL, OURS, OURS_COLD)
    before = {name: version_of(ENTRIES[name], "trec") for name in names}
    edited = versions.path_of(module)
    monkeypatch.setattr(versions, "code_hash", lambda path: "edited" if path == edited else code_hash(path))

    after = {name: version_of(ENTRIES[name], "trec") for name in names}

    assert {name for name in names if before[name] != after[name]} == changed


def test_a_new_shard_of_another_task_matters_to_those_who_read_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("TPE caught", RIVAL, OURS_COLD, OURS)
    before = {name: version_of(ENTRIES[name], "trec") for name in names}
    for path in versions.TABLE.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "sst2-008.parquet").write_bytes(b"more")
    monkeypatch.setattr(versions, "TABLE", tmp_path)
    versions.rows_hash.cache_clear()

    after = {name: version_of(ENTRIES[name], "trec") for name in names}
    versions.rows_hash.cache_clear()

    assert {name for name in names if before[name] != after[name]} == {OURS}


def test_versions_name_the_libraries_of_an_opponent() -> None:
    found = libraries(["benchmarks.replaying.opponents"])

    assert "optuna" in found
    assert "torch" not in found


def test_only_missing_searches_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, list[int]]] = []

    def run(unit: searches.Unit) -> list[Search]:
        ran.append((unit.strategy, [seed for seed, _ in unit.seeds]))
        for _, path in unit.seeds:
            Cache(tmp_path).write(path, Search.of(RESULTS, 0.1))
        return [Search.of(RESULTS, 0.1) for _ in unit.seeds]

    monkeypatch.setattr(searches, "search_unit", run)
    found = dict(searches.search_all(["trec"], ["random", "SMAC3"], 7, Cache(tmp_path)))
    again = dict(searches.search_all(["trec"], ["random"], 8, Cache(tmp_path)))

    assert ran == [("random", [*range(7)]), ("SMAC3", [*range(5)]), ("random", [7])]
    assert set(found) == {("trec", "random", i) for i in range(7)} | {("trec", "SMAC3", i) for i in range(5)}
    assert len(again) == 8
