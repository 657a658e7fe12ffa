"""The commands `siamese demo` and `siamese profile`: the pipeline with a few values changed.

A profile is a file beside `params.yaml`: `demo.yaml`, `gpu.yaml`, or one of your own. It is run in
a workspace of its own, the folder of that name: a copy of the pipeline's files, ignored by Git. The
committed results stay as they are, and DVC needs no Git identity there.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from siamese.base.errors import InputError, no_such_file
from siamese.cli.dvc_runs import run_dvc

DEMO = "demo"
# The workspace lies in the project's Git repository and is ignored there: DVC works without Git.
DVC_CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
# What has been downloaded and prepared for the project need not be again.
PROJECTS_CACHE = "[cache]\n    dir = ../../.dvc/cache\n"
COPIED = ("dvc.yaml", ".dvcignore", "stages", "src", "data/none")


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to those of `siamese`."""
    demo = commands.add_parser("demo", help="run the pipeline on scikit-learn's digits, in demo/")
    demo.set_defaults(command=_demo)
    profile = commands.add_parser(
        "profile",
        help="run the pipeline with what a file changes in params.yaml, in its own folder",
    )
    profile.add_argument("name", metavar="NAME", help="gpu runs gpu.yaml in gpu/")
    profile.set_defaults(command=_profile)


def _demo(_: argparse.Namespace) -> None:
    from siamese.cli.results import results_table

    workspace = Path(DEMO)
    make_workspace(Path(), workspace, Path(f"{DEMO}.yaml"))
    # The archive that stands for CIFAR-100's is not the digits'.
    reproduce(workspace, without=("SIAMESE_ARCHIVE",))
    print()
    print(results_table(workspace))
    print(
        "\nThis was the whole pipeline on scikit-learn's digits. Next:\n"
        "  siamese show                            the committed figures of CIFAR-100\n"
        "  make repro                              rebuild them (downloads 169 MB)\n"
        "  dvc exp run -S train.margin=0.5         try a hyperparameter\n"
        "  dvc metrics diff                        compare with the last commit\n"
        "(`source .venv/bin/activate` puts siamese and dvc on the path.)"
    )


def _profile(options: argparse.Namespace) -> None:
    from siamese.base.data_params import FOLDER
    from siamese.base.params import PARAMS_FILE
    from siamese.cli.results import results_table
    from siamese.cli.schema import check_params

    name = Path(options.name).name.removesuffix(".yaml")
    workspace, changes = Path(name), Path(f"{name}.yaml")
    if workspace.is_dir() and not (workspace / ".dvc").is_dir():
        raise InputError(
            f"{workspace}/: a folder that is no workspace of a profile is in its place; give"
            f" {changes} another name"
        )
    for variable in ("SIAMESE_ARCHIVE", "SIAMESE_WEIGHTS"):
        if Path(copy := os.environ.get(variable, "")).is_file():
            os.environ[variable] = str(Path(copy).resolve())  # it is read from the workspace
    make_workspace(Path(), workspace, changes, shares_cache=True)
    params = check_params(workspace / PARAMS_FILE)
    if params.data.name == FOLDER:
        raise InputError(
            f"params.yaml: data.path is {params.data.path!r}, images of your own, which are not in"
            f" {workspace}/; profiles are for data sets that are fetched. Try what {changes}"
            " changes with `dvc exp run -S NAME=VALUE`"
        )
    reproduce(workspace)
    print()
    print(results_table(workspace))


def make_workspace(project: Path, target: Path, changes: Path, shares_cache: bool = False) -> None:
    """Bring a workspace up to date with the project; results already computed there stay.

    Args:
        project: the project's folder.
        target: the workspace; made if need be.
        changes: the profile, a file in the project's folder.
        shares_cache: whether DVC's cache is that of the project, in which the workspace lies.

    Raises:
        InputError: a file of the project is missing, or the profile names an unknown key.
    """
    import yaml

    from siamese.base.params import PARAMS_FILE, read_document

    params = read_document(project / PARAMS_FILE)
    override(params, read_document(project / changes), str(changes))
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
    (target / PARAMS_FILE).write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (target / ".gitignore").write_text("*\n", encoding="utf-8")
    config = target / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text(DVC_CONFIG + (PROJECTS_CACHE if shares_cache else ""), encoding="utf-8")


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


def reproduce(workspace: Path, without: tuple[str, ...] = ()) -> None:
    """Run `dvc repro` there.

    Args:
        workspace: where `make_workspace` has made one.
        without: environment variables that it must not see.

    Raises:
        InputError: a stage failed; it has printed why.
    """
    if run_dvc(workspace, "repro", without=without):
        raise InputError(f"`dvc repro` failed in {workspace}/, see above")
