"""Names of classes in pictures."""

import warnings
from pathlib import Path

import pytest

from siamese.pictures.style import plt, readable, save_picture


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("lawn_mower", "lawn mower"),
        ("5$ or 6$", r"5\$ or 6\$"),
        ("a" * 31, "a" * 29 + "…"),
        ("Vegetables/Onion/Yellow-Onion-Sweet", "…bles/Onion/Yellow-Onion-Sweet"),
    ],
)
def test_a_name_is_cut_where_it_says_least(name: str, drawn: str) -> None:
    assert readable(name) == drawn


def test_letters_that_are_boxes_are_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.png", "two.png"):
        figure, axes = plt.subplots()
        axes.set_title("owl 猫 犬")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            save_picture(figure, tmp_path / name)
    assert capsys.readouterr().out.count("note: ") == 1
    figure, axes = plt.subplots()
    axes.set_title("owl ö Ж")
    save_picture(figure, tmp_path / "three.png")
    assert capsys.readouterr().out == ""


def test_other_warnings_are_still_given(tmp_path: Path) -> None:
    figure, _ = plt.subplots(figsize=(0.1, 0.1))
    with pytest.warns(UserWarning, match="Tight layout not applied"):
        save_picture(figure, tmp_path / "small.png")
