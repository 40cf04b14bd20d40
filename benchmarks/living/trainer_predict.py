"""Labels test rows with the weights that the Trainer kept: `python -m benchmarks.living.trainer_predict SPEC`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import AutoTokenizer, Trainer, TrainingArguments

from benchmarks.living.trainer import MAX_LENGTH
from benchmarks.tuning.drawn import LAYERS
from benchmarks.tuning.hugging_face import model_maker, tokenised
from xautolm.space.catalogue import resolve_models


class _Chosen:
    """A trial of which only the number of layers is asked."""

    def __init__(self, n_layers: int) -> None:
        self._n_layers = n_layers

    def suggest_categorical(self, name: str, choices: object) -> int:
        return self._n_layers


def main(spec: Mapping[str, Any]) -> list[int]:
    """Label the rows.

    Args:
        spec: `weights` = folder that `save_model` wrote, `n_layers`, `n_classes`, `rows` = folder with `test.json`,
            `n_rows`, `scratch`.

    Returns:
        Index of the label of each row.
    """
    models = {model.n_layers: model for model in resolve_models(None, offline=True)[0]}
    model = model_maker(models, spec["n_classes"])(_Chosen(spec["n_layers"]))
    model.load_state_dict(load_file(Path(spec["weights"]) / "model.safetensors"))
    tokenizer = AutoTokenizer.from_pretrained(models[LAYERS[0]].path)
    data = tokenised(tokenizer, Path(spec["rows"]), "test", [0] * spec["n_rows"], max_length=MAX_LENGTH)
    arguments = TrainingArguments(output_dir=spec["scratch"], use_cpu=True, report_to="none")
    predicted = Trainer(model=model, args=arguments, processing_class=tokenizer).predict(data)
    return [int(label) for label in predicted.predictions.argmax(-1)]


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    Path(given["result"]).write_text(json.dumps(main(given)))
