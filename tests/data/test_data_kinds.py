"""What holds for every kind of task, and the examples of the page about data."""

import dataclasses
import json
import re
import tempfile
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.config import ROLES, Settings, make_settings
from xautolm.data.load import KINDS, load_task
from xautolm.errors import ConfigError, DataError, UsageError
from xautolm.metafeatures import profile_task
from xautolm.records import canonical_json
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


_SCALARS = st.none() | st.text(max_size=6) | st.integers() | st.floats() | st.booleans()
_CELLS = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
_COLUMNS = {
    "text-classification": ("text", "label"),
    "multi-label": ("text", "labels"),
    "text-regression": ("text", "score"),
    "token-classification": ("tokens", "tags"),
    "question-answering": ("context", "question", "answers"),
    "text-generation": ("document", "summary"),
}


_USABLE = {
    "text-classification": st.sampled_from(["a", "b"]),
    "multi-label": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
    "text-regression": st.floats(-9, 9),
    "token-classification": st.sampled_from([["O", "B-A", "I-A"], ["I-A", "O"], ["O", "O", "O"]]),
    "question-answering": st.sampled_from([["some"], {"text": ["of"], "answer_start": [7]}]),
    "text-generation": st.sampled_from(["a b", ["b c", "c d"]]),
}


@st.composite
def tables(draw, kind):
    """Rows with usable and unusable cells."""
    columns = _COLUMNS[kind]
    texts = st.sampled_from([f"text {i} of some" for i in range(30)])
    if kind == "token-classification":
        texts = st.sampled_from([["a", "b", "c"], ["d", "e"], ["f", " ", "g"]])
    unusable = draw(st.sampled_from([st.nothing(), _SCALARS, _CELLS, st.lists(st.text(max_size=3), max_size=3)]))
    cells = {name: st.one_of(*([texts] * 7), _SCALARS) for name in columns[:-1]}
    cells[columns[-1]] = st.one_of(*([_USABLE[kind]] * 3), unusable)
    return draw(st.lists(st.fixed_dictionaries(cells), max_size=20))


def loaded(rows, **arguments):
    """The task, or what is said against it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        try:
            return load_task(str(path), valid=str(path) if len(rows) % 2 else None, test=str(path), **arguments)
        except (DataError, UsageError) as error:
            return str(error)


@settings(deadline=None, max_examples=40)
@given(kind=st.sampled_from(KINDS), is_said=st.booleans(), data=st.data())
def test_any_cells_give_a_sound_task_or_one_clear_sentence(kind, is_said, data):
    task = loaded(data.draw(tables(kind)), kind=kind if is_said else None)
    if isinstance(task, str):
        assert "\n" not in task
        assert len(task) < 1000
        return
    for split in (task.train, task.validation, task.test):
        columns = (split.texts, split.pairs, split.labels or None, split.answers, split.targets, split.words)
        assert {len(column) for column in columns if column is not None} == {split.n_rows}
        assert all(text.strip() for text in split.texts)
    assert canonical_json(dataclasses.asdict(task.train))
