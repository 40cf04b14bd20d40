import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from xautolm.space import hub
from xautolm.space.catalogue import is_hub_reachable
from xautolm.space.hub import HubError, download_model


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
    def probe(timeout_s: float) -> bool:
        raise AssertionError

    monkeypatch.setattr(hub, "_answers", probe)
    monkeypatch.setenv(variable, "1")
    assert is_hub_reachable() is False


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "ftp://x", "http://[broken", "file:///etc/passwd"])
def test_probe_never_raises(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert is_hub_reachable() is False


def test_probe_gives_up_in_time_even_when_name_resolution_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(timeout_s: float) -> bool:
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
