"""How the tree is cut: packages import one way, and tests mirror them."""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.imports import direct_imports, modules
from tests.support.workspace import ROOT

SOURCE, TESTS = ROOT / "src/siamese", ROOT / "tests"
PACKAGES = sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())


def package_of(module: Path) -> str:
    """Return the package a module lies in; the top one has no name."""
    return module.parent.name if module.parent != SOURCE else ""


def refuse_a_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other in a circle: {' -> '.join(error.args[1])}")


def test_base_imports_nothing_else_of_the_project() -> None:
    imported = {
        package_of(f) for module in modules(SOURCE / "base") for f in direct_imports(module)
    }
    assert imported <= {"base", ""}


def test_packages_import_each_other_one_way() -> None:
    graph = {
        package: {
            package_of(imported)
            for module in modules(SOURCE / package)
            for imported in direct_imports(module)
        }
        - {package, ""}
        for package in PACKAGES
    }
    refuse_a_circle(graph)


def test_modules_import_each_other_one_way() -> None:
    files = [file for file in modules(SOURCE) if file.name != "__init__.py"]
    refuse_a_circle({str(file): {*map(str, direct_imports(file) - {file})} for file in files})


def test_tests_mirror_the_packages() -> None:
    folders = {path.name for path in TESTS.iterdir() if (path / "__init__.py").exists()}
    untested = set(PACKAGES) - folders
    assert untested <= {"pictures"}, "pictures is tested by what draws with it"
    assert folders - set(PACKAGES) == {"bench", "pipeline", "support"}


def test_no_test_module_imports_another() -> None:
    for file in TESTS.rglob("test_*.py"):
        lines = file.read_text().splitlines()
        others = [line for line in lines if line.startswith("from tests.") and ".test_" in line]
        assert not others, f"{file}: what tests share belongs in tests/support"
