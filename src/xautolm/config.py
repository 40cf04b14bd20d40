"""Run settings: the fields of the YAML file and of the command line are the same; all mistakes are reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from xautolm.errors import ConfigError, UsageError
from xautolm.quantities import parse_budget, parse_constraint, parse_duration, parse_size
from xautolm.records import Budget, Constraint, Objective

#: Task kind -> roles of columns; None = guessed from the columns, which are then named as for classification.
ROLES = {
    None: ("text", "text_pair", "target"),
    "text-classification": ("text", "text_pair", "target"),
    "multi-label": ("text", "text_pair", "target"),
    "text-regression": ("text", "text_pair", "target"),
    "token-classification": ("words", "target"),
    "question-answering": ("context", "question", "answers"),
    "text-generation": ("text", "target"),
}
_OTHER_ROLES = (
    "`context`, `question`, `answers` need `--task question-answering`, `words` needs `--task token-classification`"
)
#: Objectives that can be measured for every trial.
OBJECTIVES = {
    "f1": Objective("f1", "maximize"),
    "accuracy": Objective("accuracy", "maximize"),
    "micro_f1": Objective("micro_f1", "maximize"),
    "precision": Objective("precision", "maximize"),
    "recall": Objective("recall", "maximize"),
    "pearson": Objective("pearson", "maximize"),
    "spearman": Objective("spearman", "maximize"),
    "exact_match": Objective("exact_match", "maximize"),
    "rouge_l": Objective("rouge_l", "maximize"),
    "rmse": Objective("rmse", "minimize"),
    "time": Objective("time", "minimize"),
    "memory": Objective("memory", "minimize"),
    "size": Objective("size", "minimize"),
    "latency": Objective("latency", "minimize"),
    "energy": Objective("energy", "minimize"),
}
#: What is optimised unless the user says otherwise; where a task has no F1, its first metric stands in for it.
DEFAULT_OBJECTIVES = ("f1", "time")


class Settings(BaseModel):
    """Everything that decides what a run does, apart from where it is written.

    Attributes:
        data: file, `datasets` folder or hub id of the training data.
        valid: validation data; cut from `data` when not given.
        test: test data, sealed until the report; cut from `data` when not given.
        task: task kind; None = guessed from the columns.
        text: name of the text column, guessed when not given.
        target: name of the target column, guessed when not given; several columns of 0 and 1, separated by commas.
        column: further columns by role (`text_pair`; `words`; `context`, `question`, `answers`).
        budget: time (`30m`), trials (`40trials`) or energy (`0.5kWh`).
        trial_timeout: limit per trial; None = an eighth of a time budget, 10 minutes with a budget in trials.
        memory: limit per trial; None = 80 % of what is free at the start, shared by the workers.
        max_disk: limit for the checkpoints of front pipelines.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: threads per trial; None = decided from the models and cores.
        workers: trials at once; None = decided from the models and cores.
        objectives: what to optimise, the one to recommend by first.
        constraint: bounds that a recommended pipeline must keep (`f1>=0.9`, `latency<=20`).
        stopping: whether trials that can no longer enter the front are stopped.
        baselines: whether majority class, TF-IDF and a frozen encoder are scored before the search.
        prompt: how a row is put to models that write their answers, with its texts in braces (`{context}` and
            `{question}`, or `{text}`); None = the default of the task kind.
        semantic: whether the profile holds a mean embedding of the texts.
        quotes: whether the report quotes the test rows that were answered worst.
        models: names, folders or hub ids; None = the embedded encoder at three depths.
        exclude_models: names to leave out.
        methods: fine-tuning methods; None = all.
        space: `usual` = what the methods vary, `wide` = with the published choices beside it (`space.wide`).
        prior: `learned` = predictors of success, cost and quality, `reference` = the published warm start, `knn` = the
            nearest tasks only, `none` = cold.
        sampler: `experience` or `optuna:NAME`.
        store: URL of the experience store; None = `XAUTOLM_STORE` or the user's data folder.
        starter: whether experiences that ship with the package count.
        published: whether the published evaluations among them count.
        exclude_dataset: data sets whose experiences are left out of the prior.
        backend: `local`.
        seed: seed of splits, search and trials.
        refit: whether the recommended pipeline is trained once more on train + validation.
        estimate_energy: whether energy is estimated by a model of the machine where no counter can be read.
        data_sha256: role -> hash of the data files; written by a run, checked when it is repeated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    valid: str | None = None
    test: str | None = None
    task: (
        Literal[
            "text-classification",
            "multi-label",
            "text-regression",
            "token-classification",
            "question-answering",
            "text-generation",
        ]
        | None
    ) = None
    text: str | None = None
    target: str | None = None
    column: dict[str, str] = Field(default_factory=dict)
    budget: str = "30m"
    trial_timeout: str | None = None
    memory: str | None = None
    max_disk: str = "5GiB"
    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=1)
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    constraint: tuple[str, ...] = ()
    stopping: bool = True
    baselines: bool = True
    prompt: str | None = None
    semantic: bool = True
    quotes: bool = True
    models: tuple[str, ...] | None = None
    exclude_models: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    space: Literal["usual", "wide"] = "usual"
    prior: Literal["learned", "reference", "knn", "none"] = "learned"
    sampler: str = "experience"
    store: str | None = None
    starter: bool = True
    published: bool = True
    exclude_dataset: tuple[str, ...] = ()
    backend: Literal["local"] = "local"
    seed: int = Field(default=0, ge=0)
    refit: bool = False
    estimate_energy: bool = False
    data_sha256: dict[str, str] = Field(default_factory=dict)

    @field_validator("budget")
    @classmethod
    def _check_budget(cls, value: str) -> str:
        return _checked(parse_budget, value)

    @field_validator("trial_timeout")
    @classmethod
    def _check_timeout(cls, value: str | None) -> str | None:
        return value if value is None else _checked(parse_duration, value)

    @field_validator("memory", "max_disk")
    @classmethod
    def _check_size(cls, value: str | None) -> str | None:
        return value if value is None else _checked(parse_size, value)

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError(f"expected `auto`, `cpu`, `cuda` or `cuda:N`, got {value!r}")
        return value

    @field_validator("column")
    @classmethod
    def _check_roles(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        kind = info.data.get("task")
        unknown = sorted(set(value) - set(ROLES[kind]))
        if unknown:
            others = "" if kind else f" ({_OTHER_ROLES})"
            raise ValueError(
                f"expected the roles {', '.join(ROLES[kind])}{others}, got {', '.join(map(repr, unknown))}"
            )
        return value

    @field_validator("objectives")
    @classmethod
    def _check_objectives(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in OBJECTIVES]
        if unknown or not value or len(set(value)) != len(value):
            known = ", ".join(f"`{name}`" for name in OBJECTIVES)
            raise ValueError(f"expected distinct objectives out of {known}, got {','.join(value)!r}")
        if OBJECTIVES[value[0]].direction != "maximize":
            raise ValueError(f"the first objective must be a score (`f1`, `accuracy`), got {value[0]!r}")
        return value

    @field_validator("prompt")
    @classmethod
    def _unquote_prompt(cls, value: str | None) -> str | None:
        """Shells pass line breaks on as they are spelled."""
        return value if value is None else value.replace("\\n", "\n").replace("\\t", "\t")

    @field_validator("constraint")
    @classmethod
    def _check_constraints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _checked(partial(parse_constraint, known=tuple(OBJECTIVES)), text)
        return value

    @model_validator(mode="after")
    def _check_roles_once(self) -> Settings:
        for role in ("text", "target"):
            named = getattr(self, role)
            if named and self.column.get(role, named) != named:
                raise ValueError(f"`{role}` is given twice: {named!r} and {self.column[role]!r}")
        return self

    @property
    def parsed_budget(self) -> Budget:
        """The budget as a record."""
        return parse_budget(self.budget)

    @property
    def trial_limit_s(self) -> float:
        """Wall-clock limit of a trial, in seconds (defaults: design.md, section 6)."""
        if self.trial_timeout is not None:
            return parse_duration(self.trial_timeout)
        wall_s = self.parsed_budget.wall_s
        return 600.0 if wall_s is None else max(wall_s / 8, 5.0)

    @property
    def needs_energy(self) -> str | None:
        """The setting that only works with an energy counter; None when none does."""
        if self.parsed_budget.energy_wh is not None:
            return f"`budget` {self.budget!r}"
        if "energy" in self.objectives or any(c.name == "energy" for c in self.parsed_constraints):
            return "`energy` among the objectives or constraints"
        return None

    @property
    def parsed_objectives(self) -> tuple[Objective, ...]:
        """The objectives as records."""
        return tuple(OBJECTIVES[name] for name in self.objectives)

    @property
    def parsed_constraints(self) -> tuple[Constraint, ...]:
        """The constraints as records."""
        return tuple(parse_constraint(text, known=tuple(OBJECTIVES)) for text in self.constraint)


def _checked(parse: Any, value: str) -> str:
    """Turn a UsageError of a parser into the ValueError that pydantic collects."""
    try:
        parse(value)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return value


def make_settings(fields: Mapping[str, Any]) -> Settings:
    """Settings from fields; None means "not given".

    Raises:
        ConfigError: one line per mistake, all of them.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError(_mistakes(error)) from None


def _mistakes(error: ValidationError) -> str:
    lines = []
    for mistake in error.errors():
        where = ".".join(str(part) for part in mistake["loc"])
        message = str(mistake["msg"]).removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            message = f"no such setting; known are {', '.join(Settings.model_fields)}"
        elif mistake["type"] == "missing":
            message = "is needed"
        elif not str(mistake["msg"]).startswith("Value error"):
            message = f"{message}, got {mistake['input']!r}"
        option = where.replace("_", "-")
        says_where = not where or message.startswith((f"`{where}`", f"`{option}`"))
        lines.append(message if says_where else f"`{where}`: {message}")
    return "\n".join(lines)


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """The fields of a YAML settings file.

    Raises:
        ConfigError: the file is missing, not YAML, or not a mapping.
    """
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {str(path)!r}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"the settings file {str(path)!r} is not valid YAML: {first}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"expected a mapping of settings in {str(path)!r}, got {type(value).__name__}")
    return {str(name): field for name, field in value.items()}


def settings_to_yaml(settings: Settings) -> str:
    """The YAML form: `xautolm fit --config` with it repeats the run."""
    return str(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
