"""Files at a Git revision, at a DVC experiment or in the workspace, read by plain Git.

DVC keeps an experiment as a commit under `refs/exps/`, so Git alone finds it and reads its files:
nothing is pulled or checked out. DVC's own ways were measured: `dvc.api.exp_show` takes 0.9 s,
imports included, and reads every figure of every experiment; `dvc exp list` takes 0.6 s and prints
names for people, without the full commits. The whole of `siamese compare` takes 0.6 s.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from siamese.base.errors import InputError
from siamese.repository.git import git, run_git

WORKSPACE = "workspace"
# refs/exps/BASELINE/NAME, the baseline's hash cut after two digits; a queue's refs look otherwise.
_EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")


@dataclass(frozen=True)
class Revision:
    """A state of the project whose files can be read.

    Attributes:
        name: what a person calls it.
        commit: 40 hexadecimal digits; None for the workspace.
        root: the project's folder, which holds dvc.yaml.
    """

    name: str
    commit: str | None
    root: Path

    def __str__(self) -> str:
        """Name the revision in a sentence."""
        if self.commit is None:
            return "the workspace"
        return self.name if self.commit.startswith(self.name) else f"{self.name} ({self.short})"

    @property
    def short(self) -> str:
        """The commit's first seven digits, or `workspace`."""
        return self.commit[:7] if self.commit else WORKSPACE

    def place(self, file: str) -> str:
        """Name a file of the revision in a sentence."""
        return str(self.root / file) if self.commit is None else f"{self}: {file}"

    def read(self, file: str) -> bytes:
        """Return a file's content.

        Args:
            file: path from the project's folder, with slashes.

        Raises:
            InputError: this revision has no such file.
        """
        content = self.read_all([file])[file]
        if content is None:
            made = "`dvc repro` makes it" if self.commit is None else "run `dvc repro`, then commit"
            raise InputError(f"{self.place(file)} is not there, so there are no results; {made}")
        return content

    def has(self, file: str) -> bool:
        """Whether the revision has a file."""
        return self.read_all([file])[file] is not None

    def read_all(self, files: Iterable[str]) -> dict[str, bytes | None]:
        """Return the content of many files, None for each that this revision lacks."""
        names = list(files)
        if self.commit is None:
            paths = [self.root / name for name in names]
            found = [path.read_bytes() if path.is_file() else None for path in paths]
            return dict(zip(names, found, strict=True))
        # Git wants the path from the repository's folder, which may be above the project's.
        prefix = prefix_of(self.root)
        blobs = _blobs(self.root, [f"{self.commit}:{prefix}{name}" for name in names])
        return dict(zip(names, blobs, strict=True))

    def md5s(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the MD5 of each file that is one of the paths, or in a folder that is.

        Of the workspace these are all files on disk, tracked by Git or not, that `.dvcignore` does
        not exclude: the files of which DVC takes the hash of a folder.
        """
        if not (wanted := list(paths)):
            return {}
        if self.commit:
            listed = git(self.root, "ls-tree", "-r", "-z", "--name-only", self.commit, *wanted)
        else:
            # Git reads the patterns of .dvcignore as DVC does; it does not read .gitignore here.
            ignore = ["--exclude-from=.dvcignore"] if (self.root / ".dvcignore").exists() else []
            options = ["-z", "--cached", "--others", *ignore]
            listed = git(self.root, "ls-files", *options, "--", *wanted)
        contents = self.read_all(dict.fromkeys(filter(None, listed.split("\0"))))
        return {
            name: hashlib.md5(content, usedforsecurity=False).hexdigest()
            for name, content in contents.items()
            if content is not None  # deleted in the workspace, still in Git's index
        }


def find_revision(name: str, root: Path) -> Revision:
    """Find what a name stands for: `workspace`, a Git revision, or else an experiment's name.

    Of several experiments with this name, the one that began at the current commit is meant.

    Raises:
        InputError: there is none, or several experiments have the name.
    """
    if name == WORKSPACE:
        return Revision(name, None, root)
    parse = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    found = run_git(root, *parse, f"{name}^{{commit}}")
    if found.returncode == 0:
        return Revision(name, found.stdout.decode().strip(), root)
    known = [one for one in experiments(root) if one.revision.name == name]
    head = run_git(root, *parse, "HEAD").stdout.decode().strip()
    candidates = [one for one in known if one.baseline == head] or known
    if not candidates:
        raise InputError(
            f"{name}: neither a Git revision nor an experiment of this repository; `git log` and"
            " `dvc exp list --all` name them (what is on a server: `git fetch`, `dvc exp pull`)"
        )
    if len(candidates) > 1:
        commits = ", ".join(one.revision.short for one in candidates)
        raise InputError(
            f"{name}: several experiments have this name; give one by its commit: {commits}"
        )
    return candidates[0].revision


def find_revisions(names: str, root: Path) -> list[Revision]:
    """Find what comma-separated names stand for; a name may be a pattern of experiments' names.

    Examples are `main`, `m01-1,m01-2` and `m01-*`.

    Raises:
        InputError: a name stands for nothing, or the same one is given twice.
    """
    found: list[Revision] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        if any(sign in name for sign in "*?["):
            known = [one.revision for one in experiments(root)]
            matching = [one for one in known if fnmatchcase(one.name, name)]
            if not matching:
                raise InputError(
                    f"{name}: no experiment's name is like this; see `dvc exp list -A`"
                )
            found += matching
        else:
            found.append(find_revision(name, root))
    if not found:
        raise InputError(
            f"{names!r} names no revision; expected for example `main` or `exp-a,exp-b`"
        )
    for position, revision in enumerate(found):
        if revision.commit in [earlier.commit for earlier in found[:position]]:
            raise InputError(f"{names}: {revision} is there twice; expected different runs")
    return found


@dataclass(frozen=True)
class Experiment:
    """A finished DVC experiment and the commit that it began at."""

    revision: Revision
    baseline: str


def experiments(root: Path) -> list[Experiment]:
    """Return all finished experiments that this repository knows, by name."""
    listed = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    found = []
    for commit, _, reference in (line.partition(" ") for line in listed.splitlines()):
        if match := _EXPERIMENT.fullmatch(reference):
            revision = Revision(match[3], commit, root)
            found.append(Experiment(revision, match[1] + match[2]))
    return sorted(found, key=lambda one: (one.revision.name, one.revision.commit))


def prefix_of(root: Path) -> str:
    """Return the path from the repository's folder to the project's: empty, or with a final slash.

    Raises:
        InputError: the project is not in a Git repository.
    """
    return git(root, "rev-parse", "--show-prefix").removesuffix("\n")


def _blobs(root: Path, objects: Sequence[str]) -> list[bytes | None]:
    """Return the content of many objects by one Git process, None for each that is no file."""
    given = os.fsencode("".join(f"{name}\n" for name in objects))
    output = run_git(root, "cat-file", "--batch", given=given).stdout
    found: list[bytes | None] = []
    position = 0
    for _ in objects:
        end = output.index(b"\n", position)
        header = output[position:end].split()
        position = end + 1
        if header[-1] in (b"missing", b"ambiguous"):
            found.append(None)
            continue
        size = int(header[-1])
        found.append(output[position : position + size] if header[-2] == b"blob" else None)
        position += size + 1
    return found
