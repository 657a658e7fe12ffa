"""How a table is written, told from its content."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.cli.defaults import DEFAULTS
from siamese.cli.table_format import ENCODINGS, SEPARATORS, found_format


def found(folder: Path, content: bytes, **wanted: Any) -> tuple[str, str]:
    file = folder / "table.csv"
    file.write_bytes(content)
    asked = {f"data.table.{key}": value for key, value in wanted.items()}
    values = found_format(file, DEFAULTS | asked, asked)
    return values["data.table.separator"], values["data.table.encoding"]


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("file,label\na.png,owl\n", ","),
        ("file, label\na.png, owl\n", ","),
        ("file;label\na.png;owl\n", ";"),
        ("file\tlabel\na b.png\tgreat owl\n", "\t"),
        ("file|label\na.png|owl\n", "|"),
        ("file label\na.png owl\n", " "),
        ("file label\nx.png owl, grey\n", " "),
        ("n;file;label\n1,5;a.png;owl, grey\n2,5;b.png;bat, big\n", ";"),
        ("file;label;a,b,c,d\na.png;owl;1,2,3,4\n", ";"),
        ('file,label\n"a;b;c.png",owl\n"d;e;f.png",bat\n', ","),
        ("path,kind of bird\na b c.png,great grey owl\n", ","),
        ("one column\nof text\n", " "),
        ("file\na.png\n", ","),
        ("", ","),
    ],
)
def test_separators(tmp_path: Path, content: str, separator: str) -> None:
    assert found(tmp_path, content.encode())[0] == separator
    assert found(tmp_path, content.encode(), separator="|")[0] == "|"


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("a.png, 3, 1\nb.png, 4, 1\n", ","),
        ("a.png 3\nb.png 4\n", " "),
        ("a b, c.png\t3\nb.png\t4\n", "\t"),
        ("a,b.png;3\nb.png;4\n", ";"),
    ],
)
def test_separators_without_a_header(tmp_path: Path, content: str, separator: str) -> None:
    assert found(tmp_path, content.encode(), header=False)[0] == separator


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("file,label\na.png,Käuzchen".encode(), "utf-8"),
        ("file,label\na.png,Käuzchen".encode("utf-8-sig"), "utf-8"),
        ("file,label\na.png,Käuzchen".encode("cp1252"), "cp1252"),
        ("file,label\na.png,Käuzchen\x81".encode("latin-1"), "latin-1"),
        ("file,label\na.png,Käuzchen".encode("utf-16"), "utf-16"),
        (b"file,label\na.png,owl", "utf-8"),
    ],
)
def test_encodings(tmp_path: Path, content: bytes, encoding: str) -> None:
    assert found(tmp_path, content)[1] == encoding


@settings(max_examples=200)
@given(content=st.binary(max_size=200))
def test_any_bytes_have_a_format_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    try:
        separator, encoding = found(tmp_path_factory.getbasetemp(), content)
    except InputError:
        return
    assert separator in SEPARATORS
    assert encoding in (*ENCODINGS, "utf-16")
