"""A change reviewed by running it: base and workspace each rebuild the digits, and are compared.

The committed figures are CIFAR-100's and take long to rebuild. What a pull request does to the
pipeline shows on the digits in a minute. Both sides run in one workspace of their own, a Git
repository in `.review/`: what the change leaves alone is not run twice, and the two results are
commits that `siamese report` compares like any others.
"""

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from siamese.base.errors import InputError
from siamese.cli.profiles import make_workspace, reproduce
from siamese.comparison.provenance import read_lock
from siamese.comparison.revisions import Revision, find_revision
from siamese.repository.git import own_git, run_git

REVIEW = Path(".review")
DIGITS = Path("demo.yaml")
# What is committed there: no data and no models, which stay in that workspace's DVC cache. A commit
# needs DVC's configuration for DVC to find the cache. What Python compiled is not code.
TRACKED = (".dvc/config", "dvc.yaml", "dvc.lock", "params.yaml", "stages", "src", "metrics")
UNTRACKED = ":(exclude,glob)**/__pycache__/**"


def rebuild_both(base: str, project: Path, folder: Path) -> tuple[Revision, Revision]:
    """Run the digits pipeline as of a revision, then as of the workspace.

    Args:
        base: a Git revision of the project, for example `origin/main`.
        project: the project's folder.
        folder: where both are run; made if need be, results of earlier runs are used again.

    Returns:
        The results of both: revisions `base` and `head` of the repository in `folder`.

    Raises:
        InputError: there is no such revision, or a stage failed; it has said why.
    """
    revision = find_revision(base, project)
    folder.mkdir(parents=True, exist_ok=True)
    own_git(folder, "init", "--quiet", "--template=")
    with tempfile.TemporaryDirectory() as name:
        extract(revision, Path(name))
        _rebuild(Path(name), folder, "base", str(revision))
    _rebuild(project, folder, "head", "the workspace")
    return find_revision("base", folder), find_revision("head", folder)


def extract(revision: Revision, target: Path) -> None:
    """Write all files of a revision into a folder.

    Raises:
        InputError: Git cannot; its own words are in the message.
    """
    done = run_git(revision.root, "archive", "--format=tar", str(revision.commit))
    if done.returncode:
        raise InputError(f"git archive: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")


def _rebuild(project: Path, folder: Path, tag: str, title: str) -> None:
    """Run the digits pipeline of a project in the review's workspace, and commit its results."""
    print(f"== {tag}: {title}", flush=True)
    make_workspace(project, folder, DIGITS)
    reproduce(folder, without=("SIAMESE_ARCHIVE",))
    # Outputs that this side does not write, left there by the other, are not its results.
    stages = read_lock(Revision(tag, None, folder)).values()
    written = {path for stage in stages for path in stage.outputs}
    for file in sorted((folder / "metrics").glob("*")):
        if f"metrics/{file.name}" not in written:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    present = [name for name in TRACKED if (folder / name).exists()]
    own_git(folder, "add", "--force", "--all", "--", *present, UNTRACKED)
    own_git(folder, "commit", "--quiet", "--allow-empty", "--message", title)
    own_git(folder, "tag", "--force", tag)
