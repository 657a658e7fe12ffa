"""Changing values in a parameter file: whatever text they are, stages read the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.cli.params_file import rewriting, set_values, value_of

CONTENT = """\
data:
  path: data/none         # of the images
  drop: []                # classes
  k: [1, 2]               # neighbours
"""


def changed(file: Path, values: dict[str, Any]) -> dict[str, Any]:
    with rewriting(file) as (document, save):
        set_values(document, values)
        save()
    loaded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["data"]
    return loaded


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=100)
@given(path=TEXTS, drop=st.lists(TEXTS, max_size=3))
@example(
    path="no", drop=["yes", "1e3", "12:30", "a, b", "a]", "#1", "a: b", "'", '"', "", " ", "\t"]
)
def test_any_text_is_read_as_it_was_set(
    tmp_path_factory: pytest.TempPathFactory, path: str, drop: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "params.yaml"
    file.write_text(CONTENT)
    values = {"data.path": path, "data.drop": drop}
    expected = {"path": path, "drop": drop, "k": [1, 2]}
    assert changed(file, values) == expected
    assert changed(file, values) == expected
    assert changed(file, {"data.k": []}) == expected | {"k": []}, "the others keep their quotes"
    before = {"data.path": "data/none", "data.drop": [], "data.k": [1, 2]}
    changed(file, before)
    assert [line.split() for line in file.read_text().splitlines()] == [
        line.split() for line in CONTENT.splitlines()
    ]


def test_a_list_in_place_of_a_number_stays_on_its_line(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(CONTENT)
    content = CONTENT.replace("data/none ", "[64, 192] ")
    for value, expected in (([64, 192], content), ("data/none", CONTENT), ([64, 192], content)):
        changed(file, {"data.path": value})
        assert [line.split() for line in file.read_text().splitlines()] == [
            line.split() for line in expected.splitlines()
        ]


def test_a_list_in_lines_can_be_emptied_and_filled(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("data:\n  drop:   # classes\n    - a\n    - b\n  k: 1\n")
    assert changed(file, {"data.drop": ["c"]}) == {"drop": ["c"], "k": 1}
    assert changed(file, {"data.drop": []}) == {"drop": [], "k": 1}
    assert changed(file, {"data.drop": ["no"]}) == {"drop": ["no"], "k": 1}


def test_a_parameter_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(CONTENT)
    with pytest.raises(InputError, match=r"key `data\.k\.x` is missing"):
        changed(file, {"data.k.x": 1})
    with rewriting(file) as (document, save):
        assert value_of(document, "data.k") == [1, 2]
        save()
