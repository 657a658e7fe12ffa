"""What the modules of the project import of each other, read from their text."""

import ast
from pathlib import Path

from tests.support.workspace import ROOT


def imported_files(file: Path) -> set[Path]:
    """Return every file of the project that `file` imports, directly or not, and itself."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += direct_imports(current)
    return found


def direct_imports(file: Path) -> set[Path]:
    """Return the files of the project that `file` itself imports, inside functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports would be missed here"
            names += [node.module or ""]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {found for name in names for found in project_files(name)}


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
