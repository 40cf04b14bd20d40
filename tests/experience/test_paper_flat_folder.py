"""Published evaluations as one file per data set with a file of features: read like the folder, bad lines reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from published_folder import FEATURES, make_row

from xautolm.errors import DataError
from xautolm.experience.importers.paper import read
from xautolm.experience.importers.paper_rows import read_published_rows


def write_flat(folder: Path, lines: list[str], features=None) -> str:
    (folder / "liar.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "features.json").write_text(json.dumps({"datasets": FEATURES} if features is None else features))
    return str(folder)


def test_a_flat_folder_is_read_with_its_features(tmp_path) -> None:
    cold, warm = make_row(), make_row(alias="liar_warmstart (f-pos)", file="2024-12-02/11_20_22-a")

    first, second = read(write_flat(tmp_path, [json.dumps(cold), "", json.dumps(warm)])).experiences

    assert (first.profile.system["ram_gib"], second.profile.system["ram_gib"]) == (125.705, 125.706)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "damaged"),
        (json.dumps(make_row(alias="unseen")), "features"),
        (json.dumps(make_row(file="2024-11-02")), "`file`"),
        (json.dumps(make_row(file="2024-13-02/11_20_22-a")), "date and a time"),
        (json.dumps(make_row(file="1999-11-02/11_20_22-a")), "from 2020"),
        (json.dumps(make_row(file="2024-11-03/11_20_22-a", params=[])), "`params`"),
        (json.dumps(make_row()), "stands here again"),
        (json.dumps(make_row(file="2024-11-03/11_20_22-a", extra="text")), "`extra` must be a number"),
        (json.dumps(make_row(model="x" * 2**21)), "larger"),
    ],
)
def test_a_bad_line_of_a_flat_file_is_reported_and_the_others_go_in(line, reason, tmp_path) -> None:
    imported = read_published_rows(write_flat(tmp_path, [json.dumps(make_row()), line]))

    assert len(imported.experiences) == 1
    assert imported.rejected[0].where == "liar.jsonl:2"
    assert reason in imported.rejected[0].reason


@pytest.mark.parametrize("features", ["[]", "{}", "{"])
def test_a_flat_folder_without_features_is_one_error(features, tmp_path) -> None:
    write_flat(tmp_path, [json.dumps(make_row())])
    (tmp_path / "features.json").write_text(features)

    with pytest.raises(DataError, match="Expected"):
        read_published_rows(str(tmp_path))
