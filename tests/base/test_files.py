"""Files and folders appear whole or not at all."""

import hashlib
from pathlib import Path

import pytest

from siamese.base.files import new_file, new_folder, sha256, write_json


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with new_folder(target) as folder:
        (folder / "new").touch()
        assert (target / "old").exists(), "the old one stays until the new one is complete"
    assert [file.name for file in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()

    def interrupted() -> None:
        with new_folder(target) as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.name for file in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "half").touch()
    with new_folder(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})

    def failing() -> None:
        with new_file(target) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert target.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_is_that_of_hashlib(tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(b"abc" * 100_000)
    assert sha256(file) == hashlib.sha256(b"abc" * 100_000).hexdigest()
