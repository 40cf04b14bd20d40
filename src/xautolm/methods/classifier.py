"""Classifiers over pretrained encoders: built from a `ModelSpec`, trained, and turned into plain Hugging Face models.

BERT encoders are read through `LayerNorm(mean)` or the first token by one linear layer, so that cut encoders work too
(design.md, decision 11); other families keep the classification head that transformers gives them ("native" pooling).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, BertForSequenceClassification, PreTrainedModel

from xautolm.methods.heads import Readout, load_options, load_with_head, read_config
from xautolm.records import ModelSpec

#: Lets the mean outweigh the residual of the appended layer (decision 11) and still fits half precision up to means
#: of 15.
_SCALE = 4096.0
#: Keeps the pooler's tanh linear: for features up to 3 the relative error of tanh(x * shrink) / shrink is 5e-5.
_SHRINK = 1 / 256


class PooledClassifier(nn.Module):  # type: ignore[misc]  # torch is not analysed (follow_imports = skip)
    """An encoder, a pooling without parameters, dropout and one linear layer.

    Args:
        encoder: a `transformers` encoder that returns `last_hidden_state`.
        pooling: `mean` = LayerNorm without parameters of the mean over unmasked tokens, or `first` = the first token.
        n_classes: number of logits.
        dropout: dropout before the linear layer.
    """

    def __init__(self, encoder: PreTrainedModel, pooling: str, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.classifier = Readout(encoder.config.hidden_size, n_classes)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    @property
    def config(self) -> Any:
        return self.encoder.config

    @property
    def base_model(self) -> PreTrainedModel:
        """The pretrained part, under the name that models of transformers give it."""
        return self.encoder

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Logits (n_rows, n_classes) for tokenised rows (n_rows, n_tokens)."""
        return {"logits": self.classifier(self.dropout(self.pool(**inputs)))}

    def pool(self, **inputs: Tensor) -> Tensor:
        """Features (n_rows, hidden) that the linear layer reads."""
        if self.pooling == "first":
            return self.encoder(**inputs).last_hidden_state[:, 0]
        mean = self.mean(**inputs)
        return nn.functional.layer_norm(mean.float(), (mean.shape[-1],), eps=1e-12)

    def mean(self, **inputs: Tensor) -> Tensor:
        """Mean of the last hidden states over unmasked tokens, (n_rows, hidden)."""
        hidden = self.encoder(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None].to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def load_classifier(spec: ModelSpec, pooling: str, n_classes: int, dropout: float) -> nn.Module:
    """Load a pretrained model, cut to `spec.n_layers`, with a fresh head over the whole text.

    Args:
        spec: which model.
        pooling: one of `spec.poolings`.
        n_classes: number of classes.
        dropout: dropout of the hidden states, the attention where the family has it, and the head.
    """
    if pooling == "native":
        return load_with_head("sequence", spec, n_classes, dropout)
    pooler = {"add_pooling_layer": False} if spec.model_type == "bert" else {}
    encoder = AutoModel.from_pretrained(spec.path, **load_options(read_config(spec, dropout)), **pooler)
    return PooledClassifier(encoder, pooling, n_classes, dropout)


def checkpoint_activations(module: nn.Module) -> None:
    """Keep only the activations between layers and compute the others again in the backward pass.

    Args:
        module: a classifier, with or without adapters.

    Raises:
        MemoryError: the model's family cannot; it is what the model would need otherwise.
    """
    for inner in module.modules():
        if isinstance(inner, PreTrainedModel):
            if not inner.supports_gradient_checkpointing:
                raise MemoryError(f"{type(inner).__name__} has no gradient checkpointing")
            # Newer releases of transformers warn at the second name, older ones know no other.
            new = getattr(inner, "activation_checkpointing_enable", None)
            (new or inner.gradient_checkpointing_enable)({"use_reentrant": False})
            return


def to_hugging_face(classifier: nn.Module, labels: Sequence[str], max_length: int) -> PreTrainedModel:
    """Turn a trained (merged) classifier into a standard model that needs no code of ours.

    Mean pooling becomes one appended BERT layer (decision 11): query and key 0 give uniform attention over the unmasked
    tokens, value is the identity, the attention output is scaled so that LayerNorm's epsilon vanishes, the
    feed-forward part is 0; the pooler's tanh is kept linear by a small factor that the classifier undoes.

    Args:
        classifier: from `load_classifier`, adapters merged.
        labels: label names in index order.
        max_length: tokens that the pipeline reads.
    """
    names = {i: str(label) for i, label in enumerate(labels)}
    if not isinstance(classifier, PooledClassifier):
        classifier.config.id2label = names
        classifier.config.label2id = {name: i for i, name in names.items()}
        return classifier
    config = type(classifier.config).from_dict(classifier.config.to_dict())
    config.id2label, config.label2id = names, {name: i for i, name in names.items()}
    is_mean = classifier.pooling == "mean"
    config.num_hidden_layers += int(is_mean)
    model = BertForSequenceClassification(config)
    weights = {f"bert.{name}": value for name, value in classifier.encoder.state_dict().items()}
    model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        if is_mean:
            _fill_mean_layer(model.bert.encoder.layer[-1], config.hidden_size)
        model.bert.pooler.dense.weight.copy_(_SHRINK * torch.eye(config.hidden_size))
        model.bert.pooler.dense.bias.zero_()
        model.classifier.weight.copy_(classifier.classifier.weight / _SHRINK)
        model.classifier.bias.copy_(classifier.classifier.bias)
    return model.eval()


def _fill_mean_layer(layer: nn.Module, hidden: int) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
    layer.attention.self.value.weight.copy_(torch.eye(hidden))
    layer.attention.output.dense.weight.copy_(_SCALE * torch.eye(hidden))
    layer.attention.output.LayerNorm.weight.fill_(1)
    layer.output.LayerNorm.weight.fill_(1)


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """A copy, on the CPU, of every parameter that requires a gradient, by name."""
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def load_trainable_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what `trainable_state` took.

    Raises:
        KeyError: a tensor does not belong to this module.
    """
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)
