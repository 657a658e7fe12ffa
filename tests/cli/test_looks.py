"""What images are taken for: made-up ones of each kind, and real ones where there are some."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_images

from siamese.cli.looks import LARGE, OPENED, Kind, kind_of, look_at
from siamese.images.fit import fit_image
from siamese.preparation.class_folders import list_class_folders
from tests.support.kinds import (
    MAKERS,
    drawing,
    grey,
    make_folders,
    photograph,
    product,
    small,
    writing,
)

IMAGES = Path(__file__).resolve().parents[3] / "shared" / "images"


def soft(number: int) -> Image.Image:
    """A drawing that was made smaller: no two outlines of quite the same colours."""
    return drawing(number).filter(ImageFilter.GaussianBlur(0.7))


def digit(number: int) -> Image.Image:
    """White on black, 28 pixels."""
    picture = writing(number).crop((10, 35, 80, 85)).resize((28, 28))
    return picture.point(lambda tone: 255 - min(255, int(tone * 1.2)))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (photograph, "photographs"),
        (product, "photographs"),
        (drawing, "drawings"),
        (soft, "drawings"),
        (writing, "writing"),
        (digit, "writing"),
        (small, "small"),
        (grey, None),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_each_kind(
    tmp_path: Path, make: Callable[[int], Image.Image], expected: Kind | None, suffix: str
) -> None:
    folder = make_folders(tmp_path, make, (8, 8), suffix)
    look = look_at(list_class_folders(folder, "top"))
    assert look.kind == expected
    assert look.share[0] >= 12
    assert look.share[1] == 16
    assert (look.width, look.height) == make(0).size


def test_photographs_that_come_with_a_library() -> None:
    for pixels in load_sample_images().images:
        picture = Image.fromarray(pixels)
        assert kind_of(fit_image(picture, 64), LARGE) == "photographs"
        assert kind_of(fit_image(picture, 64), LARGE - 1) == "small"


@pytest.mark.parametrize("shade", [0, 90, 255])
def test_an_image_of_one_colour(shade: int) -> None:
    flat = np.full((64, 64, 3), shade, np.uint8)
    assert kind_of(flat, LARGE) == "writing", "grey"
    flat[..., 0] = 120
    assert kind_of(flat, LARGE) == "drawings"


def test_most_of_the_images_decide_and_what_cannot_be_read_does_not_count(tmp_path: Path) -> None:
    folder = make_folders(tmp_path, photograph, (5, 6))
    for number in range(4):
        drawing(number).save(folder / "0" / f"drawing-{number}.png")
    (folder / "0" / "broken.jpg").write_bytes(b"\xff\xd8\xff of a photograph")
    look = look_at(list_class_folders(folder, "top"))
    assert look.kind == "photographs"
    assert look.share == (11, 15)


def test_a_few_of_many_are_opened(tmp_path: Path) -> None:
    """From all over the data set: of files, only those that are opened are images."""
    folder = make_folders(tmp_path, MAKERS["small"], (2, 2))
    for number in range(300):
        (folder / "0" / f"x{number:03}.png").symlink_to(folder / "0" / "0.jpg")
    look = look_at(list_class_folders(folder, "top"))
    assert look.share == (OPENED, OPENED)


@pytest.mark.parametrize(
    ("archive", "suffix", "mode", "expected"),
    [
        ("grocery.tar", ".jpg", "RGB", "photographs"),
        ("grocery.tar", ".jpg", "L", None),
        ("signatures.tar", ".png", "L", "writing"),
    ],
)
def test_real_images(
    tmp_path: Path, archive: str, suffix: str, mode: str, expected: Kind | None
) -> None:
    if not (IMAGES / archive).is_file():
        pytest.skip(f"{IMAGES / archive} is no file")
    with tarfile.open(IMAGES / archive) as tar:
        members = [member for member in tar if member.name.endswith(suffix)]
        for number, member in enumerate(members[:: len(members) // 50]):
            stream = tar.extractfile(member)
            assert stream
            file = tmp_path / str(number % 2) / f"{number}{suffix}"
            file.parent.mkdir(exist_ok=True)
            Image.open(stream).convert(mode).save(file)
    look = look_at(list_class_folders(tmp_path, "top"))
    assert look.kind == expected
    assert look.share[0] >= 0.9 * look.share[1]
