"""What holds for every kind of task, and the examples of the page about data."""

import re
from pathlib import Path
from typing import get_args

import pytest

from xautolm.config import ROLES, Settings, make_settings
from xautolm.data.load import KINDS, load_task
from xautolm.errors import ConfigError
from xautolm.metafeatures import profile_task
from xautolm.tasks import KINDS as TASKS

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
#: Examples of the page: name of the file and its content, below a line with options and the kind that comes out.
_EXAMPLE = r"<!-- example: (\S+) ([\w-]+)((?: --[a-z]+ \S+)*) -->\n```\w+\n(.*?)```"
EXAMPLES = re.findall(_EXAMPLE, PAGE.read_text(encoding="utf-8"), re.DOTALL)


def options(text):
    """Arguments of `load_task` for options of the command line."""
    named = dict(re.findall(r"--(\S+) (\S+)", text))
    column = dict([named.pop("column").split("=", 1)]) if "column" in named else {}
    return {"kind" if name == "task" else name: value for name, value in named.items()} | {"columns": column}


@pytest.mark.parametrize(("name", "kind", "given", "content"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_example_of_the_page_loads_as_it_says(tmp_path, name, kind, given, content):
    path = tmp_path / name
    path.write_text(content)
    task = load_task(str(path), valid=str(path), test=str(path), **options(given))
    assert task.kind == kind
    assert task.train.n_rows >= 2
    assert not [warning for warning in task.warnings if "dropped" in warning]
    profile_task(task)


def test_the_page_has_an_example_of_every_kind():
    assert {kind for _, kind, _, _ in EXAMPLES} == set(TASKS)


def test_settings_and_reader_know_the_same_kinds_and_roles():
    kinds = [kind for kind in ROLES if kind is not None]
    assert kinds == list(KINDS) == list(TASKS)
    assert {kind: ROLES[kind] for kind in kinds} == {name: kind.roles for name, kind in TASKS.items()}
    literal = next(part for part in get_args(Settings.model_fields["task"].annotation) if part is not type(None))
    assert get_args(literal) == KINDS


def test_a_role_of_another_kind_is_refused_with_the_kind_that_has_it():
    with pytest.raises(ConfigError, match=r"`words` needs `--task token-classification`.*got 'words'"):
        make_settings({"data": "x.jsonl", "column": {"words": "tokens"}})
    assert make_settings({"data": "x", "task": "token-classification", "column": {"words": "w"}}).column == {
        "words": "w"
    }
