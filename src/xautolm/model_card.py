"""What an exported folder says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xautolm.evaluate.rescue import describe, effective
from xautolm.records import ModelSpec, ParamValue, TrialResult

if TYPE_CHECKING:
    from xautolm.export import ExportContext

#: Our notes in an exported folder; everything else in it is standard.
INFO_FILE = "xautolm.json"
#: Names that the hub has for task kinds, where they differ from ours.
_TAGS = MappingProxyType({"multi-label": "text-classification", "text-regression": "text-classification"})
#: Task kind -> how plain transformers answers with the folder.
_USAGE = MappingProxyType(
    {
        "text-classification": """
classify = pipeline("text-classification", model="path/to/this/folder", truncation=True)
classify("some text")""",
        "multi-label": """# one probability per label; a label is given from 0.5
classify = pipeline("text-classification", model="path/to/this/folder", truncation=True, top_k=None)
classify("some text")""",
        "text-regression": """rate = pipeline("text-classification", model="path/to/this/folder", truncation=True)
rate("some text")[0]["score"]""",
        "token-classification": """# longer texts: stride=N reads them in windows; words are split at white space
tag = pipeline("token-classification", model="path/to/this/folder", aggregation_strategy="first")
tag("some words")""",
        "question-answering": """# the start and end of the answer in the context
model = AutoModelForQuestionAnswering.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
inputs = tokenizer("a question?", "its context", return_tensors="pt", truncation="only_second")
outputs = model(**inputs)
first, last = outputs.start_logits.argmax(), outputs.end_logits.argmax()
tokenizer.decode(inputs["input_ids"][0, first : last + 1])""",
    }
)


def settings_of(result: TrialResult) -> dict[str, ParamValue]:
    """The settings that a trial was trained with, those of a rescue included."""
    pipeline = result.pipeline
    return {"model": pipeline.model, "method": pipeline.method, **effective(pipeline.params)}


def model_card(
    result: TrialResult,
    model: ModelSpec,
    context: ExportContext,
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """README.md of the folder: what it is, how it was made, how to use it.

    Args:
        result: the trial.
        model: its pretrained model.
        context: provenance.
        notes: what the export knows of how rows were read.
    """
    settings = "\n".join(f"| {name} | {value} |" for name, value in settings_of(result).items())
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
    labels = ", ".join(f"`{label}`" for label in context.labels)
    rescued = ""
    if result.requested:
        rescued = f"- Memory was short, so it was trained with {describe(result.pipeline.params)}.\n"
    kind = context.kind
    if "template" in notes:
        labels_line, usage = "", usage_of_writer(notes)
    else:
        labels_line, usage = f"- Labels: {labels}\n" if labels else "", usage_of(kind)
    return f"""---
library_name: transformers
pipeline_tag: {_TAGS.get(kind, kind)}
tags: [xautolm]
---

# {context.dataset_id}: {kind.replace("-", " ")}

Fine-tuned from `{model.name}` (revision {model.revision}) by XAutoLM, trial {result.trial_id} of run
`{context.run_id}`.

{labels_line}- Validation scores: {scores}. They are the best of a search, so expect a little less on new data.
- The model reads at most {result.pipeline.params["max_length"]} tokens; longer texts are cut.
{rescued}
{usage}

| setting | value |
|---|---|
{settings}
| seed | {result.seed} |
"""


def usage_of(kind: str) -> str:
    """How to use a model with a head, as a code block."""
    names = "AutoModelForQuestionAnswering, AutoTokenizer" if kind == "question-answering" else "pipeline"
    return f"```python\nfrom transformers import {names}\n\n{_USAGE[kind].strip()}\n```"


def usage_of_writer(notes: Mapping[str, Any]) -> str:
    """How to have a model write an answer: the prompt that it was trained with, and what of its output is the answer.

    Args:
        notes: of a formulation that writes (`evaluate.formulations.text.Habits`).
    """
    is_decoder = notes["start_id"] is None
    auto = "AutoModelForCausalLM" if is_decoder else "AutoModelForSeq2SeqLM"
    options = "" if notes["adds_special"] else ", add_special_tokens=False"
    answer = 'written[inputs["input_ids"].shape[1] :]' if is_decoder else "written"
    return f"""The prompt it was trained with is `notes.template` in `{INFO_FILE}`; of a prompt that is too long only
the passage was cut, never the question. It writes at most {notes["n_new"]} tokens, the most probable one each time.

```python
import json
from pathlib import Path
from transformers import AutoTokenizer, {auto}

folder = "path/to/this/folder"
template = json.loads(Path(folder, "{INFO_FILE}").read_text())["notes"]["template"]
tokenizer, model = AutoTokenizer.from_pretrained(folder), {auto}.from_pretrained(folder)

prompt = template.format({", ".join(f'{name}="..."' for name in _fields(notes["template"]))})
inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False{options})
written = model.generate(**inputs)[0]
tokenizer.decode({answer}, skip_special_tokens=True).strip()
```"""


def _fields(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name]
