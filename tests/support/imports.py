"""What the modules of the project import of each other, read from their text."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.workspace import ROOT


def imported_files(file: Path) -> set[Path]:
    """Return every file of the project that runs when `file` does, and itself.

    What only type checkers import is left out, and so is what `siamese` imports when one of its
    public names is used, which modules of the project therefore must not do.
    """
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += direct_imports(current, also_for_types=False)
    return found


def direct_imports(file: Path, also_for_types: bool = True) -> set[Path]:
    """Return the files of the project that `file` itself imports, inside functions too."""
    names: list[str] = []
    for node in nodes(ast.parse(file.read_text()), also_for_types):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports would be missed here"
            if node.module == "siamese":
                public = [alias.name for alias in node.names if alias.name != "__version__"]
                assert not public, (
                    f"{file}: imports of {public} from `siamese` would be missed here"
                )
            names += [node.module or ""]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {found for name in names for found in project_files(name)}


def nodes(tree: ast.AST, also_for_types: bool) -> Iterator[ast.AST]:
    """Walk over a syntax tree, with or without the blocks under `if TYPE_CHECKING`."""
    yield tree
    children: Iterable[ast.AST] = ast.iter_child_nodes(tree)
    is_for_types = isinstance(tree, ast.If) and getattr(tree.test, "id", "") == "TYPE_CHECKING"
    if isinstance(tree, ast.If) and is_for_types and not also_for_types:
        children = tree.orelse
    for child in children:
        yield from nodes(child, also_for_types)


def project_files(module: str) -> list[Path]:
    """Return the file of a module and of the packages around it, if they are the project's."""
    parts = module.split(".")
    candidates = [ROOT / "stages" / f"{module}.py"] if len(parts) == 1 else []
    for length in range(1, len(parts) + 1):
        path = ROOT / "src" / Path(*parts[:length])
        candidates += [path.with_suffix(".py"), path / "__init__.py"]
    return [candidate for candidate in candidates if candidate.is_file()]


def modules(path: Path) -> set[Path]:
    """Return a module, or all modules of a package."""
    return set(path.rglob("*.py")) if path.is_dir() else {path}
