"""The command `siamese demo`: the whole pipeline on scikit-learn's digits, in its own workspace.

`demo/` is a copy of the pipeline's files, ignored by Git, with the few values of `demo.yaml`
changed. The committed results stay as they are, and DVC needs no Git identity there.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from siamese.base.errors import InputError, no_such_file
from siamese.cli.dvc_runs import run_dvc

WORKSPACE = Path("demo")
OVERRIDES = Path("demo.yaml")
# The workspace lies in the project's Git repository and is ignored there: DVC works without Git.
DVC_CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
COPIED = ("dvc.yaml", ".dvcignore", "stages", "src", "data/none")


def add_commands(commands: Any) -> None:
    """Add the parser of `demo` to those of `siamese`."""
    demo = commands.add_parser("demo", help="run the pipeline on scikit-learn's digits, in demo/")
    demo.set_defaults(command=_demo)


def _demo(_: argparse.Namespace) -> None:
    from siamese.cli.results import results_table

    make_workspace(Path(), WORKSPACE)
    reproduce(WORKSPACE)
    print()
    print(results_table(WORKSPACE))
    print(
        "\nThis was the whole pipeline on scikit-learn's digits. Next:\n"
        "  siamese show                            the committed figures of CIFAR-100\n"
        "  make repro                              rebuild them (downloads 169 MB)\n"
        "  dvc exp run -S train.margin=0.5         try a hyperparameter\n"
        "  dvc metrics diff                        compare with the last commit\n"
        "(`source .venv/bin/activate` puts siamese and dvc on the path.)"
    )


def make_workspace(project: Path, target: Path) -> None:
    """Bring a workspace up to date with the project; results already computed there stay.

    Raises:
        InputError: a file of the project is missing, or `demo.yaml` names an unknown key.
    """
    import yaml

    from siamese.base.params import PARAMS_FILE, read_document

    for name in COPIED:
        source, copy = project / name, target / name
        if not source.exists():
            raise no_such_file(source, "run from the project's folder")
        if source.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(
                source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    params = read_document(project / PARAMS_FILE)
    override(params, read_document(project / OVERRIDES), str(OVERRIDES))
    (target / PARAMS_FILE).write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    config = target / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text(DVC_CONFIG, encoding="utf-8")


def override(params: dict[str, Any], changes: dict[str, Any], source: str, path: str = "") -> None:
    """Change values of a nested mapping in place.

    Raises:
        InputError: `changes` has a key that `params` does not have.
    """
    for key, value in changes.items():
        if key not in params:
            raise InputError(f"{source}: unknown key `{path}{key}`: params.yaml has no such key")
        if isinstance(value, dict) and isinstance(params[key], dict):
            override(params[key], value, source, f"{path}{key}.")
        else:
            params[key] = value


def reproduce(workspace: Path) -> None:
    """Run `dvc repro` there; the project's archive is not the demo's.

    Raises:
        InputError: a stage failed; it has printed why.
    """
    if run_dvc(workspace, "repro", without=("SIAMESE_ARCHIVE",)):
        raise InputError(f"`dvc repro` failed in {workspace}/, see above")
