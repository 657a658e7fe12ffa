"""Parameter files: every fault is named, with its value, what is allowed and the nearest key."""

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from siamese.errors import InputError
from siamese.params import Section, read_document, read_sections
from siamese.schema import check_params

ROOT = Path(__file__).resolve().parents[1]


class Example(Section):
    margin: float = Field(gt=0)
    patience: int = Field(ge=1)
    flip: bool


GOOD = {"margin": 1.0, "patience": 5, "flip": True}


def write(file: Path, content: object) -> Path:
    file.write_text(yaml.safe_dump(content))
    return file


def test_reads_what_is_sound(tmp_path: Path) -> None:
    file = write(tmp_path / "params.yaml", {"example": GOOD, "other": {"any": 1}})
    params = read_sections(file, example=Example)
    assert params.example.margin == 1.0
    with pytest.raises(ValueError, match="frozen"):
        params.example.margin = 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": -1.0}, "`example.margin` is -1.0; input should be greater than 0"),
        ({"margin": "1"}, "`example.margin` is '1'; input should be a valid number"),
        ({"margin": float("nan")}, "`example.margin` is nan; input should be a finite number"),
        ({"patience": 2.0}, "`example.patience` is 2.0; input should be a valid integer"),
        ({"patience": True}, "`example.patience` is True; input should be a valid integer"),
        ({"flip": 1}, "`example.flip` is 1; input should be a valid boolean"),
        ({"margni": 1.0}, "unknown key `example.margni`; did you mean `margin`?"),
        ({"zzz": 1.0}, "unknown key `example.zzz`; known here: `margin`, `patience`, `flip`"),
    ],
)
def test_names_the_key_the_value_and_what_is_allowed(
    tmp_path: Path, change: dict, message: str
) -> None:
    file = write(tmp_path / "params.yaml", {"example": GOOD | change})
    with pytest.raises(InputError) as caught:
        read_sections(file, example=Example)
    assert str(caught.value) == f"{file}: {message}"


def test_lists_every_fault_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "params.yaml", {"example": {"margin": 0, "flip": "yes"}})
    with pytest.raises(InputError) as caught:
        read_sections(file, example=Example)
    for key in ("margin", "patience", "flip"):
        assert f"`example.{key}`" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exmaple: {}", "section `example` is missing; did you mean `exmaple`?"),
        ("- a list", "expected one mapping a section, found list"),
        ("a: [", "cannot be parsed as YAML"),
        ("example: 3", "`example` is 3; input should be a valid dictionary"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"params\.yaml") as caught:
        read_sections(file, example=Example)
    assert message in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; run from the folder that holds dvc\.yaml"):
        read_sections(tmp_path / "params.yaml", example=Example)


def test_the_committed_parameters_are_sound() -> None:
    check_params(ROOT / "params.yaml")


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml") | {"trian": {}}
    with pytest.raises(InputError, match=r"unknown section `trian`; did you mean `train`\?"):
        check_params(write(tmp_path / "params.yaml", content))


def test_a_margin_out_of_reach_of_unit_vectors_is_refused(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    content["train"]["margin"] = 2.0
    with pytest.raises(InputError, match=r"`train\.margin` is 2\.0.*choose a margin below 2"):
        check_params(write(tmp_path / "params.yaml", content))
    content["network"]["normalize"] = False
    check_params(write(tmp_path / "params.yaml", content))
