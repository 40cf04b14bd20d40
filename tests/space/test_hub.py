import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
from model_folders import MakeModel

from xautolm.space import hub
from xautolm.space.build import space_from_dict, space_to_dict
from xautolm.space.catalogue import EMBEDDED_MODELS, is_hub_reachable, resolve_models
from xautolm.space.hub import HubError, HubSilentError, ask_about, download_model
from xautolm.space.params import MethodSpace, Space


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", *proxies):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def answer() -> Iterator[tuple[str, dict[str, int]]]:
    """A hub on this machine whose status code the test chooses."""
    settings = {"code": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(settings["code"])
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"<html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", settings
    server.shutdown()
    server.server_close()


@pytest.mark.enable_socket
@pytest.mark.parametrize(("code", "expected"), [(200, True), (404, True), (403, False), (407, False), (503, False)])
def test_reachable_means_that_the_hub_itself_answers(
    answer: tuple[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch, code: int, expected: bool
) -> None:
    endpoint, settings = answer
    settings["code"] = code
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert is_hub_reachable() is expected


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_variables_answer_without_a_probe(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    def probe(url: str, timeout_s: float) -> bool:
        raise AssertionError

    monkeypatch.setattr(hub, "_answers", probe)
    monkeypatch.setenv(variable, "1")
    assert is_hub_reachable() is False


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "ftp://x", "http://[broken", "file:///etc/passwd"])
def test_probe_never_raises(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert is_hub_reachable() is False


def test_probe_gives_up_in_time_even_when_name_resolution_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(url: str, timeout_s: float) -> bool:
        time.sleep(1.5)
        return True

    monkeypatch.setattr(hub, "_answers", hang)
    started = time.monotonic()
    assert is_hub_reachable(timeout_s=0.1) is False
    assert time.monotonic() - started < 1


def test_model_absent_from_the_cache_is_a_hub_error_when_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HubError, match="nor in the local hub cache"):
        download_model("org/no-such-model", offline=True)


RECORDS: dict[str, object] = {
    "meta-llama/Llama-3.1-70B": {"id": "meta-llama/Llama-3.1-70B"},
    "acme/huge": {"safetensors": {"parameters": {"BF16": 30 * 10**9}, "total": 30 * 10**9}},
    "acme/small": {"safetensors": {"parameters": {"F32": 10**6}, "total": 10**6}},
}


class FakeHub:
    """Answers that it is there, notes what it is asked besides, and never answers that, but for the models it knows.

    Args:
        known: the hub's record of models by id.
    """

    def __init__(self, known: dict[str, object]) -> None:
        asked: list[str] = []
        self.asked, self.done = asked, threading.Event()
        done = self.done

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                asked.append(self.path)
                record = known.get(self.path.removeprefix("/api/models/"))
                if record is None:
                    done.wait(20)
                else:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps(record).encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.done.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def silent_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub's library asks it, with an empty cache."""
    hub_server = FakeHub(RECORDS)
    monkeypatch.setenv("HF_ENDPOINT", hub_server.url)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub_server.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_ANSWER_S", 0.2)
    yield hub_server
    hub_server.close()


@pytest.mark.enable_socket
def test_sixty_models_of_a_hub_that_falls_silent_are_asked_for_once(silent_hub: FakeHub) -> None:
    names = [f"acme/model-{i}" for i in range(60)]

    assert is_hub_reachable() is True
    models, dropped = resolve_models([*names, EMBEDDED_MODELS[-1]], offline=False)

    assert silent_hub.asked == ["/api/models/acme/model-0"]
    assert [model.name for model in models] == [EMBEDDED_MODELS[-1]]
    assert [item.what for item in dropped] == names
    assert all("the hub cannot be reached" in item.reason for item in dropped)


@pytest.mark.enable_socket
def test_a_model_that_was_downloaded_before_is_used_when_the_hub_falls_silent(
    silent_hub: FakeHub, make_model: MakeModel, tmp_path: Path
) -> None:
    commit = "0" * 40
    make_model(f"hub/models--acme--tiny/snapshots/{commit}")
    refs = tmp_path / "hub" / "models--acme--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)

    (model,), dropped = resolve_models(["acme/tiny"], offline=False)

    assert (model.name, model.revision, dropped) == ("acme/tiny", commit, [])


def test_a_run_keeps_the_commit_that_its_space_was_made_with(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--acme--tiny"
    old, new = "a" * 40, "b" * 40
    for commit in (old, new):
        make_model(f"hub/models--acme--tiny/snapshots/{commit}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(old)
    (before,), _ = resolve_models(["acme/tiny"], offline=True)
    part = MethodSpace("full", ("acme/tiny",), {}, {})
    written = json.dumps(space_to_dict(Space({"acme/tiny": before}, {"full": part})))

    (repository / "refs" / "main").write_text(new)  # somebody downloads a later version
    resumed = space_from_dict(json.loads(written)).models["acme/tiny"]

    assert (resumed.revision, Path(resumed.path).name) == (old, old)
    assert resolve_models(["acme/tiny"], offline=True)[0][0].revision == new


@pytest.mark.enable_socket
def test_models_whose_weights_do_not_fit_are_not_downloaded(
    silent_hub: FakeHub, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded = []

    def download(repository: str, *, offline: bool) -> Path:
        downloaded.append(repository)
        return make_model()

    monkeypatch.setattr("xautolm.space.catalogue.download_model", download)
    names = ["meta-llama/Llama-3.1-70B", "acme/huge", "acme/small"]
    models, dropped = resolve_models(names, offline=False, memory_mib=16 * 1024)

    assert downloaded == ["acme/small"]
    assert [model.name for model in models] == ["acme/small"]
    assert [(item.what, item.reason) for item in dropped] == [
        (
            "meta-llama/Llama-3.1-70B",
            "not downloaded: its weights alone need 258.9 GiB of memory, the limit is 16.0 GiB",
        ),
        ("acme/huge", "not downloaded: its weights alone need 55.9 GiB of memory, the limit is 16.0 GiB"),
    ]
    assert silent_hub.asked == [f"/api/models/{name}" for name in names]


@pytest.mark.enable_socket
def test_what_is_no_record_of_a_model_is_no_answer_of_the_hub(
    answer: tuple[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, settings = answer
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    settings["code"] = 404
    assert ask_about("acme/unknown") == {}
    for code in (200, 503):  # a page to log in to the network; a hub in trouble
        settings["code"] = code
        with pytest.raises(HubSilentError):
            ask_about("acme/unknown")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(HubSilentError):
        ask_about("passwd")
