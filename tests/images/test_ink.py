"""Writing on all kinds of paper: the same black on white comes out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from siamese.images.fit import fit_image
from siamese.images.reading import load_image
from tests.support.pictures import saved

RNG = np.random.default_rng(5)
SHAPE = (32, 96)


def written(width: int = 300, height: int = 200, left: int = 60, top: int = 50) -> np.ndarray:
    """Where there is ink, from 0 to 1: two strokes, 120 x 41 pixels in all."""
    page = Image.new("L", (width, height))
    pen = ImageDraw.Draw(page)
    pen.rectangle((left, top + 18, left + 119, top + 22), fill=255)
    pen.rectangle((left + 40, top, left + 46, top + 40), fill=255)
    return np.asarray(page) / 255


def picture(ink: np.ndarray, paper: float, pen: float, noise: float = 0) -> Image.Image:
    tones = paper + (pen - paper) * ink + noise * RNG.standard_normal(ink.shape)
    return Image.fromarray(np.clip(np.rint(tones), 0, 255).astype(np.uint8))


def by_hand(ink: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut to the ink and a margin, resize, put in the middle of a white sheet."""
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    part = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    framed = np.pad(part, round(0.05 * max(part.shape)))
    scale = min(size[0] / framed.shape[0], size[1] / framed.shape[1])
    height, width = (round(scale * side) for side in framed.shape)
    small = Image.fromarray((255 * framed).astype(np.uint8)).resize((width, height), 3)
    above, left = (size[0] - height) // 2, (size[1] - width) // 2
    beyond = (above, size[0] - height - above), (left, size[1] - width - left)
    return 255 - np.pad(np.asarray(small), beyond)


@settings(max_examples=40)
@given(
    st.integers(0, 255),
    st.integers(0, 255).filter(lambda tone: tone != 128),
    st.sampled_from([SHAPE, (64, 64), (48, 16)]),
)
def test_any_ink_on_any_paper_is_black_on_white(
    paper: int, pen: int, size: tuple[int, int]
) -> None:
    found = fit_image(picture(written(), paper, pen), size, "ink")
    if abs(paper - pen) < 32:
        assert (found == 255).all(), "no ink to be told from the paper"
        return
    assert (found == by_hand(written(), size)[..., None]).all()


@pytest.mark.parametrize(("paper", "pen"), [(230, 40), (40, 230), (140, 60), (200, 120)])
def test_the_grain_of_paper_and_a_pale_pen_change_little(paper: int, pen: int) -> None:
    clean = by_hand(written(), SHAPE)
    found = fit_image(picture(written(), paper, pen, noise=4), SHAPE, "ink")[..., 0]
    assert (found[clean == 255] == 255).mean() > 0.98
    assert np.abs(found.astype(int) - clean).mean() < 4


def test_where_on_which_page_it_is_written_does_not_matter(tmp_path: Path) -> None:
    expected = by_hand(written(), SHAPE)[..., None]
    for number, page in enumerate(
        [
            written(left=3, top=120),
            written(width=900, height=50, left=400, top=3),
            written(width=120, height=41, left=0, top=0),  # cut to the ink already
            np.pad(written(), 200),
        ]
    ):
        file = saved(picture(page, 220, 30), tmp_path / f"{number}.png")
        assert (load_image(file, SHAPE, "ink") == expected).all()


def test_colours_and_transparency_are_ink_too() -> None:
    ink = written()
    blue = np.stack([255 * (1 - ink), 255 * (1 - ink), 255 - 60 * ink], axis=-1)
    drawn = np.dstack([np.zeros((*ink.shape, 3)), 255 * ink])  # black, on nothing
    for pixels in (blue, drawn):
        found = fit_image(Image.fromarray(np.rint(pixels).astype(np.uint8)), SHAPE, "ink")
        assert (found == by_hand(ink, SHAPE)[..., None]).all()


def test_pressure_stays_visible() -> None:
    ink = written()
    ink[:, 150:] *= 0.6  # a lighter hand
    found = fit_image(picture(ink, 240, 20), SHAPE, "ink")[..., 0]
    assert found[:, 20].min() == 0
    assert 80 < found[:, 75].min() < 160


def test_dust_is_no_ink() -> None:
    dusty = written(width=900, height=600)
    dusty[580, 880] = dusty[5:7, 5] = 1
    found = fit_image(picture(dusty, 235, 30), SHAPE, "ink")[..., 0]
    assert (found == by_hand(written(), SHAPE)).all()


def test_faulty_pixels_do_not_outshine_a_faint_pen() -> None:
    dot = np.zeros((200, 300))
    dot[100:106, 100:106] = 1
    tones = np.where(dot, 180, 220).astype(np.uint8)
    tones[101:105, 101:106] = 0  # fewer than count
    found = fit_image(Image.fromarray(tones), SHAPE, "ink")[..., 0]
    assert (found == by_hand(dot, SHAPE)).all()


@pytest.mark.parametrize("paper", [0, 30, 128, 250, 255])
@pytest.mark.parametrize("noise", [0, 4])
def test_an_empty_page_is_white(paper: int, noise: float) -> None:
    page = picture(np.zeros((80, 120)), paper, 0, noise)
    assert (fit_image(page, SHAPE, "ink") == 255).all()


def test_what_came_out_stays_where_it_is_if_it_goes_in_again() -> None:
    once = fit_image(picture(written(), 220, 60), SHAPE, "ink")
    twice = fit_image(Image.fromarray(once), SHAPE, "ink")
    for end in (np.min, np.max):
        (was, became) = (end(np.argwhere(one[..., 0] < 128), axis=0) for one in (once, twice))
        assert np.abs(was - became).max() <= 1
