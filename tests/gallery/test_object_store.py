"""A gallery and DVC's remote on an object store: a real server that speaks S3, on this machine."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from siamese.base.dataset import Dataset
from siamese.cli.main import main
from siamese.gallery.answers import LabelCount
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import PIECES, GalleryTable
from siamese.model.folder import Model
from tests.support.galleries import noise_images
from tests.support.workspace import ROOT, Workspace

pytestmark = pytest.mark.slow

# Enrols images one by one, each in a commit of its own, until pieces are joined meanwhile.
ENROLLER = """
import sys
import numpy as np
from siamese import Gallery, load_model
address, folder, label, seed, count = sys.argv[1:]
model = load_model(folder)
gallery = Gallery.open(address, model)
shape = int(count), *model.network.image_size, 3
images = np.random.default_rng(int(seed)).integers(0, 256, shape, dtype=np.uint8)
print("ready", flush=True)
sys.stdin.readline()
for image in images:
    assert gallery.enroll(image[None], label).added == 1
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server_module = pytest.importorskip(
        "moto.server", reason="moto's server is not installed: pip install -e '.[dev]'"
    )
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every request
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3

    for name, value in {
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    store = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").Bucket("bucket")
    store.create()
    yield "s3://bucket"
    store.objects.all().delete()
    store.delete()


def test_a_gallery_lives_in_a_bucket(
    bucket: str,
    finished: Workspace,
    built: Path,
    model: Model,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from PIL import Image

    monkeypatch.chdir(finished.path)
    picture = tmp_path / "noise" / "a.png"
    picture.parent.mkdir()
    Image.fromarray(noise_images(model, 1)[0]).save(picture)
    where = f"--gallery={bucket}/gallery"

    def asked(*arguments: str) -> list[dict]:
        capsys.readouterr()
        assert main([*arguments, where, "--json"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert main(["gallery", "info", where]) == 1
    assert "there is no gallery" in capsys.readouterr().err
    assert main(["gallery", "build", where]) == 0
    assert main(["enroll", str(picture), "--new", f"{where}/"]) == 1
    assert "there is a gallery already" in capsys.readouterr().err
    assert main(["enroll", str(picture), f"{where}/"]) == 0
    [info] = asked("gallery", "info")
    assert (info["address"], info["bytes"]) == (f"{bucket}/gallery", None)
    assert (info["pipeline"], info["enrolled"]) == (1437, 1)
    [answer] = asked("classify", str(picture), "-k", "1")
    assert answer["votes"] == [{"label": "noise", "share": 1.0}]
    assert asked("search", str(picture), "-k", "1")[0]["file"] == str(picture)

    images = np.asarray(dataset.images[dataset.rows("test")[:150]])
    for part in (images[:3], images):  # by LanceDB's scan, and in memory
        here = Gallery.open(f"{bucket}/gallery", model).classify(part, k=20)
        local = Gallery.open(built, model).classify(part, k=20)
        assert [one.votes for one in here] == [one.votes for one in local]

    held = Gallery.open(f"{bucket}/gallery", model)
    assert main(["gallery", "remove", "--label", "noise", where]) == 0
    assert main(["gallery", "tidy", where]) == 0
    assert main(["gallery", "build", where]) == 0
    assert held.info().enrolled == 0  # the version that it had opened is gone
    assert asked("gallery", "info")[0]["pipeline"] == 1437


def test_two_processes_enrol_at_once_and_lose_nothing(
    bucket: str, finished: Workspace, model: Model
) -> None:
    address, folder, count = f"{bucket}/shared", finished.path / "data/model", PIECES + 5
    Gallery.create(address, model)
    command = [sys.executable, "-c", ENROLLER, address, str(folder)]
    processes = [
        subprocess.Popen(
            [*command, f"by {number}", str(number), str(count)],
            cwd=ROOT / "src",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n")
        assert process.returncode == 0
    counts = Gallery.open(address).labels()
    assert counts == [LabelCount(f"by {number}", 0, count) for number in range(2)]
    numbers = GalleryTable.open(address).read(["number"])["number"].to_pylist()
    assert len(set(numbers)) == 2 * count


def test_dvc_pushes_and_pulls(endpoint: str, bucket: str, tmp_path: Path) -> None:
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed: pip install -e '.[dev]'")
    place = Workspace(tmp_path / "repository")
    place.path.mkdir()
    place.git("init", "-q")
    place.dvc("init", "-q")
    (place.path / "data").mkdir()
    for number in range(3):
        (place.path / "data" / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    place.dvc("add", "data")
    place.dvc("remote", "add", "--default", "shared", f"{bucket}/dvc")
    place.dvc("remote", "modify", "shared", "endpointurl", endpoint)
    assert "4 files pushed" in place.dvc("push")
    shutil.rmtree(place.path / "data")
    shutil.rmtree(place.path / ".dvc/cache")
    assert "5 files added" in place.dvc("pull") or (place.path / "data").is_dir()
    for number in range(3):
        assert (place.path / "data" / f"{number}.bin").read_bytes() == bytes([number]) * 1000
    assert "Cache and remote 'shared' are in sync" in place.dvc("status", "--cloud")
