"""What `from siamese import ...` gives, and that it costs nothing before it is used."""

import subprocess
import sys

import pytest

import siamese
from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from tests.support.workspace import ROOT


def test_public_names_are_those_of_their_modules() -> None:
    assert siamese.Gallery is Gallery
    assert siamese.load_model is load_model
    assert siamese.__all__ == ["Gallery", "load_model"]
    with pytest.raises(ImportError, match="cannot import name 'Galery' from 'siamese'"):
        exec("from siamese import Galery")


def test_the_package_imports_none_of_its_modules() -> None:
    code = "import sys, siamese; print([name for name in sys.modules if 'siamese.' in name])"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "src", text=True)
    assert output == "[]\n"
