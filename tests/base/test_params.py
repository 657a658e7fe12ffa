"""Parameter files: every fault is named, with its value, what is allowed and the nearest key."""

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from siamese.base.errors import InputError
from siamese.base.params import Section, read_document, read_sections
from siamese.cli.schema import check_params

ROOT = Path(__file__).resolve().parents[2]


class Inner(Section):
    crop: int


class Group(Section):
    zoom: float
    inner: Inner


class Example(Section):
    margin: float = Field(gt=0)
    patience: int = Field(ge=1)
    flip: bool
    group: Group


class Examples(Section):
    example: Example


GROUP = {"zoom": 1.0, "inner": {"crop": 4}}
GOOD = {"margin": 1.0, "patience": 5, "flip": True, "group": GROUP}


def write(file: Path, content: object) -> Path:
    file.write_text(yaml.safe_dump(content))
    return file


def test_reads_what_is_sound(tmp_path: Path) -> None:
    file = write(tmp_path / "params.yaml", {"example": GOOD, "other": {"any": 1}})
    params = read_sections(Examples, file)
    assert params.example.margin == 1.0
    with pytest.raises(ValueError, match="frozen"):
        params.example.margin = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": -1.0}, "`example.margin` is -1.0; input should be greater than 0"),
        ({"margin": "wide"}, "`example.margin` is 'wide'; input should be a valid number"),
        ({"margin": "nan"}, "`example.margin` is 'nan'; input should be a valid number"),
        ({"patience": "0.5"}, "`example.patience` is '0.5'; input should be a valid integer"),
        ({"margin": float("nan")}, "`example.margin` is nan; input should be a finite number"),
        ({"patience": 2.0}, "`example.patience` is 2.0; input should be a valid integer"),
        ({"patience": True}, "`example.patience` is True; input should be a valid integer"),
        ({"flip": 1}, "`example.flip` is 1; input should be a valid boolean"),
        ({"margni": 1.0}, "unknown key `example.margni`; did you mean `margin`?"),
        (
            {"zzz": 1.0},
            "unknown key `example.zzz`; known here: `margin`, `patience`, `flip`, `group`",
        ),
        ({"group": GROUP | {"zom": 1}}, "unknown key `example.group.zom`; did you mean `zoom`?"),
        (
            {"group": GROUP | {"inner": {"crop": 4, "corp": 4}}},
            "unknown key `example.group.inner.corp`; did you mean `crop`?",
        ),
        (
            {"group": GROUP | {"inner": {"crop": 4, "margin": 4}}},
            "unknown key `example.group.inner.margin`; known here: `crop`",
        ),
    ],
)
def test_names_the_key_the_value_and_what_is_allowed(
    tmp_path: Path, change: dict, message: str
) -> None:
    file = write(tmp_path / "params.yaml", {"example": GOOD | change})
    with pytest.raises(InputError) as caught:
        read_sections(Examples, file)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("key", "text", "written"),
    [
        ("margin", "1e-3", "1.0e-3"),
        ("margin", "1e5", "1.0e+5"),
        ("margin", "1.5E05", "1.5e+5"),
        ("margin", "+.5e3", "5.0e+2"),
        ("margin", "'1'", "1"),
        ("margin", "'0.25'", "0.25"),
        ("patience", "1e3", "1000"),
        ("patience", "'12'", "12"),
    ],
)
def test_a_number_that_yaml_takes_for_text_is_written_out(
    tmp_path: Path, key: str, text: str, written: str
) -> None:
    file = tmp_path / "params.yaml"
    sound = yaml.safe_dump({"example": {name: GOOD[name] for name in GOOD if name != key}})
    file.write_text(f"{sound}  {key}: {text}\n")
    read = yaml.safe_load(text)
    with pytest.raises(InputError) as caught:
        read_sections(Examples, file)
    advice = str(caught.value).removeprefix(f"{file}: `example.{key}` is {read!r}, text to YAML; ")
    assert advice.startswith(f"write {written}")
    assert ("without quotes" in advice) == (text[0] == "'")
    file.write_text(f"{sound}  {key}: {written}\n")
    assert getattr(read_sections(Examples, file).example, key) == float(read)


def test_lists_every_fault_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "params.yaml", {"example": {"margin": 0, "flip": "yes"}})
    with pytest.raises(InputError) as caught:
        read_sections(Examples, file)
    for key in ("margin", "patience", "flip"):
        assert f"`example.{key}`" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exmaple: {}", "section `example` is missing; did you mean `exmaple`?"),
        ("- a list", "expected one mapping per section, found list"),
        ("a: [", "cannot be parsed as YAML"),
        ("a: 2026-02-30", "cannot be parsed as YAML: day is out of range"),
        ("a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> other", "line 2 is a mark of a merge"),
        ("a:\n\tb: 1", "line 2 is indented by a tab"),
        ("[" * 5000, "cannot be parsed as YAML"),
        ("1: {}", "section `example` is missing"),
        ("example: 3", "`example` is 3; input should be a valid dictionary"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"params\.yaml") as caught:
        read_sections(Examples, file)
    assert message in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file; run from the folder that holds dvc\.yaml"):
        read_sections(Examples, tmp_path / "params.yaml")


def test_the_committed_parameters_are_sound() -> None:
    check_params(ROOT / "params.yaml")


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml") | {"trian": {}}
    with pytest.raises(InputError, match=r"unknown section `trian`; did you mean `train`\?"):
        check_params(write(tmp_path / "params.yaml", content))


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(text.replace("  margin: 1.0", "  margin: 0.5\n  margin: 1.0"))
    with pytest.raises(InputError, match=r"line \d+: the key `margin` is there twice"):
        check_params(file)


def test_the_hint_for_a_nested_key_of_the_committed_file_is_of_its_group(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    content["train"]["augment"]["flpi"] = True
    with pytest.raises(InputError, match=r"`train\.augment\.flpi`; did you mean `flip`\?"):
        check_params(write(tmp_path / "params.yaml", content))


def test_an_unknown_data_set_is_refused_with_the_nearest(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    content["data"]["name"] = "cifar10"
    with pytest.raises(InputError, match=r"`data\.name` is 'cifar10'; did you mean `cifar100`\?"):
        check_params(write(tmp_path / "params.yaml", content))


def test_images_too_small_for_the_architecture_are_refused(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    content["network"]["architecture"] = "conv4"
    content["data"]["image_size"] = 15
    with pytest.raises(InputError, match=r"`data\.image_size` is 15; .* conv4 .* needs 16 or more"):
        check_params(write(tmp_path / "params.yaml", content))
    content["data"]["image_size"] = [64, 15]
    with pytest.raises(InputError, match=r"`data\.image_size` is \[64, 15\]; .* needs 16 or more"):
        check_params(write(tmp_path / "params.yaml", content))
    content["data"]["image_size"] = 16
    check_params(write(tmp_path / "params.yaml", content))


def test_a_size_is_one_number_or_height_and_width(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    for written, size in ((64, (64, 64)), ([64, 64], (64, 64)), ([16, 192], (16, 192))):
        content["data"]["image_size"] = written
        assert check_params(write(tmp_path / "params.yaml", content)).data.image_size == size
    for wrong in ("64x192", "32", True, [64], [64, 64, 3], [64, 7], [64, "64"], {"height": 64}):
        content["data"]["image_size"] = wrong
        expected = r"`data\.image_size` is .*; expected a number of pixels from 8 to 768, or two"
        with pytest.raises(InputError, match=expected):
            check_params(write(tmp_path / "params.yaml", content))


def test_weights_for_a_network_that_cannot_start_from_them_are_refused(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    content["weights"] |= {"source": "hf:timm/resnet18", "bytes": 1, "sha256": "0" * 64}
    with pytest.raises(InputError, match=r"`weights\.source` is hf:timm/resnet18, but .* resnet9"):
        check_params(write(tmp_path / "params.yaml", content))


def test_a_margin_out_of_reach_of_unit_vectors_is_refused(tmp_path: Path) -> None:
    content = read_document(ROOT / "params.yaml")
    content["train"]["margin"] = 2.0
    with pytest.raises(InputError, match=r"`train\.margin` is 2\.0.*choose a margin below 2"):
        check_params(write(tmp_path / "params.yaml", content))
    content["network"]["normalize"] = False
    check_params(write(tmp_path / "params.yaml", content))
