"""What every test gets: no network, its own experience store, and tiny models that are built once per session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_socket import enable_socket, socket_allow_hosts
from sentences import opinion
from tiny_families import write_tiny
from tiny_models import write_bert, write_distilbert, write_gpt2

# Set before anything imports the libraries that read them.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",  # threads of tiny operations only wait for each other
}


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Connections fail, except those that stay on this machine."""
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test has an experience store of its own; nothing is written to the user's folders."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'experience.db'}"
    monkeypatch.setenv("XAUTOLM_STORE", url)
    return url


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is written to the user's cache folder; in this one the machine is measured already."""
    from xautolm.metafeatures.speed import MachineSpeed, speed_file, speed_key, write_speed

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        write_speed(speed_file(), speed_key("cpu", 1), MachineSpeed(matmul_gflops=100.0, train_rows_per_s=50.0))
        yield folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT (hidden size 32)."""
    return write_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer DistilBERT: `native` pooling."""
    return write_distilbert(tmp_path_factory.mktemp("models") / "tiny-distilbert")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer GPT-2 without a padding token."""
    return write_gpt2(tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny random model by its name in `tiny_families.TINY`; made when first asked for."""
    folder = tmp_path_factory.mktemp("families")

    def make(name: str) -> Path:
        made = folder / f"tiny-{name}"
        return made if made.exists() else write_tiny(name, made)

    return make


@pytest.fixture(scope="session")
def opinions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv file of 160 sentences (`text`, `label` = neg, pos) that a tiny model can tell apart."""
    path = tmp_path_factory.mktemp("data") / "opinions.csv"
    rows = [f"{opinion(i, positive=bool(i % 2))},{('neg', 'pos')[i % 2]}" for i in range(160)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path
