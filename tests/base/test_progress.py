"""A progress bar is seen on a terminal and nowhere else."""

import io

import pytest

from siamese.base.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "label", "is_seen"),
    [(Terminal(), "work", True), (Terminal(), None, False), (io.StringIO(), "work", False)],
)
def test_who_sees_a_bar(
    stream: io.StringIO, label: str | None, is_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    assert list(progress_bar(label, "image", range(3))) == [0, 1, 2]
    with progress_bar(label, "image", total=2) as bar:
        bar.update(2)
    shown = stream.getvalue()
    assert bool(shown) == is_seen
    assert ("work: 100%" in shown and "2/2" in shown and "3/3" in shown) == is_seen
