"""Any name can be printed on any terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
CODE = """
import sys
from siamese.base.terminal import print_any_name
print_any_name()
for stream in (sys.stdout, sys.stderr):
    print("caf\\udce9 café 猫", file=stream)
"""


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", rb"caf\udce9 caf\xe9 \u732b"),
        ("latin-1", b"caf\\udce9 caf\xe9 \\u732b"),
        ("utf-8", "caf\\udce9 café 猫".encode()),
    ],
)
def test_what_the_encoding_lacks_is_escaped(encoding: str, printed: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONPATH": str(SRC)},
        capture_output=True,
        check=True,
    )
    assert done.stdout.splitlines() == [printed]
    assert done.stderr.splitlines() == [printed]
