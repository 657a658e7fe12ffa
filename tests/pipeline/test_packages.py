"""The packages and modules import one way: no circle, and `base` imports no other package."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.workspace import ROOT

SOURCE = ROOT / "src/siamese"
FILES = {
    ".".join(file.relative_to(SOURCE).with_suffix("").parts): file
    for file in SOURCE.rglob("*.py")
    if file.name != "__init__.py"
}


def imported_modules(file: Path) -> set[str]:
    """Return our modules that a file imports anywhere, also in functions and for type checkers."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return {name.removeprefix("siamese.") for name in names} & set(FILES)


MODULES = {module: imported_modules(file) for module, file in FILES.items()}
PACKAGES: dict[str, set[str]] = {module.partition(".")[0]: set() for module in MODULES}
for module, imported in MODULES.items():
    package = module.partition(".")[0]
    PACKAGES[package] |= {name.partition(".")[0] for name in imported} - {package}


@pytest.mark.parametrize("graph", [MODULES, PACKAGES], ids=["modules", "packages"])
def test_imports_point_one_way(graph: dict[str, set[str]]) -> None:
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_base_imports_no_other_package_and_the_command_line_is_imported_by_none() -> None:
    assert PACKAGES["base"] == set()
    assert not any("cli" in imported for imported in PACKAGES.values())
