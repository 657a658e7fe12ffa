"""A Git repository with results made up for the tests of `compare`: known data, known answers."""

import hashlib
import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import roc_auc_score, roc_curve

from siamese.comparison.compare import Comparison, compare
from siamese.comparison.revisions import WORKSPACE, find_revisions

N_QUERIES, N_CLASSES, THRESHOLD = 400, 5, 0.7
IDENTITY = ("-c", "user.name=tester", "-c", "user.email=tester@example.com")


@dataclass
class MadeUp:
    """One run: how good it is, and with what it was made.

    Attributes:
        skill: share of the queries that it has right.
        luck: seeds what it has right.
        difficulty: seeds what is hard for every model; the same number, the same queries are hard.
        measured: the content of evaluation.json, if a real model was measured.
        novel: how many of the classes were never seen, the last ones.
        is_classified: whether the gallery has the classes; else queries are searched for among one
            another.
        lists_files: whether dvc.lock names each file of code, as old ones do, not its folder.
    """

    skill: float = 0.7
    luck: int = 0
    difficulty: int = 0
    n_queries: int = N_QUERIES
    params: dict[str, Any] = field(default_factory=lambda: {"train.margin": 1.0, "train.seed": 0})
    code: str = "first version\n"
    measured: dict[str, Any] | None = None
    novel: int = 0
    is_classified: bool = True
    lists_files: bool = False

    def write(self, root: Path) -> None:
        """Write metrics, params.yaml, code and a dvc.lock that fits them."""
        metrics = root / "metrics"
        metrics.mkdir(parents=True, exist_ok=True)
        queries = self.queries()
        queries.to_parquet(metrics / "per_query.parquet", index=False)
        pairs = self.pairs()
        pairs.to_parquet(metrics / "per_pair.parquet", index=False)
        figures: dict[str, dict[str, float]] = {
            "knn": {
                "k1": queries["k1"].mean(),
                "k20": queries["k20"].mean(),
                "k20_no_copies": queries["k20"][~queries["copied"]].mean(),
                "k20_clean": queries["k20"][~queries["near_duplicate"]].mean(),
            },
            "retrieval": {"map_at_r": queries["average_precision"].mean()},
            "verification": verification(pairs),
        }
        if self.novel:
            is_novel = dict(zip(queries["sample"], queries["novel"], strict=True))
            of_novel = pairs["left"].map(is_novel)
            for kind, chosen in (("seen", False), ("novel", True)):
                rows = queries[queries["novel"] == chosen]
                names = ["k1", "k20", *(["alone_k1"] if chosen else [])]
                figures[kind] = {name: rows[name].mean() for name in names}
                figures[kind] |= verification(pairs[of_novel == chosen])
        if not self.is_classified:
            queries = queries.rename(columns={"k1": "recall_at_1"}).drop(columns="k20")
            queries["findable"] = np.arange(self.n_queries) > 9
            found = queries[queries["findable"]]
            retrieval = {
                "recall_at_1": found["recall_at_1"].mean(),
                "map_at_r": found["average_precision"].mean(),
            }
            figures = {"retrieval": retrieval, "verification": figures["verification"]}
            queries.to_parquet(metrics / "per_query.parquet", index=False)
        rounded = {
            group: {name: round(float(value), 4) for name, value in values.items()}
            for group, values in figures.items()
        }
        (metrics / "evaluation.json").write_text(json.dumps(self.measured or rounded))
        details = {"verification": {"threshold": THRESHOLD}}
        (metrics / "details.json").write_text(json.dumps(details))
        (metrics / "ran_on.json").write_text(json.dumps({"device": "cpu", "torch": "2.14.1"}))
        code = root / "src/siamese/training/augment.py"
        code.parent.mkdir(parents=True, exist_ok=True)
        code.write_text(self.code)
        nested: dict[str, dict[str, Any]] = {}
        for name, value in self.params.items():
            section, _, key = name.partition(".")
            nested.setdefault(section, {})[key] = value
        (root / "params.yaml").write_text(yaml.safe_dump(nested))
        lock = {"schema": "2.0", "stages": self.lock(root)}
        (root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))

    def lock(self, root: Path) -> dict[str, Any]:
        def item(path: str) -> dict[str, str]:
            return {"path": path, "md5": md5((root / path).read_bytes())}

        code = "src/siamese/training/augment.py"
        training = root / "src/siamese/training"
        contents = {
            file.relative_to(training).as_posix(): file.read_bytes()
            for file in training.rglob("*.py")
        }
        folder = {"path": "src/siamese/training", "md5": folder_md5(contents)}
        model = md5(repr((self.params, self.code, self.luck)).encode())
        return {
            "download": {
                "cmd": "python stages/download.py",
                "outs": [{"path": "data/raw", "md5": md5(b"%d" % self.difficulty)}],
            },
            "train": {
                "cmd": "python stages/train.py",
                "deps": [item(code) if self.lists_files else folder],
                "params": {"params.yaml": self.params},
                "outs": [{"path": "data/model", "md5": model}],
            },
            "evaluate": {
                "cmd": "python stages/evaluate.py",
                "deps": [{"path": "data/model", "md5": model}],
                "outs": [item("metrics/evaluation.json"), item("metrics/per_query.parquet")],
            },
        }

    def queries(self) -> pd.DataFrame:
        hardness = np.random.default_rng(self.difficulty).random(self.n_queries)
        rng = np.random.default_rng([1, self.luck])
        score = 0.6 * hardness + 0.4 * rng.random(self.n_queries)
        right = score < np.quantile(score, self.skill)
        fine = np.arange(self.n_queries) % N_CLASSES
        table = pd.DataFrame(
            {
                "sample": np.arange(self.n_queries, dtype=np.int32) + 7,
                "k1": score < np.quantile(score, self.skill - 0.02),
                "k20": right,
                "average_precision": np.clip(1.2 * self.skill - score, 0, 1).astype(np.float32),
                "copied": hardness < 0.05,
                "near_duplicate": hardness < 0.1,
                "fine": fine.astype(np.int16),
            }
        )
        if self.novel:
            table["novel"] = fine >= N_CLASSES - self.novel
            # Among fewer classes a few more are right.
            table["alone_k1"] = table["novel"] & (score < np.quantile(score, self.skill + 0.05))
        return table

    def pairs(self) -> pd.DataFrame:
        rng = np.random.default_rng([2, self.difficulty])
        n_pairs = 2 * self.n_queries
        left = rng.integers(self.n_queries, size=n_pairs)
        right = (left + rng.integers(1, self.n_queries, size=n_pairs)) % self.n_queries
        same = np.arange(n_pairs) % 2 == 0
        noise = np.random.default_rng([3, self.luck]).normal(size=n_pairs)
        distance = np.abs(np.where(same, 1 - self.skill, self.skill) + 0.25 * noise)
        return pd.DataFrame(
            {
                "left": (left + 7).astype(np.int32),
                "right": (right + 7).astype(np.int32),
                "same": same,
                "distance": distance.round(4).astype(np.float32),
            }
        )


def verification(pairs: pd.DataFrame) -> dict[str, float]:
    """Measure the pairs by scikit-learn, apart from the project's own code."""
    same, distance = pairs["same"].to_numpy(), pairs["distance"].to_numpy()
    far, hits, _ = roc_curve(same, -distance, drop_intermediate=False)
    grid = np.linspace(0, 1, 200_001)
    eer = grid[np.argmin(np.abs(grid - (1 - np.interp(grid, far, hits))))]
    accepted = distance <= THRESHOLD
    accuracy = (accepted[same].mean() + (~accepted[~same]).mean()) / 2
    return {"auc": roc_auc_score(same, -distance), "eer": float(eer), "accuracy": accuracy}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def folder_md5(contents: dict[str, bytes]) -> str:
    """Return the hash that DVC gives a folder with these files, by DVC itself."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for name, content in contents.items():
        tree.add(tuple(name.split("/")), None, HashInfo("md5", md5(content)))
    tree.digest()
    return str(tree.hash_info.value)


@dataclass
class Repository:
    """A Git repository whose commits are made-up runs."""

    root: Path

    def __post_init__(self) -> None:
        if not (self.root / ".git").exists():
            self.root.mkdir(exist_ok=True)
            self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        command = ["git", *IDENTITY, *arguments]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, run: MadeUp, tag: str | None = None) -> str:
        """Commit a run, on top of what is there; return the commit."""
        run.write(self.root)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a run")
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def compare(self, base: str, head: str = WORKSPACE) -> Comparison:
        """Compare revisions or experiments, given as `siamese compare` takes them."""
        return compare(find_revisions(base, self.root), find_revisions(head, self.root))

    def read_queries(self, revision: str) -> pd.DataFrame:
        """Read the figures of each query at a revision."""
        command = ["git", "show", f"{revision}:metrics/per_query.parquet"]
        return pd.read_parquet(io.BytesIO(subprocess.check_output(command, cwd=self.root)))

    def experiment(self, run: MadeUp, name: str) -> str:
        """Keep a run as DVC keeps an experiment: a commit under refs/exps, on no branch."""
        baseline = self.git("rev-parse", "HEAD")
        commit = self.commit(run)
        self.git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", commit)
        self.git("reset", "-q", "--hard", baseline)
        return commit
