"""Sizes: as they are written, and others of the same proportions."""

from hypothesis import given
from hypothesis import strategies as st

from siamese.base.image_size import in_words, sides, with_area, with_shorter, written

PIXELS = st.integers(1, 1000)


@given(PIXELS, PIXELS)
def test_a_size_is_read_as_it_was_written(height: int, width: int) -> None:
    size = (height, width)
    again = written(size)
    assert again == height if height == width else again == [height, width]
    assert sides(again if isinstance(again, int) else (again[0], again[1])) == size
    assert in_words(size) == f"{height} x {width}"


@given(PIXELS, PIXELS)
def test_squares_stay_squares(side: int, other: int) -> None:
    assert with_area((side, side), other) == (other, other)
    assert with_shorter((side, side), other) == (other, other)


@given(st.integers(20, 1000), st.integers(20, 1000), st.integers(50, 200))
def test_proportions_are_kept(height: int, width: int, side: int) -> None:
    high, wide = with_area((height, width), side)
    for found, exact in (
        (high**2, side**2 * height / width),
        (wide**2, side**2 * width / height),
    ):
        assert abs(found**0.5 - exact**0.5) <= 0.51
    short = with_shorter((height, width), side)
    assert min(short) == side
    assert abs(max(short) - side * max(height, width) / min(height, width)) <= 0.5
