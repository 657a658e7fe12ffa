"""Peak memory of the stages does not grow with the number of images, on a made-up folder of them.

What counts is anonymous memory: pages of the memory-mapped file are the system's to take back.
"""

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from siamese.cli.adoption import adopt
from tests.support.workspace import Workspace, new_workspace

pytestmark = pytest.mark.slow

SIDE, CLASSES = 96, 20
# The few fill the buffers of fixed size: 16 MB of images, and the 500 validation images that are
# embedded at once (of the split that training has, `test` being cut off). The allocator keeps some
# more of what is freed for some ten thousand images, and then no more.
FEW, MANY = 2000, 20_000
SMALL = {
    "data": {"image_size": SIDE},
    "prepare": {"validation": 0.4},
    "pairs": {
        "batch_size": 20,
        "classes_per_batch": 10,
        "batches_per_epoch": 4,
        "epochs": 1,
        "validation": 40,
        "test": 100,
    },
    "network": {"width": 2},
    "train": {"monitor_gallery": 200},
    "embed": {"batch_size": 20},
}


def folder_of_images(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        file = folder / f"{number % CLASSES:02}" / f"{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        small.resize((SIDE + 8, SIDE), Image.Resampling.BICUBIC).save(file)


class MemoryWatch:
    """Watches the anonymous memory of a process and its children, and keeps the peak.

    A child just made has all its parent's memory, not a copy of it, until it starts its own
    program, as where joblib asks `lscpu` for the number of cores. So only those that last count.

    Attributes:
        peak: in bytes.
    """

    def __init__(self, process: psutil.Process) -> None:
        """Watch a process, from its start on."""
        self.process = process
        self.peak = 0
        self._first_seen: dict[psutil.Process, float] = {}

    def look(self) -> None:
        """Look once; processes that have ended have no memory."""
        with suppress(psutil.NoSuchProcess):
            now = time.monotonic()
            children = self.process.children(recursive=True)
            lasting = [c for c in children if now - self._first_seen.setdefault(c, now) > 1]
            self.peak = max(self.peak, sum(map(anonymous_memory, [self.process, *lasting])))


def anonymous_memory(process: psutil.Process) -> int:
    """Bytes of a process that are backed by no file; none, if it has ended."""
    with suppress(psutil.NoSuchProcess):
        memory = process.memory_info()
        return memory.rss - memory.shared
    return 0


def peak_of(workspace: Workspace, stage: str) -> float:
    """Run a stage without DVC; return its peak of anonymous memory in megabytes."""
    command = [sys.executable, str(workspace.path / f"stages/{stage}.py")]
    # One arena: else the allocator keeps more of what is freed, the more threads there are.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    with tempfile.TemporaryFile() as output:
        process = psutil.Popen(command, stdout=output, stderr=output, env=environment)
        watch = MemoryWatch(process)
        while process.poll() is None:
            watch.look()
            time.sleep(0.005)
        output.seek(0)
        assert process.returncode == 0, output.read().decode()
    return watch.peak / 1e6


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Workspace]:
    """Two folders, the second of ten times as many images."""
    made = []
    for count in (FEW, MANY):
        workspace = new_workspace(tmp_path_factory.mktemp("memory") / "repository")
        folder_of_images(workspace.path / "photos", count)
        adopt(Path("photos"), workspace=workspace.path, kind="small")
        workspace.change_params(SMALL)
        made.append(workspace)
    return made[0], made[1]


# In the order of the pipeline: each reads what the one before has written.
@pytest.mark.parametrize(
    "stage", ["download", "weights", "prepare", "duplicates", "pairs", "train", "embed"]
)
def test_the_images_are_not_in_memory(workspaces: tuple[Workspace, Workspace], stage: str) -> None:
    # Short peaks are missed now and then: of the few, which take moments, twice as many are seen.
    few = max(peak_of(workspaces[0], stage) for _ in range(2))
    many = peak_of(workspaces[1], stage)
    all_images = (MANY - FEW) * SIDE * SIDE * 3 / 1e6  # 500 MB
    # Something is kept of each image: labels, digests, 96 numbers to find copies by, embeddings.
    # And `duplicates` looks at up to 65,536 images at once, as 16 x 16 pixels.
    assert many - few < all_images / 4, f"{few:.0f} MB for {FEW} images, {many:.0f} MB for {MANY}"
