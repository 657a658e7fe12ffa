"""No input ends in a traceback: neither parameters, nor damaged files, nor arguments.

Whatever is not an answer must be one of the messages that the command line and the stages print as
they are. Commands that do no more than run others (`demo`, `review`) are left out.
"""

import argparse
import copy
import importlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siamese.base.params import read_document
from siamese.cli.main import command_parser, main
from tests.support.workspace import Workspace

FILES = (
    *("params.yaml", "dvc.lock", "dvc.yaml"),
    *("data/raw/images.npy", "data/raw/samples.parquet", "data/raw/classes.json"),
    *("data/prepared/images.npy", "data/prepared/samples.parquet", "data/prepared/classes.json"),
    *("data/pairs/train.parquet", "data/pairs/validation.parquet", "data/pairs/test.parquet"),
    *("data/duplicates/near_duplicates.parquet", "data/embeddings/gallery.parquet"),
    *("data/embeddings/queries.parquet", "data/model/model.safetensors"),
    *("data/model/network.json", "data/model/classes.json", "data/model/verification.json"),
    *("metrics/evaluation.json", "metrics/details.json", "metrics/training.json"),
    *("metrics/training.csv", "metrics/floor.json", "metrics/classes.csv", "metrics/roc.csv"),
    *("metrics/per_query.parquet", "metrics/per_pair.parquet", "metrics/ran_on.json"),
)
STAGES = ("prepare", "duplicates", "pairs", "train", "embed", "floor", "evaluate")
# The longest, and one that ends only when it is told to.
LEFT_OUT = ("demo", "review", "serve")
# Arguments: names of files that are there, and what people and machines mistake for one.
WORDS = (
    *("data/prepared", "data/model", "data/gallery", "data/raw/images.npy", "params.yaml"),
    *("image.png", "empty", "photos", "labels.csv", "data", "metrics/roc.csv", "main", "HEAD"),
    *("workspace", "a-*", "", " ", "0", "-1", "1", "3", "1e99", "nan", "0.5", "~", "~nobody/x"),
    *("s3://", "file://", "…", "caf\udce9.png", "x" * 300, "a\nb", "[", "*", "**/*"),
    *("-k", "--", "zebra", "top", "leaf"),
)  # fmt: skip
values = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    st.lists(st.integers(-2, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers()),
    st.sampled_from([0, 1, -1, 2, 10**30, 1e-300, 1e300, "none", "auto", "../x", "/"]),
)  # fmt: skip
# The fixture is brought back by hand between examples; failures are shown, not kept for later.
by_hand = settings(suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def sound(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished digits, a gallery of them, and a few files to ask about."""
    workspace = finished.copy_to(tmp_path_factory.mktemp("any") / "repository")
    workspace.change_params({"pairs": {"epochs": 1, "batches_per_epoch": 1}})
    workspace.siamese("gallery", "build")
    shutil.copy(workspace.path / "data/pictures/confusion.png", workspace.path / "image.png")
    (workspace.path / "empty").touch()
    (workspace.path / "labels.csv").write_text("file,label\nimage.png,owl\nempty,cat\n")
    for name in ("photos/owl/1.png", "photos/cat/2.png"):
        (workspace.path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workspace.path / "image.png", workspace.path / name)
    return workspace


@pytest.fixture
def again(sound: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable]:
    """Stand in a copy of that workspace; what is yielded brings it back to what it was."""
    here = sound.copy_to(tmp_path / "repository")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(here.path)
    names = [file.relative_to(sound.path) for file in sound.path.rglob("*") if file.is_file()]
    names = [name for name in names if name.parts[0] not in (".git", ".dvc", "src", "stages")]

    def restore() -> None:
        os.chdir(here.path)
        for name in names:
            file, target = sound.path / name, here.path / name
            if target.is_dir():
                shutil.rmtree(target)
            if not target.exists() or target.stat().st_mtime != file.stat().st_mtime:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)

    yield restore
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(1)


def run_command(*arguments: str) -> tuple[int, str]:
    """Run a command of `siamese` in this process; return its status and all that it printed."""
    content = io.BytesIO()
    printed = io.TextIOWrapper(content, encoding="utf-8", errors="backslashreplace")
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse refuses
            status = int(end.code or 0)
    printed.flush()
    return status, content.getvalue().decode()


def run_stage(name: str) -> None:
    """Run a stage in this process."""
    stage = importlib.import_module(name)
    workspace = importlib.import_module("workspace")
    with redirect_stdout(io.StringIO()):
        try:
            workspace.run(stage.main)
        except SystemExit as end:
            message = end.code
        else:
            return
    assert isinstance(message, str), "what the shell prints"
    assert len(message) < 20_000


def keys(document: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key, of nested mappings too."""
    for key, value in document.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


def changed(data: st.DataObject, document: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with a few of them replaced, removed or added."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, key = data.draw(st.sampled_from(list(keys(document))))
        group: Any = document
        for name in above:
            group = group[name]
        match data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"])):
            case "replace":
                group[key] = data.draw(values)
            case "remove":
                del group[key]
            case "add":
                group[data.draw(st.one_of(st.text(max_size=5), st.integers()))] = 1
        if not document:
            break
    return document


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """Return a file's bytes cut, changed in places, or replaced."""
    match data.draw(st.sampled_from(["cut", "flip", "replace", "insert"])):
        case "cut":
            return content[: data.draw(st.integers(0, len(content)))]
        case "flip":
            changed = bytearray(content)
            for _ in range(data.draw(st.integers(1, 4))):
                changed[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(
                    st.integers(1, 255)
                )
            return bytes(changed)
        case "insert":
            at = data.draw(st.integers(0, len(content)))
            words = st.sampled_from(
                [b"\t", b"<<<<<<< HEAD\n", b"\n", b"NaN", b"\xff", b'"', b"{", b","]
            )
            return content[:at] + data.draw(words) + content[at:]
    return data.draw(
        st.sampled_from([b"", b"{}", b"[]", b"null", b"1", b"\xff\xfe", b"PAR1", b"a,b\n"])
    )


@pytest.mark.slow
@settings(by_hand, max_examples=400)
@given(data=st.data())
def test_any_parameters(again: Callable[[], None], data: st.DataObject) -> None:
    again()
    document = changed(data, read_document(Path("params.yaml")))
    Path("params.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    status, printed = run_command("check")
    assert status == 0 or printed.startswith("siamese: ")
    # Sound ones run as well: those that need no training, whatever size is asked for.
    if status == 0 and document["data"]["name"] == "digits":
        run_stage(data.draw(st.sampled_from(["prepare", "pairs"])))


@pytest.mark.slow
@settings(by_hand, max_examples=100)
@given(data=st.data())
def test_damaged_files(again: Callable[[], None], data: st.DataObject) -> None:
    again()
    file = Path(data.draw(st.sampled_from(FILES)))
    content = file.read_bytes()
    file.unlink()
    match data.draw(st.sampled_from(["damage", "damage", "damage", "damage", "folder", "missing"])):
        case "damage":
            file.write_bytes(damaged(data, content))
        case "folder":
            file.mkdir()
    if data.draw(st.booleans()):
        run_stage(data.draw(st.sampled_from(STAGES)))
    commands = (["show"], ["compare", "HEAD"], ["report", "HEAD"], ["gallery", "build"], ["check"])
    asked = (["classify", "image.png"], ["verify", "image.png", "photos/cat/2.png"])
    run_command(*data.draw(st.sampled_from([*commands, *asked])))


@pytest.mark.slow
@settings(by_hand, max_examples=300)
@given(data=st.data())
def test_any_arguments(again: Callable[[], None], data: st.DataObject) -> None:
    again()
    # No process can be given a NUL.
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
    words = st.one_of(st.sampled_from(WORDS), text)
    parser, arguments = command_parser(), list[str]()
    while known := next(
        (one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)),
        None,
    ):
        name = data.draw(st.sampled_from([name for name in known if name not in LEFT_OUT]))
        arguments.append(name)
        parser = known[name]
    for action in parser._actions:
        wanted = not action.option_strings or data.draw(st.integers(0, 3)) == 0
        if not wanted or isinstance(action, argparse._HelpAction):
            continue
        if action.option_strings:
            arguments.append(data.draw(st.sampled_from(list(action.option_strings))))
        if action.nargs != 0:
            choices = [str(one) for one in action.choices or ()]
            arguments.append(data.draw(st.sampled_from(choices) if choices else words))
    run_command(*arguments)
