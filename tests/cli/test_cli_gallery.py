"""The commands on images, as a person types them, in a folder with a finished pipeline."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.base.dataset import load_dataset
from siamese.cli.gallery import _outvoted
from siamese.cli.main import main
from siamese.gallery.answers import LabelCount
from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from tests.support.galleries import claims_at, save_claims, save_other_model
from tests.support.listed import listed
from tests.support.pictures import draw
from tests.support.service import plain
from tests.support.workspace import ROOT, Workspace


@pytest.fixture(scope="session")
def place(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model, embeddings, prepared data and a gallery; and, in `pictures`, test images."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("model", "embeddings", "prepared"):
        shutil.copytree(finished.path / "data" / name, folder / "data" / name)
    dataset = load_dataset(folder / "data/prepared")
    for row in dataset.rows("test")[::40]:
        file = folder / "pictures" / str(dataset.fine()[row]) / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(dataset.images[row])).save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["gallery", "build"]) == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand there. Tests must leave its gallery as it is."""
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def own(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a copy for one test to change."""
    folder = Path(shutil.copytree(place, tmp_path / "own"))
    monkeypatch.chdir(folder)
    return folder


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_commands_import_only_what_they_need(here: Path) -> None:
    pictures = sorted(map(str, here.glob("pictures/*/*.png")))
    verify = ["verify", *pictures[:2]], ["lancedb", "sklearn", "matplotlib"]
    classify = ["classify", pictures[0]], ["sklearn", "matplotlib", "torchvision"]
    listing = ["gallery", "list"], ["torch", "sklearn", "matplotlib"]
    for in_one_process in ([verify, classify], [listing]):
        code = (
            "import sys; from siamese.cli.main import main\n"
            f"for arguments, unneeded in {in_one_process}:\n"
            "    assert main(arguments) == 0\n"
            "    assert not set(unneeded) & set(sys.modules), arguments"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_classify_answers_each_image_in_a_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "pictures", "-k", "5", "--json"]) == 0
    answers = lines_of(capsys)
    files = sorted(map(str, Path("pictures").glob("*/*.png")))
    assert [answer["file"] for answer in answers] == files
    right = [answer["votes"][0]["label"] == Path(answer["file"]).parent.name for answer in answers]
    assert np.mean(right) > 0.5  # a few batches of training; by chance it would be 0.1
    for answer in answers:
        assert len(answer["neighbours"]) == 5
        assert answer["label"] == (None if answer["is_novel"] else answer["votes"][0]["label"])
    assert main(["classify", files[0], "pictures/1*/*.png"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith(f"{files[0]}: ")
    assert "% of 20 votes" in text[0]
    assert len(text) == 1 + len(list(Path("pictures").glob("1*/*.png")))


def test_broken_images_get_a_line_each_and_the_rest_goes_on(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "pictures/broken.png").write_bytes(b"nothing like an image")
    (own / "pictures/empty.jpg").touch()
    n_good = len(list(own.glob("pictures/*/*.png")))
    assert main(["classify", "pictures", "--json"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == n_good
    errors = captured.err.splitlines()
    assert len(errors) == 2
    assert "pictures/broken.png" in errors[0]
    assert "pictures/empty.jpg" in errors[1]
    assert main(["enroll", "pictures", "--label", "all"]) == 1
    assert f"{n_good} images enrolled" in capsys.readouterr().out
    assert main(["search", "pictures/empty.jpg"]) == 1
    assert "empty.jpg" in capsys.readouterr().err


def test_an_image_unlike_anything_is_said_to_be(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "build"]) == 0
    assert "built from the same embeddings already; nothing to do" in capsys.readouterr().out
    # The strictest share: only the nearest validation image counts as known.
    assert main(["gallery", "build", "--novelty-share", "0.001"]) == 0
    assert main(["classify", "pictures"]) == 0
    text = capsys.readouterr().out
    assert "unlike anything in the gallery (nearest at " in text
    assert main(["classify", "pictures", "--json"]) == 0
    assert any(answer["is_novel"] and answer["label"] is None for answer in lines_of(capsys))


def test_search_prints_and_draws_the_nearest(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = min(map(str, Path("pictures").glob("3/*.png")))
    assert main(["search", picture, "-k", "7", "--json", "--sheet", str(tmp_path / "s.png")]) == 0
    found = lines_of(capsys)
    assert len(found) == 7
    assert [one["distance"] for one in found] == sorted(one["distance"] for one in found)
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 500
    assert main(["search", picture, "-k", "7"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in text] == [f"{one['distance']:.4f}" for one in found]


def test_a_sheet_is_drawn_though_the_reader_of_the_answer_has_stopped(
    own: Path,
) -> None:
    picture = min(map(str, Path("pictures").glob("3/*.png")))
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "siamese.cli.main", "search", picture, "--sheet", "s.png")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run(command, env=environment, stdout=writer).returncode == 0
    os.close(writer)
    assert Path("s.png").stat().st_size > 1000


def test_letters_without_a_glyph_leave_the_answer_json(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = min(map(str, Path("pictures").glob("3/*.png")))
    enroll = ["enroll", picture, "--label", "猫の手", "--new", "--gallery", "mine"]
    assert main(enroll) == 0
    capsys.readouterr()
    assert main(["search", picture, "--gallery", "mine", "--json", "--sheet", "s.png"]) == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["label"] for line in printed.out.splitlines()] == ["猫の手"]
    assert "has boxes for" in printed.err


def test_verify_gives_distance_threshold_and_rates(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = sorted(map(str, Path("pictures").glob("*/*.png")))[::3][:2]
    assert main(["verify", one, one, "--json"]) == 0
    [same] = lines_of(capsys)
    assert same["same"] is True
    assert same["distance"] < 1e-5
    assert main(["verify", one, other, "--far", "0.01", "--json"]) == 0
    [verdict] = lines_of(capsys)
    assert verdict["same"] == (verdict["distance"] <= verdict["threshold"])
    assert verdict["far"] <= 0.01
    assert main(["verify", one, one]) == 0
    assert capsys.readouterr().out.startswith("the same: distance 0.0000, within the threshold of ")
    assert main(["verify", one, one, "--far", "2"]) == 1
    assert "the false-accept rate is 2.0; expected a number" in capsys.readouterr().err


def test_verify_as_a_label_judges_each_image_as_the_gallery_does(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(map(str, Path("pictures").glob("*/*.png")))
    save_claims(own / "data/model", claims_at(0.0, 0.6))
    expected = Gallery.open("data/gallery", load_model("data/model")).verify_claim(files, "3")
    assert len({one.accepted for one in expected}) == 2
    assert main(["verify", "--as", "3", "pictures", "--json"]) == 0
    answers = lines_of(capsys)
    assert [answer.pop("file") for answer in answers] == files
    assert answers == [plain(one) for one in expected]
    assert main(["verify", *files, "--as", "3"]) == 0
    for line, file, one in zip(capsys.readouterr().out.splitlines(), files, expected, strict=True):
        said, within = ("accepted", "within") if one.accepted else ("rejected", "beyond")
        assert line == (
            f"{file}: {said} as 3: mean distance {one.distance:.4f} to {one.references} images,"
            f" {within} the threshold of 0.6000; nearest: {one.nearest.distance:.4f}"
            f" ({one.nearest.file}). There, of validation claims against 3, 3.00% of the strangers"
            " are accepted, 1.50% of the true rejected"
        )


def test_verify_as_a_label_of_one_image_that_is_there_already(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [picture, *_] = sorted(map(str, Path("pictures").glob("*/*.png")))
    save_claims(own / "data/model", claims_at(0.5, rule="min"))
    Path("pictures/broken.png").write_bytes(b"no picture")
    assert main(["enroll", picture, "--label", "writer 1", "--new", "--gallery", "mine"]) == 0
    capsys.readouterr()
    command = ["verify", "--gallery", "mine", picture]
    assert main([*command, "pictures/broken.png", "--as", "writer 1"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(
        f"{picture}: accepted as writer 1: least distance 0.0000 to 1 image, within the threshold"
    )
    assert f"({picture}); the gallery has an exact copy of it. There, of" in printed.out
    assert "broken.png: not a picture" in printed.err
    assert main([*command, "--as", "Writer"]) == 1
    assert "has the label 'Writer'; did you mean `writer 1`?" in capsys.readouterr().err
    assert main([*command, "--as", "writer 1", "--far", "0.1"]) == 1
    assert "--far: claims have one threshold for each number of" in capsys.readouterr().err
    assert main(command) == 1
    assert "1 image to verify; expected two, or `--as LABEL`" in capsys.readouterr().err
    save_claims(own / "data/model", None)
    assert main([*command, "--as", "writer 1"]) == 1
    assert "this model has no thresholds for claims: " in capsys.readouterr().err


def test_enrolment_by_folder_names_and_removal(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("square", "cross"):
        (own / "shapes" / name).mkdir(parents=True)
    square, cross = np.zeros((2, 40, 40, 3), dtype=np.uint8)
    square[10:30, 10:30] = 255
    cross[18:22], cross[:, 18:22] = 255, 255
    Image.fromarray(square).save("shapes/square/a.png")
    Image.fromarray(cross).save("shapes/cross/b.bmp")
    assert main(["enroll", "shapes"]) == 0
    told = capsys.readouterr()
    assert "2 images enrolled" in told.out
    assert "fewer than 10 images in the gallery: `cross` (1) and 1 more" in told.err
    assert "`siamese classify -k 1`" in told.err
    assert main(["enroll", "shapes/square/a.png", "shapes/cross"]) == 0
    assert "0 images enrolled, 2 were there already" in capsys.readouterr().out
    assert main(["classify", "shapes", "-k", "1", "--json"]) == 0
    assert [answer["label"] for answer in lines_of(capsys)] == ["cross", "square"]
    assert main(["gallery", "list", "--json"]) == 0
    counts = {count["label"]: count for count in lines_of(capsys)}
    assert counts["cross"] == {"label": "cross", "pipeline": 0, "enrolled": 1}
    assert main(["gallery", "info"]) == 0
    assert "1,439 (1,437 from the pipeline, 2 enrolled) of 12 classes" in capsys.readouterr().out
    assert main(["gallery", "info", "--json"]) == 0
    assert lines_of(capsys)[0]["enrolled"] == 2
    assert main(["gallery", "remove", "--label", "cross"]) == 0
    assert main(["gallery", "remove", "--file", "shapes/square/a.png"]) == 0
    assert main(["gallery", "remove", "--label", "cross"]) == 1
    assert "data/gallery has it" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["top", "leaf", "2"])
@pytest.mark.parametrize("split", [False, True])
def test_enrolment_names_classes_as_adopting_does(
    own: Path, capsys: pytest.CaptureFixture[str], level: str, split: bool
) -> None:
    for number, name in enumerate(("birds/owl/barn", "birds/duck", "pets/cat")):
        for folder in {"train", "test"} if split else {""}:
            draw(own / "photos" / folder / name / "1.png", number)
    draw(own / "photos/@eaDir/1.png")
    command = ["enroll", "photos", "--label-level", level, "--new", "--gallery", "mine"]
    assert main(command) == 0
    told = capsys.readouterr().err
    assert "passed over, as hidden or as what a system keeps for itself: 1 @eaDir/" in told
    assert ("note: photos: folders are nested 3 deep" in told) == (level == "top")
    assert main(["gallery", "list", "--gallery", "mine", "--json"]) == 0
    enrolled = [count["label"] for count in lines_of(capsys)]
    as_level = int(level) if level.isdecimal() else level
    assert sorted(enrolled) == list(listed(Path("photos"), label_level=as_level).classes.fine)


def test_enrolment_takes_a_label_or_a_level(capsys: pytest.CaptureFixture[str]) -> None:
    for options, told in (
        (["--label", "owl", "--label-level", "leaf"], "not allowed with argument --label"),
        (["--label-level", "0"], "'0'; expected top, leaf or a number from 1 on"),
    ):
        with pytest.raises(SystemExit):
            main(["enroll", "photos", *options])
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n_new", "n_other", "said"),
    [
        (9, 100, "`new` (9); the largest class has 100"),
        (3, 4, "`siamese classify -k 5`"),
        (10, 100, None),  # half of the votes
        (3, 3, None),  # no class is larger
    ],
)
def test_a_class_that_can_only_be_outvoted_is_named(
    n_new: int, n_other: int, said: str | None
) -> None:
    counts = [LabelCount("new", 1, n_new - 1), LabelCount("other", n_other, 0)]
    note = _outvoted(counts, {"new"})
    assert (note is None) if said is None else (note is not None and said in note)
    # By brute force: the new class is nearest with all it has, then comes the other.
    new, other = min(n_new, 20), min(n_other, 20 - min(n_new, 20))
    assert (other > new) == (note is not None)
    assert _outvoted(counts, {"other"} if n_other > 10 else set()) is None


def test_a_gallery_of_enrolled_rows_alone(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enroll", "pictures", "--gallery", "mine"]) == 1
    assert "mine: there is no gallery; `siamese gallery build`" in capsys.readouterr().err
    assert main(["enroll", "pictures", "--gallery", "mine", "--new"]) == 0
    picture = min(map(str, Path("pictures").glob("*/*.png")))
    capsys.readouterr()
    assert main(["classify", picture, "-k", "1", "--gallery", "mine", "--json"]) == 0
    [answer] = lines_of(capsys)
    assert answer["label"] == Path(picture).parent.name
    assert answer["neighbours"][0]["file"] == picture


def test_new_overwrites_nothing_however_the_gallery_is_named(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(own))
    assert main(["enroll", "pictures", "--gallery", "mine", "--new"]) == 0
    n_rows = len(list(own.glob("pictures/*/*.png")))
    for address in ("~/mine", "mine/", str(own / "mine"), f"file://{own}/mine", "data/../mine"):
        assert main(["enroll", "pictures", f"--gallery={address}", "--new"]) == 1
        assert "mine: there is a gallery already" in capsys.readouterr().err
    assert main(["gallery", "info", "--gallery=~/mine", "--json"]) == 0
    assert lines_of(capsys)[0]["enrolled"] == n_rows
    assert sorted(path.name for path in own.iterdir()) == ["data", "mine", "pictures"]


def test_tidy_clears_what_was_removed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enroll", "pictures/1", "--label", "secret"]) == 0
    assert main(["gallery", "remove", "--label", "secret"]) == 0
    assert "`siamese gallery tidy` clears these" in capsys.readouterr().err

    def is_held() -> bool:
        files = [file for file in Path("data/gallery").rglob("*") if file.is_file()]
        return any(b"secret" in file.read_bytes() for file in files)

    assert is_held()
    assert main(["gallery", "tidy"]) == 0
    assert "its files hold its 1,437 rows and nothing else" in capsys.readouterr().out
    assert not is_held()


def test_a_small_gallery_answers_without_k(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enroll", "pictures/1", "--gallery", "mine", "--new"]) == 0
    n_rows = len(list(own.glob("pictures/1/*.png")))
    assert n_rows < 10
    capsys.readouterr()
    for ask in ("classify", "search"):
        picture = min(map(str, own.glob("pictures/1/*.png")))
        assert main([ask, picture, "--gallery", "mine", "--json"]) == 0
        found = lines_of(capsys)
        assert len(found if ask == "search" else found[0]["neighbours"]) == n_rows
        assert main([ask, picture, "--gallery", "mine", "-k", "20"]) == 1
        assert f"20 neighbours are asked for, but the gallery at {own}" in capsys.readouterr().err


def test_an_answer_is_one_line_whatever_the_files_are_called(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, no_text = "odd/two\nlines.png", os.fsdecode(b"caf\xe9.png")
    (own / "odd").mkdir()
    shutil.copy(min(own.glob("pictures/2/*.png")), name)
    shutil.copy(name, no_text)
    assert main(["enroll", "odd"]) == 0
    capsys.readouterr()
    assert main(["classify", "odd", "-k", "1"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("odd/two\\nlines.png: odd, 100% of 1 votes")
    assert main(["search", no_text, "-k", "1"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert "odd  odd/two\\nlines.png  (number " in line
    assert main(["classify", "odd", "--json"]) == 0
    assert [answer["file"] for answer in lines_of(capsys)] == [name]
    for command in ("enroll", "classify"):
        assert main([command, no_text]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line == "siamese: the name 'caf\\udce9.png' is not UTF-8; rename it"
    assert main(["gallery", "remove", "--file", no_text]) == 1
    assert "no row of" in capsys.readouterr().err
    assert main(["gallery", "remove", "--file", name]) == 0
    assert "1 enrolled rows removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["enroll", "pictures", "--label", ""], "a label is empty"),
        (["enroll", "pictures", "--label", "a\tb"], "the label 'a\\tb' cannot be the name of a"),
        (["enroll", "pictures", "--label", "a\nb"], "the label 'a\\nb' cannot be the name of a"),
        (
            ["enroll", "folder\tof", "--new"],
            "the label 'folder\\tof' cannot be the name",
        ),
        (["enroll", "pictures", "--label", os.fsdecode(b"\xe9")], "the label '\\udce9' cannot be"),
        (["classify", "pictures", "--gallery", ""], "'' cannot be the address of a gallery"),
        (["classify", "pictures", "--gallery", "a.png"], "a.png: there is no gallery"),
        (["enroll", "pictures", "--gallery", "a.png"], "a.png: there is no gallery"),
        (
            ["enroll", "a.png", "--new", "--gallery", "a.png"],
            "a.png: the gallery cannot be written",
        ),
        (["gallery", "build", "--gallery", "a.png"], "a.png: the gallery cannot be written to"),
        (["gallery", "tidy", "--gallery", "none"], "none: there is no gallery"),
        (["gallery", "remove", "--number", str(10**30)], "0: no row of "),
        (["gallery", "remove", "--label", os.fsdecode(b"\xe9")], "no row of "),
        (["classify", "a.png", "--model", "other"], "another model made this gallery"),
        (["enroll", "a.png", "--model", "other"], "another model made this gallery"),
        (["classify", "a.png", "--model", "data"], "is data a model folder?"),
        (
            ["search", "a.png", "--sheet", "pictures"],
            "pictures: cannot be written (Is a dir",
        ),
        (["search", "a.png", "--sheet", "a.png/b.png"], "a.png/b.png: cannot be written ("),
        (["classify", "a.png", "-k", "-1"], "-1 neighbours are asked for"),
    ],
)
def test_wrong_input_gets_one_sentence(
    odd: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = sorted(odd.rglob("*"))
    assert main(arguments) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith("siamese: ")
    assert said in error[0]
    assert sorted(odd.rglob("*")) == before


@pytest.fixture(scope="module")
def odd_place(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(place, tmp_path_factory.mktemp("odd") / "place"))
    shutil.copy(min(folder.glob("pictures/1/*.png")), folder / "a.png")
    (folder / "folder\tof").mkdir()
    shutil.copy(folder / "a.png", folder / "folder\tof")
    save_other_model(load_model(folder / "data/model"), folder / "other")
    return folder


@pytest.fixture
def odd(odd_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where there is wrong input of many kinds; none of it changes anything."""
    monkeypatch.chdir(odd_place)
    return odd_place
