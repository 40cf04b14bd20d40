"""Names of the published store and ours: methods, models, hyperparameters. Both directions, without loss.

The published class of a model is made from its hub id (`google-t5/t5-small` -> `TEXT_GEN_Google_T5_T5_Small`), which
cannot be undone by rule, so the hub ids are listed. Sources: `method.md` 3.1 for the registries, and the models that
occur in the released files besides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from xautolm.experience.importers.imported import params_of
from xautolm.experience.refusal import RowError, shown
from xautolm.records import ParamValue, Pipeline

CLASSIFICATION = "text-classification"
QUESTION_ANSWERING = "question-answering"

ENCODERS = (
    *("bert-base-uncased", "bert-base-cased", "bert-large-uncased", "bert-large-cased"),
    *("bert-base-multilingual-uncased", "bert-base-multilingual-cased"),
    *("pysentimiento/robertuito-base-uncased", "PlanTL-GOB-ES/roberta-base-bne"),
    *("distilbert-base-uncased", "distilbert-base-cased", "distilbert-base-multilingual-cased"),
    *("roberta-base", "roberta-large", "xlm-roberta-base", "xlm-roberta-large"),
    *("microsoft/deberta-base", "microsoft/deberta-v3-base", "microsoft/mdeberta-v3-base"),
    *("albert-base-v1", "albert-large-v1", "albert-xlarge-v1", "albert-xxlarge-v1"),
    *(f"google/electra-{size}-discriminator" for size in ("small", "base", "large")),
)
GENERATORS = (
    *(f"google-t5/t5-{size}" for size in ("small", "base", "large", "3b", "11b")),
    *(f"google/flan-t5-{size}" for size in ("base", "large", "xl", "xxl")),
    *("facebook/bart-base", "facebook/bart-large"),
    *("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"),
    *("deepseek-ai/DeepSeek-V2-Lite", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
    *(f"deepseek-ai/DeepSeek-R1-Distill-Qwen-{size}" for size in ("1.5B", "7B", "14B")),
    *("microsoft/phi-1_5", "microsoft/phi-2", "microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-3-medium-4k-instruct"),
    *("microsoft/Phi-3.5-mini-instruct", "microsoft/phi-4", "microsoft/Phi-4-mini-instruct"),
    *("microsoft/Phi-4-reasoning", "microsoft/Phi-4-mini-reasoning"),
    *("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.1", "mistralai/Mistral-7B-Instruct-v0.2"),
    *("mistralai/Mistral-Nemo-Base-2407", "mistralai/Mistral-Nemo-Instruct-2407"),
    *("mistralai/Mistral-Nemo-Instruct-FP8-2407", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    *("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B"),
    *(f"meta-llama/Llama-3.2-{size}{tuned}" for size in ("1B", "3B") for tuned in ("", "-Instruct")),
)
_ENCODER, _GENERATOR = "WORD_EMB_", "TEXT_GEN_"

#: Hyperparameters that mean the same here under another name. All others keep their published names: where the names
#: are equal, the meanings are (`epochs`, `lora_r`, ...); what this project does not have (`optimizer`,
#: `warmup_steps`, ...) is kept for whoever can use it.
RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "dropout_rate": "dropout",  # of the model's configuration
        "class_weighted_loss": "class_weighting",
        "num_trainable_layers": "n_layers",  # of partial fine-tuning: the last n blocks
    }
)
_METHODS = {"FineTune": "full", "PartialFineTune": "partial", "Lora": "lora"}
#: What follows the method in a class name -> task kind and the models that it takes.
_FAMILIES = {
    "LLMEmbeddingClassifier": (CLASSIFICATION, _ENCODER),
    "GenLLMClassifier": (CLASSIFICATION, _GENERATOR),
    "GenLLMTask": (QUESTION_ANSWERING, _GENERATOR),
}
_MODEL_CLASS = re.compile(rf"(?:{_ENCODER}|{_GENERATOR})\w{{1,100}}", re.ASCII)


def _class_name(prefix: str, hub_id: str) -> str:
    """Class that the published code generates for a model.

    >>> _class_name("TEXT_GEN_", "mistralai/Mixtral-8x7B-Instruct-v0.1")
    'TEXT_GEN_Mistralai_Mixtral_8X7B_Instruct_V01'
    """
    return prefix + re.sub("[/-]", "_", hub_id.replace(".", "")).title()


_CLASSES: Mapping[str, str] = {hub_id: _class_name(_ENCODER, hub_id) for hub_id in ENCODERS} | {
    hub_id: _class_name(_GENERATOR, hub_id) for hub_id in GENERATORS
}
_HUB_IDS: Mapping[str, str] = {name: hub_id for hub_id, name in _CLASSES.items()}


def model_of(class_name: object) -> str:
    """Hub id of a published model class; a class that is not listed stays under its own name.

    Raises:
        RowError: it is no name of a model class.

    >>> model_of("WORD_EMB_Google_Electra_Small_Discriminator"), model_of("TEXT_GEN_Acme_New_1B")
    ('google/electra-small-discriminator', 'TEXT_GEN_Acme_New_1B')
    """
    if not isinstance(class_name, str) or not _MODEL_CLASS.fullmatch(class_name):
        raise RowError(f"a model class must start with `{_ENCODER}` or `{_GENERATOR}`, got {shown(class_name)}")
    return _HUB_IDS.get(class_name, class_name)


def method_of(class_name: object) -> tuple[str, str]:
    """Method and task kind of a published method class.

    Raises:
        RowError: it is not one of the nine.

    >>> method_of("PartialFineTuneGenLLMTask")
    ('partial', 'question-answering')
    """
    for start, method in _METHODS.items():
        for end, (kind, _) in _FAMILIES.items():
            if class_name == start + end:
                return method, kind
    raise RowError(f"a method class must be one of the nine published ones, got {shown(class_name)}")


def pipeline_of(method_class: object, model_class: object, params: Mapping[str, object]) -> tuple[Pipeline, str]:
    """Pipeline and task kind of a published evaluation.

    Args:
        method_class: `LoraGenLLMTask` and the like.
        model_class: `TEXT_GEN_Gpt2` and the like.
        params: published name -> value of every other hyperparameter.

    Raises:
        RowError: one of them cannot be kept.
    """
    method, kind = method_of(method_class)
    kept = params_of({RENAMED.get(name, name): value for name, value in params.items()})
    clash = next((new for old, new in RENAMED.items() if old in params and new in params), None)
    if clash:
        raise RowError(f"`{clash}` must stand once, but stands under its published name too")
    return Pipeline(model_of(model_class), method, kept), kind


def published_form(pipeline: Pipeline, kind: str) -> tuple[str, str, dict[str, ParamValue]]:
    """The inverse of `pipeline_of`: method class, model class and hyperparameters under their published names.

    Raises:
        KeyError, StopIteration: the pipeline is not one that `pipeline_of` makes.

    >>> published_form(Pipeline("gpt2", "full", {"dropout": 0.1}), "text-classification")
    ('FineTuneGenLLMClassifier', 'TEXT_GEN_Gpt2', {'dropout_rate': 0.1})
    """
    model = _CLASSES.get(pipeline.model, pipeline.model)
    start = next(start for start, method in _METHODS.items() if method == pipeline.method)
    end = next(end for end, family in _FAMILIES.items() if family[0] == kind and model.startswith(family[1]))
    old_names = {new: old for old, new in RENAMED.items()}
    return start + end, model, {old_names.get(name, name): value for name, value in pipeline.params.items()}
