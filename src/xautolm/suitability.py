"""Which models and methods can learn a kind of task, and what is optimised where the user did not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xautolm import registry
from xautolm.config import DEFAULT_OBJECTIVES, Settings
from xautolm.errors import ModelError, UsageError
from xautolm.methods.method import Method
from xautolm.pareto import COSTS
from xautolm.records import ModelSpec
from xautolm.space.catalogue import EMBEDDED_MODELS
from xautolm.space.families import fitted_to
from xautolm.space.params import Dropped
from xautolm.tasks import kind_of, why_unsupported
from xautolm.zoo import folders


def default_models(kind: str) -> tuple[str, ...]:
    """The models of a run that names none: those that come with the package and can learn the task.

    Raises:
        ModelError: none can.
    """
    families = kind_of(kind).formulations
    encoders = EMBEDDED_MODELS if "encoder" in families else ()
    writers = tuple(folders()) if "text" in families.values() else ()
    if not encoders and not writers:
        raise ModelError(
            f"expected a model that writes text for `{kind}`, none comes with this installation; name a decoder-only "
            "or encoder-decoder model (folder or hub id) with `--models`"
        )
    return encoders + writers


def suitable_models(models: Sequence[ModelSpec], kind: str) -> tuple[list[ModelSpec], list[Dropped]]:
    """The models that can learn a kind of task, and why the others cannot.

    Their facts are those of the model as it is loaded for the task (`space.families.fitted_to`).

    Raises:
        ModelError: none can.
    """
    formulations = kind_of(kind).formulations
    found, dropped = [], []
    for model in models:
        reason = why_unsupported(kind, model.family, model_type=model.model_type)
        if reason is None:
            found.append(fitted_to(model, formulations[model.family]))
        else:
            dropped.append(Dropped(model.name, reason))
    if not found:
        reasons = "; ".join(f"`{item.what}`: {item.reason}" for item in dropped)
        families = " or ".join(formulations)
        raise ModelError(
            f"expected a model of the family {families} for `{kind}`, got {reasons}; name one with `--models`"
        )
    return found, dropped


def methods_for(names: Sequence[str] | None, models: Sequence[ModelSpec], kind: str) -> Mapping[str, list[ModelSpec]]:
    """Method -> the models that it can train for a kind of task; methods without any are left out.

    Args:
        names: methods; None = every one that suits.
        models: that suit the task.
        kind: task kind.

    Raises:
        UsageError: a method that was named suits no model.
    """
    found = {}
    for name in names or registry.names("methods"):
        method: Method = registry.resolve("methods", name)
        reasons = {
            model.name: why_unsupported(kind, model.family, trains_by_gradient=method.trains_by_gradient)
            for model in models
        }
        able = [model for model in models if reasons[model.name] is None]
        if able:
            found[name] = able
        elif names is not None:
            raise UsageError(f"the method `{name}` does not suit this task: {next(iter(reasons.values()))}")
    return found


def with_objectives(settings: Settings, kind: str) -> Settings:
    """Settings whose objectives and bounds are scores that a kind of task has; the default ones follow the task.

    Raises:
        UsageError: one that was asked for does not exist for it.
    """
    metrics = kind_of(kind).metrics
    if settings.objectives == DEFAULT_OBJECTIVES and metrics[0] not in DEFAULT_OBJECTIVES:
        settings = settings.model_copy(update={"objectives": (metrics[0], *DEFAULT_OBJECTIVES[1:])})
    known = (*metrics, *COSTS)
    wanted = (*settings.objectives, *(constraint.name for constraint in settings.parsed_constraints))
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"expected objectives and bounds of `{kind}` to be among {', '.join(f'`{key}`' for key in known)}, "
                f"got {name!r}"
            )
    return settings
