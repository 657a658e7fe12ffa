"""What the folders that pictures lie in say of them: their split, and their class.

The class is the first folder, `top`; or it is the whole path of folders that the picture lies in,
`leaf`, or of the first so many of them, such as `Fruit/Apple/Golden-Delicious`.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Literal

from siamese.base.errors import InputError

Level = Literal["top", "leaf"] | int

# What people call the splits; None may be the validation or the test split.
SPLIT_WORDS: dict[str, str | None] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("trainval", "trainvalid", "trainvalidation"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("eval", "evaluation", "holdout", "development")),
}
_FILLER = "(?:set|dataset|data|image|img|picture|photo|file|split|part|fold)s?"
_IS_FILLER = re.compile(_FILLER)
_IS_SPLIT = re.compile(f"(?:{_FILLER})?({'|'.join(SPLIT_WORDS)})(?:{_FILLER})?")
_TWO_WORDS = re.compile(r"(train|hold)[\W_]+(val|out)")
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")


def split_of(name: str) -> str | None:
    """Return the split that a name such as `Training set` stands for; None if it is no split."""
    split, rest = _split_like(name) or (None, ())
    return None if rest else split


def _split_like(name: str) -> tuple[str | None, tuple[str, ...]] | None:
    """Return the split in a name, and the other words in it: of `seg_train2`, train and `seg`."""
    spaced = _CAMEL_CASE.sub(" ", name).lower()
    words = _WORD.findall(_TWO_WORDS.sub(r"\1\2", spaced))
    found = [match for word in words if (match := _IS_SPLIT.fullmatch(word))]
    if len(found) != 1:
        return None
    rest = [word for word in words if word != found[0][0] and not _IS_FILLER.fullmatch(word)]
    return SPLIT_WORDS[found[0][1]], tuple(rest)


def split_folders(root: Path, names: set[str], complete: bool = True) -> dict[str, str]:
    """Return the split that each folder of the first level stands for; none, if they are classes.

    One name of a split among others is a class, such as `train` beside `bus`. So are `steam_train`
    and `blood_test`, but not `seg_train` and `seg_test`.

    Args:
        root: the folder, for messages.
        names: of the folders in it.
        complete: refuse splits without `train` or `test`, or that may be either; else these count
            as `test`.

    Raises:
        InputError: it cannot be told which they are.
    """
    like = {name: found for name in sorted(names) if (found := _split_like(name))}
    for rest in sorted({rest for _, rest in like.values()}):
        splits = {name: split for name, (split, its) in like.items() if its == rest}
        present, others = set(splits.values()), sorted(names - set(splits))
        if len(present) < 2 and (others or rest):
            continue
        named = ", ".join(f"`{name}`" for name in splits)
        if others:
            raise InputError(
                f"{root} has the folders {named}, which are names of splits, and `{others[0]}`"
                " beside them; expected only splits, with one folder per class in each, or classes"
                " alone: move it away, or give a table of files and labels"
            )
        if not complete:
            return {name: split or "test" for name, split in splits.items()}
        known = {name: split for name, split in splits.items() if split is not None}
        if unclear := sorted(set(splits) - set(known)):
            raise InputError(
                f"{root} has the folders {named}, which are names of splits, but `{unclear[0]}` may"
                " be the validation or the test split; call it `validation` or `test`, or give a"
                " table of files, labels and splits"
            )
        if not {"train", "test"} <= present:
            missing = "test" if "train" in present else "train"
            raise InputError(
                f"{root} has the folders {named}, which are names of splits, but none for"
                f" `{missing}`; rename one (validation is cut from `train` if it is not given), or"
                " give a table of files, labels and splits"
            )
        return known
    present = {split for split, _ in like.values()}
    is_bare = any(not rest for _, rest in like.values())
    if len(like) == len(names) and {"train", "test"} <= present and is_bare:
        named = ", ".join(f"`{name}`" for name in like)
        raise InputError(
            f"{root} has the folders {named}, which are names of splits, but not of one set of"
            " splits; call them `train` and `test` (and `validation`), or give a table of files,"
            " labels and splits"
        )
    return {}


def below_splits(
    root: Path, files: Sequence[PurePath], complete: bool = True
) -> list[tuple[str | None, tuple[str, ...]]]:
    """Return the split of each picture, None if there are no splits, and the folders below it.

    Args:
        root: the folder of class folders, or of folders of splits that hold class folders.
        files: the pictures, relative to the root.
        complete: see `split_folders`.

    Raises:
        InputError: a picture lies in a split but in no class folder; or it cannot be told whether
            folders are splits.
    """
    names = {file.parts[0] for file in files if len(file.parts) > 1}
    splits = split_folders(root, names, complete)
    if not splits:
        return [(None, file.parts[:-1]) for file in files]
    if stray := [file for file in files if len(file.parts) < 3]:
        raise InputError(
            f"{root / stray[0]} lies in no class folder; expected {root}/split/label/file, or a"
            " table of files, labels and splits"
        )
    return [(splits[file.parts[0]], file.parts[1:-1]) for file in files]


def class_folders(file: Path, folders: tuple[str, ...], level: Level) -> tuple[str, ...]:
    """Return the folders that name the class, of those that a picture lies in.

    Raises:
        InputError: there are fewer than the level.
    """
    depth = len(folders) if level == "leaf" else 1 if level == "top" else level
    if len(folders) < depth:
        raise InputError(
            f"{file} is nested {len(folders)} deep, but the class is to be named by the first"
            f" {depth} folders (data.label_level, --label-level); choose a smaller number, or"
            " `leaf`: all folders"
        )
    return folders[:depth]


def nested_note(root: Path, depth: int, level: Level) -> list[str]:
    """Return a note if there are folders in class folders, and nobody said what they are."""
    if level != "top" or depth < 2:
        return []
    return [
        f"note: {root}: folders are nested {depth} deep; the first level names the class"
        " (data.label_level: top); `--label-level leaf` takes all, down to the last"
    ]


def labels_of(files: Mapping[Path, Path], level: Level) -> tuple[dict[Path, str], list[str]]:
    """Return the labels of pictures, and notes on what is worth knowing.

    Args:
        files: the folder in which each was found. The folders below that name its class; if there
            are none, the name of the folder itself does.
        level: which folder is the class.

    Raises:
        InputError: see `below_splits` and `class_folders`; or a folder holds pictures and folders
            of pictures, so it cannot be told whether it is a class.
    """
    labels: dict[Path, str] = {}
    notes: list[str] = []
    by_root, roots_of = defaultdict(list), defaultdict(set)
    for file, root in files.items():
        by_root[root].append(file)
    for root, found in sorted(by_root.items()):
        placed = below_splits(root, [file.relative_to(root) for file in found], complete=False)
        below = [folders for _, folders in placed]
        depths = {len(folders) for folders in below}
        if 0 in depths and len(depths) > 1:
            raise InputError(
                f"{root} holds pictures and folders of pictures, so it may be a class or hold"
                " classes; give the folders in it one by one, or all that is in it one `--label`"
            )
        notes += nested_note(root, max(depths), level)
        for file, folders in zip(found, below, strict=True):
            # Not resolved: a link to a folder has the name that the user gave it.
            own_name = Path(os.path.abspath(root)).name  # noqa: PTH100
            names = class_folders(file, folders, level) if folders else (own_name,)
            labels[file] = one_form("/".join(names))
            if folders:
                roots_of[labels[file]].add(root)
    if several := sorted(label for label, roots in roots_of.items() if len(roots) > 1):
        one, other, *_ = sorted(roots_of[several[0]])
        notes.append(
            f"note: `{several[0]}` is a folder in {one} and in {other}, and is taken for one class;"
            f" if {one.name} and {other.name} are the classes, give the folder that holds them"
        )
    return labels, notes


def one_form(name: str) -> str:
    """Return a name in one form of Unicode: archives made on macOS write é as e and an accent."""
    return unicodedata.normalize("NFC", name)
