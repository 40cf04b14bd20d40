"""Counts the parameters of every model in `catalogue.toml` and compares them with what stands there.

    python -m benchmarks.catalogue             compares; exit code 1 when a figure differs
    python -m benchmarks.catalogue --write     puts the counted figures into the file

The architecture of a row is built from its `config` without weights and without memory (on PyTorch's meta device), so a
model of 70 billion parameters is counted on a laptop in seconds.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xautolm.space import figures
from xautolm.space.weights import Tensor, count_layers, count_params

CATALOGUE = Path(figures.__file__).with_name("catalogue.toml")


def count(config: Mapping[str, Any], family: str) -> dict[str, int | None]:
    """Parameters of an architecture by the definitions of `ModelFigures`.

    Args:
        config: `model_type` and the values that shape it, under the names of its `config.json`.
        family: `encoder`, `decoder` or `encoder-decoder`.

    Returns:
        The figures of `figures.COUNTED`.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    values = dict(config)
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(values.pop("model_type"), **values))
    tensors = [Tensor(name, "F32", tuple(value.shape)) for name, value in model.named_parameters()]
    n_params, n_embedding = count_params(tensors)
    decoder = [tensor for tensor in tensors if family == "encoder-decoder" and tensor.is_decoder]
    in_decoder = [tensor for tensor in decoder if tensor.layer is not None]
    last = None if family == "encoder-decoder" else max((t.layer for t in tensors if t.layer is not None), default=None)
    in_last = None if last is None else sum(math.prod(t.shape) for t in tensors if t.layer == last)
    widths = (sum(tensor.adapter_width for tensor in some) or None for some in (tensors, decoder))
    of_decoder = (count_layers(decoder) or None, sum(math.prod(t.shape) for t in in_decoder) or None)
    return dict(zip(figures.COUNTED, (n_params, n_embedding, in_last, *of_decoder, *widths), strict=True))


def compare(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int | None]]:
    """Counted figures of the rows whose stored ones differ, by model."""
    counted = {row["name"]: count(row["config"], row["family"]) for row in rows if "config" in row}
    stored = {row["name"]: {name: row.get(name) for name in figures.COUNTED} for row in figures.read_rows()}
    return {name: values for name, values in counted.items() if values != stored[name]}


def rewrite(text: str, differing: Mapping[str, Mapping[str, int | None]]) -> str:
    """The file with other counts; they stand below the row's `family`."""
    counts = "|".join(figures.COUNTED)
    for name, values in differing.items():
        lines = "".join(f"{key} = {value:_}\n" for key, value in values.items() if value is not None)
        row = re.compile(
            rf'(^name = "{re.escape(name)}"\n(?:.+\n)*?family = .+\n)((?:(?:{counts}) = .+\n)*)', re.MULTILINE
        )
        text = row.sub(lambda found, lines=lines: found[1] + lines, text)  # type: ignore[misc]
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare or write; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.catalogue", description="Counts the parameters of known models.")
    parser.add_argument("--write", action="store_true", help="put the counted figures into catalogue.toml")
    options = parser.parse_args(arguments)
    differing = compare(figures.read_rows())
    for name, values in differing.items():
        print(f"{name}: counted {values}")
    known = figures.known_models().values()
    complete = [model for model in known if not set(model.unknown) - {*figures.PARTICULAR, "gated"}]
    counted = [model for model in known if model.n_params is not None]
    print(
        f"{len(known)} models, {len(counted)} counted, {len(differing)} differ; "
        f"{len(complete)} have all figures but `gated`"
    )
    if options.write and differing:
        CATALOGUE.write_text(rewrite(CATALOGUE.read_text(encoding="utf-8"), differing), encoding="utf-8")
        return 0
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
