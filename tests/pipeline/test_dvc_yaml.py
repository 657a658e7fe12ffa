"""dvc.yaml against the code: a stage depends on what it imports and on the parameters it reads."""

import ast
from pathlib import Path

import pytest
import yaml

from siamese.cli.schema import SECTIONS
from tests.support.imports import imported_files, modules
from tests.support.workspace import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


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
        keys = {outer.attr} if isinstance(outer, ast.Attribute) else keys_read(node.attr, file)
        found |= {f"{node.attr}.{key}" for key in keys}
    assert schemas == {name.split(".")[0] for name in found}, f"{file}: a section read for nothing"
    return found


def keys_read(section: str, stage: Path) -> set[str]:
    """Return the keys of a section that a stage hands on whole.

    All of them, but for `data`, which several stages share: there those that the code which the
    stage imports reads, as `data.key`.
    """
    keys = set(SECTIONS[section].model_fields)
    if section != "data":
        return keys
    return keys & {
        node.attr
        for file in imported_files(stage)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == section
    }


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
