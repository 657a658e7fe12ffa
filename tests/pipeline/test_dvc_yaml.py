"""dvc.yaml against the code: a stage depends on what it imports and on the parameters it reads."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from siamese.cli.schema import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def imported_files(file: Path) -> set[Path]:
    """Return every file of the project that runs when `file` is imported, and itself.

    What only type checkers import is left out, and so is what `siamese` imports when one of its
    public names is used: a stage uses none of these.
    """
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for node in executed(ast.parse(current.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{current}: relative imports would be missed here"
                assert node.module != "siamese", f"{current}: import from the module itself"
                names = [node.module or ""]
                names += [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                waiting += project_files(name)
    return found


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over a tree without the blocks under `if TYPE_CHECKING`."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        children = node.orelse
    for child in children:
        yield from executed(child)


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


def read_parameters(file: Path) -> set[str]:
    """Return the parameters a stage reads: `params.section.key`, or all of `params.section`."""
    tree = ast.parse(file.read_text())
    schemas = {
        field.target.id
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Params"
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or getattr(node.value, "id", "") != "params":
            continue
        assert node.attr in schemas, f"{file}: reads params.{node.attr} without its schema"
        outer = parents[node]
        keys = (
            [outer.attr]
            if isinstance(outer, ast.Attribute)
            else list(SECTIONS[node.attr].model_fields)
        )
        found |= {f"{node.attr}.{key}" for key in keys}
    assert schemas == {name.split(".")[0] for name in found}, f"{file}: a section read for nothing"
    return found


def declared_parameters(stage: dict) -> set[str]:
    """Expand the whole sections that a stage of dvc.yaml lists into their keys."""
    return {
        f"{section}.{key}"
        for name in stage["params"]
        for section, _, one in [name.partition(".")]
        for key in ([one] if one else SECTIONS[section].model_fields)
    }


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_every_module_it_imports_and_on_no_other(name: str) -> None:
    # What everything stands on is listed whole, whatever of it a stage imports.
    imported = imported_files(ROOT / f"stages/{name}.py") | modules(ROOT / "src/siamese/base")
    code = [ROOT / dep for dep in STAGES[name]["deps"] if dep.startswith(("src/", "stages/"))]
    declared = {file for path in code for file in modules(path)}
    assert declared == imported


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_the_parameters_it_reads_and_no_other(name: str) -> None:
    assert declared_parameters(STAGES[name]) == read_parameters(ROOT / f"stages/{name}.py")


@pytest.mark.parametrize("name", STAGES)
def test_stages_import_neither_the_command_line_nor_the_gallery(name: str) -> None:
    packages = {file.parent.name for file in imported_files(ROOT / f"stages/{name}.py")}
    assert not packages & {"cli", "gallery"}


def test_stage_script_and_params_section_share_their_names() -> None:
    assert {file.stem for file in (ROOT / "stages").glob("*.py")} == {*STAGES, "workspace"}
    assert set(SECTIONS) == set(yaml.safe_load((ROOT / "params.yaml").read_text()))
