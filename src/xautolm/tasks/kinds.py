"""The kinds of tasks, and which families of models and methods can learn each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from xautolm.errors import UsageError
from xautolm.records import Family
from xautolm.space.families import has_head, head_for

#: How a model is asked: one answer per text (`sequence`), one per word (`tokens`), first and last token of an answer in
#: the context (`spans`), or by writing the answer (`text`).
Formulation = Literal["sequence", "tokens", "spans", "text"]


@dataclass(frozen=True, slots=True)
class TaskKind:
    """A kind of task.

    Attributes:
        name: as in `Task.kind`.
        metrics: keys of its scores, the default objective first; all in [0, 1] and to be maximised but for
            correlations in [-1, 1] and `rmse`, which is to be minimised.
        formulations: family -> how its models learn the task; a family that is missing cannot.
        roles: columns that may be named.
    """

    name: str
    metrics: tuple[str, ...]
    formulations: Mapping[Family, Formulation]
    roles: tuple[str, ...]


_SEQUENCE: Mapping[Family, Formulation] = {"encoder": "sequence", "decoder": "sequence", "encoder-decoder": "sequence"}
_TEXT: Mapping[Family, Formulation] = {"decoder": "text", "encoder-decoder": "text"}

_KINDS = (
    TaskKind("text-classification", ("f1", "accuracy"), _SEQUENCE, ("text", "text_pair", "target")),
    TaskKind("multi-label", ("f1", "micro_f1", "accuracy"), _SEQUENCE, ("text", "text_pair", "target")),
    TaskKind("text-regression", ("pearson", "spearman", "rmse"), _SEQUENCE, ("text", "text_pair", "target")),
    TaskKind(
        "token-classification",
        ("f1", "precision", "recall", "accuracy"),
        {"encoder": "tokens", "decoder": "tokens", "encoder-decoder": "tokens"},
        ("words", "target"),
    ),
    TaskKind(
        "question-answering",
        ("f1", "exact_match"),
        {"encoder": "spans", **_TEXT},
        ("context", "question", "answers"),
    ),
    TaskKind("text-generation", ("f1", "exact_match", "rouge_l"), _TEXT, ("text", "target")),
)
#: Name -> kind, the commonest first.
KINDS: Mapping[str, TaskKind] = {kind.name: kind for kind in _KINDS}


def kind_of(name: str) -> TaskKind:
    """The kind with a name.

    Raises:
        UsageError: there is none.
    """
    if name not in KINDS:
        known = ", ".join(f"`{kind}`" for kind in KINDS)
        raise UsageError(f"expected one of {known} for the task, got {name!r}")
    return KINDS[name]


def why_unsupported(
    kind: str, family: Family, *, trains_by_gradient: bool = True, model_type: str | None = None
) -> str | None:
    """Why models of a family cannot learn a task with a method; None = they can.

    Args:
        kind: task kind.
        family: of the models.
        trains_by_gradient: whether the method trains by gradients, as in `methods.method.Method`; a head that is
            fitted on features needs one answer per text.
        model_type: of the model, for architectures that transformers puts no such head on; None = the family decides.

    >>> why_unsupported("text-generation", "encoder")
    'an encoder writes no text, which `text-generation` asks for'
    >>> why_unsupported("question-answering", "encoder", trains_by_gradient=False)
    'a head on frozen features gives one answer per text, which does not fit `question-answering`'
    >>> why_unsupported("token-classification", "encoder-decoder", model_type="bart")
    'transformers has no `bart` with a head for `token-classification`'
    >>> why_unsupported("text-classification", "decoder", trains_by_gradient=False) is None
    True
    """
    formulation = kind_of(kind).formulations.get(family)
    if formulation is None:
        return f"an {family} writes no text, which `{kind}` asks for"
    if formulation != "sequence" and not trains_by_gradient:
        return f"a head on frozen features gives one answer per text, which does not fit `{kind}`"
    if model_type is not None and not has_head(model_type, head_for(formulation, family)):
        return f"transformers has no `{model_type}` with a head for `{kind}`"
    return None
