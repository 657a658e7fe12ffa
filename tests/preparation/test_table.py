"""Listing tables of images: however they are written, and with every fault people make in them."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.preparation.listing import Listing
from siamese.preparation.table import TABLES
from tests.support.listed import listed
from tests.support.workspace import ROOT

WRITTEN = {
    **{name: name for name in ("file", "label", "split", "group", "coarse", "kind")},
    **{"header": True, "separator": ",", "encoding": "utf-8", "suffix": ""},
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of files; none is opened here, so that they may be empty."""
    touch(tmp_path / "photos", "owl/1.png", "owl/2.png", "cat/1.png", "cat/2.png", "a b.png")
    return tmp_path / "photos"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def save(table: pd.DataFrame, file: Path) -> Path:
    if file.suffix == ".csv":
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file, index=False)
    return file


def listed_table(photos: Path, content: str | bytes, name: str = "t.csv", **how: Any) -> Listing:
    """List a table of this content; `how` is what `data.table` says, or `data` for other names."""
    table = photos.parent / name
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    written = WRITTEN | {key: value for key, value in how.items() if key in WRITTEN}
    others = {key: value for key, value in how.items() if key not in WRITTEN}
    return listed(table, photos, table=written, **others)


def labels(listing: Listing) -> dict[str, str]:
    names = np.array(listing.classes.fine, dtype=object)[listing.samples["fine"]]
    return dict(zip(listing.samples["file"], names, strict=True))


OWL_AND_CAT = {"owl/1.png": "owl", "cat/1.png": "cat"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables(photos: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {
            "taken": ["2020", "2021", "2022", "2023"],
            "file": ["owl/2.png", "cat/1.png", "owl/1.png", "cat/2.png"],
            "label": ["007", "NA", "007", "NA"],
            "split": ["test", "train", "train", "test"],
            "group": [3, 1, 3, 2],
            "coarse": ["bird", "pet", "bird", "pet"],
        }
    )
    listing = listed(save(table, photos.parent / f"table{suffix}"), photos)
    assert listing.root == photos
    assert listing.classes.fine == ("007", "NA")
    assert listing.classes.coarse == ("bird", "pet")
    assert listing.samples["file"].tolist() == ["cat/1.png", "cat/2.png", "owl/1.png", "owl/2.png"]
    assert listing.samples["fine"].tolist() == [1, 1, 0, 0]
    assert listing.samples["coarse"].tolist() == [1, 1, 0, 0]
    assert listing.samples["split"].tolist() == ["train", "test", "train", "test"]
    assert listing.samples["group"].tolist() == ["1", "2", "3", "3"]


@pytest.mark.parametrize(
    ("content", "how"),
    [
        ("file,label\nowl/1.png,owl\ncat/1.png,cat\n", {}),
        ("file,label\r\nowl/1.png,owl\r\ncat/1.png,cat\r\n", {}),
        ("file,label\rowl/1.png,owl\rcat/1.png,cat", {}),
        ("\ufefffile,label\nowl/1.png,owl\ncat/1.png,cat\n", {}),
        (' file , "label"\n owl/1.png , "owl"\n\n,\ncat/1.png ,cat,\n', {}),
        ("file;label;n\nowl/1.png;owl;1,5\ncat/1.png;cat;2\n", {"separator": ";"}),
        ("label\tfile\nowl\towl/1.png\ncat\tcat/1.png\n", {"separator": "\t"}),
        ("owl/1.png  owl \ncat/1.png cat\n", {"separator": " ", "header": False}),
        ("owl/1.png, owl, 3\ncat/1.png, cat, 4\n", {"header": False}),
        (",file,label\n0,owl/1.png,owl\n1,cat/1.png,cat\n", {}),
        ("file,label,x,x\nowl/1.png,owl,1,2\ncat/1.png,cat,1,2\n", {}),
        ("path,kind\nowl/1.png,owl\ncat/1.png,cat\n", {"file": "path", "label": "kind"}),
        ("file,label\nowl/1,owl\ncat/1,cat\n", {"suffix": ".png"}),
        ("file,label\nowl\\1.png,owl\n.\\cat\\1.png,cat\n", {}),
        ("file,label\n./owl/1.png,owl\ncat//1.png,cat\n", {}),
        ("file,label\nphotos/owl/1.png,owl\nphotos/cat/1.png,cat\n", {}),
        ("file,label\nphotos\\owl\\1.png,owl\ncat/1.png,cat\n", {}),
    ],
)
def test_tables_as_people_write_them(photos: Path, content: str, how: dict[str, Any]) -> None:
    if how.get("header") is False:
        how = {"file": "1", "label": "2"} | how
    assert labels(listed_table(photos, content, **how)) == OWL_AND_CAT


@pytest.mark.parametrize("name", ["t.tsv", "t.txt", "t.lst", "t.CSV"])
def test_other_names_of_tables_of_text(photos: Path, name: str) -> None:
    content = "file,label\nowl/1.png,owl\ncat/1.png,cat\n"
    assert labels(listed_table(photos, content, name)) == OWL_AND_CAT


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-8"])
def test_encodings(photos: Path, encoding: str) -> None:
    content = "file,label\nowl/1.png,Käuzchen\ncat/1.png,cat\n"
    listing = listed_table(photos, content.encode(encoding), encoding=encoding)
    assert labels(listing)["owl/1.png"] == "Käuzchen"


def test_text_stays_as_it_is(photos: Path) -> None:
    content = 'file,label\nowl/1.png,007\ncat/1.png,"7, a ""seven"""\ncat/2.png,NA\na b.png,7.0\n'
    expected = {"owl/1.png": "007", "cat/1.png": '7, a "seven"', "cat/2.png": "NA"}
    assert labels(listed_table(photos, content)) == expected | {"a b.png": "7.0"}
    long = "x" * 100_000
    content = f"file,label\nowl/1.png,{long}\ncat/1.png,cat\n"
    assert labels(listed_table(photos, content))["owl/1.png"] == long


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([7, 12]), ["7", "12"]),
        (pa.array(["owl", "cat"]).dictionary_encode(), ["owl", "cat"]),
        (pa.array([7, 12]).dictionary_encode(), ["7", "12"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["owl", "cat"], pa.large_string()), ["owl", "cat"]),
    ],
)
def test_labels_of_parquet(photos: Path, column: pa.Array, expected: list[str]) -> None:
    files = ["owl/1.png", "cat/1.png"]
    pq.write_table(pa.table({"file": files, "label": column}), photos.parent / "t.parquet")
    found = labels(listed(photos.parent / "t.parquet", photos))
    assert [found[file] for file in files] == expected


def test_parquet_that_is_not_understood(photos: Path) -> None:
    file = photos.parent / "t.parquet"
    pq.write_table(pa.table({"file": ["owl/1.png"], "label": [[1, 2]]}), file)
    with pytest.raises(InputError, match=r"the column `label` holds list<.*; expected text or"):
        listed(file, photos)
    pq.write_table(pa.table({"file": ["owl/1.png", "cat/1.png"], "label": ["owl", None]}), file)
    with pytest.raises(InputError, match="row 2 has no `label`"):
        listed(file, photos)
    pq.write_table(pa.table([["a"], ["b"], ["c"]], ["file", "label", "label"]), file)
    with pytest.raises(InputError, match="two columns are called `label`"):
        listed(file, photos)
    damaged = bytearray(file.read_bytes())
    damaged[-60:-20] = b"\xff" * 40
    file.write_bytes(damaged)
    with pytest.raises(InputError, match=r"t\.parquet: cannot be read .*\((?!None)"):
        listed(file, photos)
    file.write_bytes(b"PAR1 and nothing more PAR1")
    with pytest.raises(InputError, match=r"t\.parquet: cannot be read as Parquet"):
        listed(file, photos)


@pytest.mark.parametrize(
    "splits",
    [
        {"Training": "train", "Testing": "test"},
        {"train": "train", "dev": "validation", "TEST": "test"},
        {"train": "train", "val": "validation", "test": "test"},
    ],
)
def test_other_names_of_splits(photos: Path, splits: dict[str, str]) -> None:
    names = [f"{split}/{number}.png" for split in splits for number in range(2)]
    touch(photos, *names)
    rows = [f"{name},{name[-5]},{name.split('/')[0]}" for name in names]
    samples = listed_table(photos, "\n".join(["file,label,split", *rows])).samples
    folders = samples["file"].str.split("/").str[0]
    assert dict(zip(folders, samples["split"], strict=True)) == splits


GOOD = {"file": ["a.png", "b.png", "c.png"], "label": ["x", "y", "x"]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a.png", "b.png", ""]}, "row 3 has no `file`"),
        ({"label": ["x", " ", "y"]}, "row 2 has no `label`"),
        (
            {"file": ["a.png", "../b.png", "c.png"]},
            r"row 2: the file is '\.\./b\.png'; expected a path below data\.images, relative to it;"
            r" the folder has 'b\.png': take '\.\./' off",
        ),
        (
            {"file": ["a.png", "b.png", "/x/c.png"]},
            "row 3: the file is '/x/c.png'.* take '/x/' off",
        ),
        ({"file": ["a.png", "b.png", "a.png"]}, r"row 3: a\.png is listed a second time"),
        ({"file": ["a.png", "b.png", "./a.png"]}, r"row 3: a\.png is listed a second time"),
        ({"label": ["x", "x", "x"]}, "all 3 images are of one class, `x`"),
        ({"split": ["train", "tset", "test"]}, "row 2: `split` is 'tset'; expected one of"),
        ({"split": ["train", "train", "train"]}, "no row has the split `test`"),
        ({"split": ["train", "", "test"]}, "row 2 has no `split`"),
        ({"coarse": ["p", "p", "q"]}, "the label `x` has the superclasses .* `p` and `q`"),
    ],
)
def test_faults_in_a_table_are_named(
    tmp_path: Path, columns: dict[str, list[str]], message: str
) -> None:
    touch(tmp_path, *GOOD["file"])
    file = save(pd.DataFrame(GOOD | columns), tmp_path / "table.csv")
    with pytest.raises(InputError, match=message):
        listed(file, tmp_path)


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        ("", {}, "no row in it"),
        ("\n\n,\n", {}, "no row in it"),
        ("file,label\n", {}, "no row in it"),
        (
            "file,lable\nowl/1.png,owl\n",
            {},
            "lacks the column `label`; its columns are `file`, `lable`: .* by `--label-column`",
        ),
        (
            "path;kind\nowl/1.png;owl\n",
            {},
            "lacks the columns `file` and `label`; its columns are `path;kind`",
        ),
        ("owl/1.png,owl\ncat/1.png,cat\n", {}, "If its first line is an image too: `--no-header`"),
        (
            "owl/1.png,owl\ncat/1.png,cat\n",
            {"file": "1", "label": "3", "header": False},
            "lacks the column `3`; its columns are `1`, `2`",
        ),
        ("file,label\na,x\nb,y\n", {"group": "writer"}, "lacks the column `writer`"),
        ("file,label,label\na,x,y\n", {}, "two columns are called `label`"),
        ("file,label\nowl/1.png,owl,x\n", {}, "row 1 has 3 fields, but the first line has 2"),
        ("file,label\nowl/1.png\n", {}, "row 1 has no `label`"),
        ('file,label\nowl/1.png,"owl\n', {}, "line 2 cannot be read as fields"),
        (f"file,label\nowl/1.png,{'x' * 200_000}\n", {}, r"line 2 cannot be read .*field limit"),
        ("file,label\nowl/1.png,o\0wl\n", {}, "holds NUL characters"),
        (b"PK\x03\x04\0\0\xff", {}, "is not written in utf-8"),
        (b"PK\x03\x04\0\0\xff", {"encoding": "latin-1"}, "holds NUL characters"),
        (r"file,\ud800", {"encoding": "unicode_escape"}, "is not written in unicode_escape"),
        ("file,label\n", {"encoding": "utf8x"}, r"data\.table\.encoding is 'utf8x'"),
        ("file,label\n", {"encoding": "hex"}, r"data\.table\.encoding is 'hex'"),
        ("file,label\n", {"separator": "||"}, r"data\.table\.separator is '\|\|'"),
        ("file,label\n", {"separator": "\n"}, r"data\.table\.separator is '\\n'"),
        ("file,label\n", {"separator": '"'}, r"data\.table\.separator is '\"'"),
    ],
)
def test_faults_in_its_text_are_named(
    photos: Path, content: str | bytes, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        listed_table(photos, content, **how)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("owl/7", r"has 'owl/7\.jpg': `siamese adopt --suffix \.jpg` \(data\.table\.suffix\) adds"),
        ("7.jpg", r"has 'owl/7\.jpg': let data\.images be .*/photos/owl$"),
        ("OWL/7.JPG", r"has 'owl/7\.jpg': capitals or accents are written in another way"),
        ("owl/7.png", r"has 'owl/7\.jpg': the extension is another one"),
        ("set/owl/7.jpg", r"has 'owl/7\.jpg': take 'set/' off the names in the table"),
        ("http://x.de/i/owl/7.jpg", r"has 'owl/7\.jpg': take 'http:/.*/i/' off"),
        ("C:\\my\\owl\\7.jpg", r"has 'owl/7\.jpg': take .* off"),
        ("photos/photos/owl/7.jpg", r"has 'owl/7\.jpg': take 'photos/photos/' off"),
        ("owl/cafe\u0301.jpg", "has 'owl/caf\u00e9.jpg': capitals or accents"),
        ("emu/7.jpeg", r"has 'cat/7\.jpg'$"),
        ("emu/8.jpg", r"the folder has other names, 'cat/7\.jpg' for example"),
        (f"{'x' * 300}.jpg", r"the folder has other names, 'cat/7\.jpg' for example"),
    ],
)
def test_what_would_have_matched_is_named(tmp_path: Path, name: str, advice: str) -> None:
    photos = tmp_path / "photos"
    touch(photos, "owl/7.jpg", "cat/7.jpg", "owl/caf\u00e9.jpg")
    if "owl" not in name and "emu" not in name:
        (photos / "cat/7.jpg").rename(photos / "cat/3.jpg")
        advice = advice.replace("cat/7", "cat/3")
    content = f"file,label\n{name},owl\nnone/x.png,cat\n"
    with pytest.raises(InputError, match=r"none of the 2 files .* \(data\.images\); row 1 is"):
        listed_table(photos, content)
    with pytest.raises(InputError, match=advice):
        listed_table(photos, content)


def test_rows_without_a_file_and_pictures_without_a_row_are_noted(photos: Path) -> None:
    touch(photos, "notes.txt", ".hidden/1.png")
    listing = listed_table(photos, "file,label\nowl/1.png,owl\ncat/1.jpg,cat\nx.png,cat\n")
    assert listing.samples["file"].tolist() == ["cat/1.jpg", "owl/1.png", "x.png"]
    without_file, without_row = listing.notes
    assert "rows without a file in" in without_file
    assert ": 2 of 3; row 2 is" in without_file
    assert "row 2 is 'cat/1.jpg'; the folder has 'cat/1.png': the extension is" in without_file
    assert "pictures without a row in" in without_row
    assert without_row.endswith("t.csv: 4, for example 'a b.png'")


def test_a_back_slash_that_is_part_of_a_name_stays(photos: Path) -> None:
    touch(photos, "owl\\1.png")
    assert "owl\\1.png" in labels(listed_table(photos, "file,label\nowl\\1.png,a\ncat/1.png,b\n"))


@pytest.mark.parametrize("name", ["t.xlsx", "t.json", "README"])
def test_other_kinds_of_files_are_refused(photos: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.lst or \.parquet; save another kind .* as CSV"):
        listed_table(photos, "[]", name)


def test_the_folder_of_images_must_be_given(photos: Path) -> None:
    table = save(pd.DataFrame(GOOD), photos.parent / "table.csv")
    with pytest.raises(InputError, match=r"by `siamese adopt --images` \(data\.images\)"):
        listed(table)
    with pytest.raises(InputError, match=r"data\.images: nowhere: no such folder"):
        listed(table, Path("nowhere"))


@pytest.mark.parametrize(("name", "target"), [("bat", "cat"), ("cat/more/er", "owl")])
def test_a_link_to_a_folder_is_refused(photos: Path, name: str, target: str) -> None:
    link = photos / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(photos / target)
    with pytest.raises(InputError, match=f"data.images: .*{name} is a link to a folder"):
        listed_table(photos, f"file,label\n{name}/1.png,a\nowl/1.png,b\n")


SIX = "file,label,coarse\n1,a,p\n2,a,p\n3,b,q\n4,b,q\n5,c,q\n6,Caf\u00e9,r\n"


@pytest.mark.parametrize(
    ("how", "classes", "coarse", "files", "notes"),
    [
        ({}, ["Caf\u00e9", "a", "b", "c"], ["p", "q", "r"], "123456", []),
        ({"drop_labels": ["a"]}, ["Caf\u00e9", "b", "c"], ["q", "r"], "3456", ["1 class with 2 "]),
        ({"min_images": 2}, ["a", "b"], ["p", "q"], "1234", ["2 classes with 2 images in all"]),
        ({"drop_labels": ["Cafe\u0301 ", "c"]}, ["a", "b"], ["p", "q"], "1234", ["2 classes with"]),
        (
            {"drop_labels": ["c"], "min_images": 2},
            *(["a", "b"], ["p", "q"], "1234"),
            ["data.drop_labels: 1 class with 1 image ", "data.min_images (2): 1 class with 1 "],
        ),
    ],
)
def test_classes_that_are_left_out(
    tmp_path: Path,
    how: dict[str, Any],
    classes: list[str],
    coarse: list[str],
    files: str,
    notes: list[str],
) -> None:
    touch(tmp_path / "photos", *"123456")
    listing = listed_table(tmp_path / "photos", SIX, **how)
    assert list(listing.classes.fine) == classes
    assert list(listing.classes.coarse) == coarse
    assert listing.samples["file"].tolist() == list(files)
    rows = [line.split(",") for line in SIX.splitlines()[1:]]
    assert labels(listing) == {file: label for file, label, _ in rows if file in files}
    superclasses = np.array(coarse, dtype=object)[listing.samples["coarse"].astype(int)]
    assert superclasses.tolist() == [name for file, _, name in rows if file in files]
    assert len(listing.notes) == len(notes)
    assert all(expected in note for expected, note in zip(notes, listing.notes, strict=True))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"drop_labels": ["Caffe"]}, "no class is called `Caffe`; did you mean `Caf\u00e9`"),
        ({"drop_labels": ["zzz"]}, "no class is called `zzz`$"),
        ({"min_images": 3}, r"leave 0 of 4 classes; expected two or more"),
        ({"drop_labels": ["a"], "min_images": 2}, r"\(2\) leave 1 of 4 classes"),
    ],
)
def test_classes_that_cannot_be_left_out(tmp_path: Path, how: dict[str, Any], message: str) -> None:
    touch(tmp_path / "photos", *"123456")
    with pytest.raises(InputError, match=message):
        listed_table(tmp_path / "photos", SIX, **how)


def test_class_folders_are_left_out_alike(photos: Path) -> None:
    touch(photos, "emu/1.png")
    (photos / "a b.png").unlink()
    assert listed(photos, min_images=2).classes.fine == ("cat", "owl")
    assert listed(photos, drop_labels=["cat"]).classes.fine == ("emu", "owl")


FIELDS = st.text(max_size=8) | st.sampled_from(
    ["file", "label", "split", "group", "coarse", "train", "test", "a.png", "b.png", '"', "..", ""]
)
TEXTS = st.lists(st.lists(FIELDS, max_size=4), max_size=6).flatmap(
    lambda rows: st.tuples(st.sampled_from([",", ";", "\t", " "]), st.sampled_from("\r\n")).map(
        lambda ends: ends[1].join(ends[0].join(row) for row in rows).encode("utf-8", "replace")
    )
)
RANDOM_TABLES = st.tuples(
    st.binary(max_size=60) | TEXTS | TEXTS.map(lambda text: b"file,label\na.png,x\n" + text),
    st.sampled_from(TABLES),
    st.fixed_dictionaries(
        {},
        optional={
            "separator": st.sampled_from([",", ";", "\t", " ", "||"]) | st.text(min_size=1),
            "encoding": st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-16"])
            | st.text(min_size=1),
            "header": st.booleans(),
            "suffix": st.sampled_from(["", ".png"]) | st.text(),
            "file": st.sampled_from("12"),
            "label": st.sampled_from("12"),
        },
    ),
)


def list_or_refuse(content: bytes, suffix: str, how: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        touch(Path(folder) / "photos", "a.png", "b.png")
        try:
            listing = listed_table(Path(folder) / "photos", content, f"t{suffix}", **how)
        except InputError:
            return
        assert len(listing.classes.fine) >= 2


@settings(max_examples=200)
@given(RANDOM_TABLES)
def test_any_table_is_listed_or_refused(table: tuple[bytes, str, dict[str, Any]]) -> None:
    list_or_refuse(*table)


@pytest.mark.slow
@settings(max_examples=2000)
@given(RANDOM_TABLES)
def test_any_table_is_listed_or_refused_at_length(table: tuple[bytes, str, dict[str, Any]]) -> None:
    list_or_refuse(*table)


@pytest.mark.slow
def test_the_lists_of_a_real_data_set(tmp_path: Path) -> None:
    archive = ROOT.parent / "shared/images/grocery.tar"
    if not archive.exists():
        pytest.skip("the photographs of groceries are not beside the project")
    import tarfile

    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    written = WRITTEN | {"file": "1", "label": "2", "coarse": "3", "header": False}
    listing = listed(tmp_path / "grocery/train.txt", tmp_path / "grocery", table=written)
    assert len(listing.samples) == 2640
    assert len(listing.classes.fine) == 81
    assert len(listing.classes.coarse) == 43


FOUR = ("owl/1.png", "owl/2.png", "cat/1.png", "cat/2.png")


def table_of(column: str, *values: str) -> str:
    """Two owls and two cats, and another column."""
    rows = [f"{file},{file[:3]},{value}" for file, value in zip(FOUR, values, strict=True)]
    return "\n".join([f"file,label,{column}", *rows])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("kind", ("genuine", "forged", "genuine", "genuine")),
        ("kind", ("Original", " FORGERY", "original", "original")),
        ("made by", ("genuine", "forged", "original", "genuine")),
    ],
)
def test_a_column_says_what_is_forged(
    photos: Path, column: str, values: tuple[str, str, str, str]
) -> None:
    listing = listed_table(photos, table_of(column, *values), kind=column)
    samples = listing.samples
    assert samples.loc[samples["forged"], "file"].tolist() == ["owl/2.png"]
    assert samples["forged"].dtype == bool
    assert labels(listing)["owl/2.png"] == "owl"


def test_a_table_of_genuine_images_alone_has_no_forgeries(photos: Path) -> None:
    listing = listed_table(photos, table_of("kind", *["genuine"] * 4))
    assert "forged" not in listing.samples


@pytest.mark.parametrize("values", [("bird", "bird", "", "pet"), ("1", "2", "3", "4")])
def test_a_kind_of_something_else_is_passed_over(
    photos: Path, values: tuple[str, str, str, str]
) -> None:
    listing = listed_table(photos, table_of("kind", *values))
    assert "forged" not in listing.samples
    with pytest.raises(InputError, match=r"row \d"):  # unless it is asked for
        listed_table(photos, table_of("forged?", *values), kind="forged?")


def test_labels_may_be_called_kind_and_be_genuine_and_forged(photos: Path) -> None:
    """Who trains a network to tell any forgery from anything genuine has two classes."""
    content = table_of("kind", "genuine", "forged", "forged", "genuine")
    listing = listed_table(photos, content, label="kind")
    assert listing.classes.fine == ("forged", "genuine")
    assert "forged" not in listing.samples


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("genuine", "fake", "genuine", "forged"), "row 2: `kind` is 'fake'; expected genuine or"),
        (("genuine", "forged", "", "genuine"), "row 3 has no `kind`"),
        (("forged", "forged", "genuine", "genuine"), r"owl/1\.png: a forgery of `owl`, of which"),
    ],
)
def test_faults_in_what_is_forged_are_named(
    photos: Path, values: tuple[str, str, str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        listed_table(photos, table_of("kind", *values))
