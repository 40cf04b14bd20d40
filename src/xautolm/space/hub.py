"""The Hugging Face hub: whether it can be reached, and models from it (safetensors only, no code)."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Top-level files of a model: configuration, tokenizer, weights.
_ALLOWED = (
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.safetensors",
    "*.safetensors.index.json",
)
#: Copies for other runtimes live in sub-folders; `consolidated` is a second copy in Mistral's own format.
_IGNORED = ("*/*", "consolidated*")
_ON = frozenset({"1", "ON", "YES", "TRUE"})
#: What a firewall's proxy answers in the hub's place.
_PROXY_REFUSALS = frozenset({403, 407})
#: Seconds for the hub's answer about one model. Its library would wait for ever.
_ANSWER_S = 3.0
_SILENT = "the hub does not answer"


class HubError(Exception):
    """A hub model cannot be had; the message is a reason for `Dropped`."""


class HubSilentError(HubError):
    """The hub did not answer in time; it will not do so for other models either."""


def is_hub_reachable(timeout_s: float = 3) -> bool:
    """Whether the hub answers; one probe, meant to be made once per run. Never raises.

    An unreachable model costs 23 s of retries otherwise (design.md, decision 11). `HF_HUB_OFFLINE` and
    `TRANSFORMERS_OFFLINE` answer at once, `HF_ENDPOINT` is respected.

    Args:
        timeout_s: seconds after which the hub counts as unreachable, name resolution included.
    """
    if any(os.environ.get(name, "").upper() in _ON for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return False
    answers: list[bool] = []
    # A thread, because the time-out of a socket does not cover name resolution.
    probe = threading.Thread(target=lambda: answers.append(_answers(_endpoint(), timeout_s)), daemon=True)
    probe.start()
    probe.join(timeout_s)
    return bool(answers and answers[0])


def download_model(repository: str, *, offline: bool) -> Path:
    """The local snapshot of a hub model, downloaded when needed; the folder's name is the commit.

    Args:
        repository: hub id.
        offline: use the local cache only.

    Raises:
        HubError: there is no such model, it is gated, or it is not in the local cache and the hub is not to be asked.
    """
    # Heavy, and not needed for local models.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = snapshot_download(
            repository,
            allow_patterns=list(_ALLOWED),
            ignore_patterns=list(_IGNORED),
            local_files_only=offline,
        )
    except GatedRepoError as error:
        raise HubError("gated: accept its terms on its hub page and log in with `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise HubError("neither a local folder nor a public model on the hub; check the name") from error
    except LocalEntryNotFoundError as error:
        raise HubError(
            "neither a local folder nor in the local hub cache, and the hub cannot be reached; "
            "go online once or name a local folder"
        ) from error
    except (OSError, ValueError, HTTPError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise HubError(f"cannot be downloaded: {type(error).__name__}: {first_line}") from error
    return Path(folder)


def cached_models() -> tuple[str, ...]:
    """Hub ids of the models in the local cache, whether or not they can be used, in alphabetical order."""
    from huggingface_hub import constants

    folders = Path(constants.HF_HUB_CACHE).glob("models--*/refs/main")
    return tuple(sorted(ref.parts[-3].removeprefix("models--").replace("--", "/") for ref in folders))


def ask_about(repository: str) -> Mapping[str, Any]:
    """The hub's record of a model, which it gives within a few seconds; empty when it knows no such model.

    Raises:
        HubSilentError: the hub does not answer, or it is not the hub who answers.
    """
    endpoint = _endpoint()
    if not endpoint.startswith(("http://", "https://")):
        raise HubSilentError(_SILENT)
    try:
        with urllib.request.urlopen(f"{endpoint}/api/models/{repository}", timeout=_ANSWER_S) as answer:  # noqa: S310
            record = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return {}
        raise HubSilentError(_SILENT) from error
    except Exception as error:
        raise HubSilentError(_SILENT) from error
    return record if isinstance(record, dict) else {}


def stated_params(record: Mapping[str, Any]) -> int | None:
    """Parameters in the safetensors weights of a model, by the hub's record of it; None when it does not say.

    >>> stated_params({"safetensors": {"parameters": {"BF16": 135}, "total": 135}}), stated_params({})
    (135, None)
    """
    weights = record.get("safetensors")
    total = weights.get("total") if isinstance(weights, Mapping) else None
    return total if isinstance(total, int) and total > 0 else None


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"


def _answers(url: str, timeout_s: float) -> bool:
    if not url.startswith(("http://", "https://")):
        return False
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - scheme checked above
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code not in _PROXY_REFUSALS
    except Exception:  # noqa: BLE001 - a probe that fails in whatever way has found no hub
        return False
