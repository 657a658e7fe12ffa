"""`siamese weights`: what it finds out, asks, sets and refuses; Hugging Face is a server here."""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from safetensors.numpy import save
from safetensors.torch import save as save_torch

from siamese.base import files
from siamese.base.errors import InputError
from siamese.cli.main import main
from siamese.cli.schema import check_params
from siamese.cli.weights import choose_weights
from siamese.weights.get_weights import get_weights
from siamese.weights.weights_params import WeightsParams
from tests.support.hugging_face import HuggingFace, hugging_face
from tests.support.workspace import ROOT

TINY = "timm/test_efficientnet"
HUB = "timm/test_efficientnet.r160_in1k"  # where timm says that its weights are
GOOD = save({"weight": np.arange(1000, dtype=np.float32)})
SHA256 = hashlib.sha256(GOOD).hexdigest()
REAL = ROOT.parent / "shared/weights/tf_efficientnet_lite0.safetensors"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HuggingFace]:
    with hugging_face() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project, without a network."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("SIAMESE_WEIGHTS", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    shutil.copyfile(ROOT / "params.yaml", project / "params.yaml")
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    copy = tmp_path / "a copy.safetensors"
    copy.write_bytes(GOOD)
    return copy


def weights_set() -> WeightsParams:
    return check_params(Path("params.yaml")).weights


def stage(params: WeightsParams) -> bytes:
    """Return the weights that the stage makes of the parameters."""
    weights = get_weights(params, Path("data/downloads"))
    assert weights is not None
    return weights.file.read_bytes()


def test_timms_own_weights_are_pinned_without_fetching_them(
    hub: HuggingFace, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"config.json": b"{}", "model.safetensors": GOOD, "pytorch_model.bin": b"\x80\x02"}
    commit = hub.put(HUB, files, cardData={"license": "apache-2.0"})
    assert main(["weights", TINY]) == 0
    source = f"hf:{HUB}@{commit}"
    assert [path for path, _ in hub.requests] == [f"/api/models/{HUB}"]
    found = weights_set()
    assert found == WeightsParams(
        source=source, bytes=len(GOOD), sha256=SHA256, license="apache-2.0"
    )
    output = capsys.readouterr().out
    assert f"  weights.source            none -> {source}\n" in output
    assert f"  network.architecture      resnet9 -> {TINY}\n" in output
    assert "images of 160 pixels; data.image_size is 32" in output
    assert output.endswith("Next: dvc repro, and siamese show\n")
    hub.put(HUB, {"model.safetensors": GOOD[::-1]})
    assert stage(found) == GOOD


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"cardData": {"license": "mit"}, "tags": ["license:other"]}, "mit"),
        ({"cardData": {"license": "other", "license_name": "dinov3"}}, "dinov3"),
        ({"cardData": {"license": ["mit", "bsd"]}, "tags": ["timm", "license:mit"]}, "mit"),
        ({"tags": ["license:cc-by-nc-4.0"]}, "cc-by-nc-4.0"),
        ({"cardData": None, "tags": None}, "apache-2.0"),  # what timm knows
    ],
)
def test_the_licence_is_the_makers(card: dict, expected: str, hub: HuggingFace) -> None:
    hub.put(HUB, {"model.safetensors": GOOD}, **card)
    assert choose_weights(TINY)["weights.license"] == expected


def test_another_repository_and_revision(hub: HuggingFace) -> None:
    commit = hub.put("me/mine", {"model.safetensors": GOOD})
    hub.put("me/mine", {"model.safetensors": GOOD[::-1]})
    values = choose_weights(TINY, source=f"hf:me/mine@{commit}")
    assert values["weights.source"] == f"hf:me/mine@{commit}"
    assert values["weights.sha256"] == SHA256
    assert values["weights.license"] == ""
    newest = choose_weights(TINY, source="hf:me/mine")
    assert newest["weights.source"] != values["weights.source"]


def test_a_copy_needs_no_network(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", TINY, "--copy", str(copy)]) == 0
    assert weights_set() == WeightsParams(
        source=f"hf:{HUB}", bytes=len(GOOD), sha256=SHA256, license="apache-2.0"
    )
    assert f"Next: SIAMESE_WEIGHTS='{copy}' dvc repro" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_the_copy_of_the_environment_is_used(
    prefix: str, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIAMESE_WEIGHTS", f"{prefix}{copy}")
    values = choose_weights(TINY)
    assert f"are those of SIAMESE_WEIGHTS={prefix}{copy}" in capsys.readouterr().out
    assert (values["weights.source"], values["weights.sha256"]) == (f"hf:{HUB}", SHA256)


def test_a_url_is_fetched_once_and_kept_for_the_stage(hub: HuggingFace) -> None:
    commit = hub.put("me/mine", {"any.safetensors": GOOD})
    url = f"{hub.url}/me/mine/resolve/{commit}/any.safetensors"
    assert main(["weights", TINY, "--source", url]) == 0
    found = weights_set()
    assert (found.source, found.bytes, found.sha256) == (url, len(GOOD), SHA256)
    hub.commits.clear()
    assert stage(found) == GOOD


def test_a_url_of_something_else_leaves_nothing_behind(hub: HuggingFace) -> None:
    commit = hub.put("me/mine", {"page": b"<html> Log in </html>"})
    with pytest.raises(InputError, match="a web page, not weights"):
        choose_weights(TINY, source=f"{hub.url}/me/mine/resolve/{commit}/page")
    assert not list(Path("data/downloads").iterdir())


def test_a_file_of_the_project_is_named_from_there_and_another_in_full(
    copy: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIAMESE_WEIGHTS", "/another/one")  # not this one
    own = project / "own" / "weights.safetensors"
    own.parent.mkdir()
    own.write_bytes(GOOD)
    for given, source in (
        (str(own), "own/weights.safetensors"),
        ("./own/../own/weights.safetensors", "own/weights.safetensors"),
        (f"../{copy.name}", str(copy)),
    ):
        assert main(["weights", TINY, "--source", given]) == 0
        assert weights_set().source == source
        assert stage(weights_set()) == GOOD
    assert "note: the licence of these weights is not known" in capsys.readouterr().out


def test_going_back_leaves_the_file_as_it_was(copy: Path) -> None:
    before = yaml.safe_load(Path("params.yaml").read_text())
    comments = [line.partition("#")[2] for line in Path("params.yaml").read_text().splitlines()]
    assert main(["weights", TINY, "--copy", str(copy)]) == 0
    assert main(["weights", "--none"]) == 0
    assert weights_set().source == "none"
    assert check_params(Path("params.yaml")).network.architecture == TINY
    assert main(["weights", "resnet9", "--none"]) == 0
    text = Path("params.yaml").read_text()
    assert yaml.safe_load(text) == before
    assert [line.partition("#")[2] for line in text.splitlines()] == comments


def test_without_a_name_it_is_the_network_of_params_yaml(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "--copy", str(copy)]) == 1
    assert "resnet9: pretrained weights are for networks of timm alone" in capsys.readouterr().err
    assert main(["weights", TINY, "--none"]) == 0
    assert main(["weights", "--copy", str(copy)]) == 0
    assert weights_set().source == f"hf:{HUB}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timm/resnte50"], "did you mean `timm/resnet50`, `"),
        (["timm/resnet50.a9_in1k"], "did you mean `timm/resnet50."),
        (["timm/qqqqqqqqqqq"], "has no such network; `python -c 'import timm; print("),
        (["timm/beit3_giant_patch14_224"], "timm names no safetensors for it; give some by"),
        ([TINY, "--source", "hf:mine"], "hf:mine: on Hugging Face, expected hf:OWNER/NAME"),
        ([TINY, "--source", "none.safetensors"], "none.safetensors: no such file"),
        ([TINY, "--none", "--copy", "x"], "--copy goes with pretrained weights"),
        ([TINY], f"fetch http://127.0.0.1:9/{HUB}/resolve/main/model.safetensors on another"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changed(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("params.yaml").read_bytes()
    assert main(["weights", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "the server answers 401: there is no such repository or revision"),
        ({"pytorch_model.bin": b"\x80\x02"}, "has no model.safetensors. Weights of another kind"),
        ({"big.safetensors": GOOD}, "it has big.safetensors: give one by its URL"),
    ],
)
def test_a_repository_without_weights_is_named(
    files: dict[str, bytes] | None, message: str, hub: HuggingFace
) -> None:
    if files:
        hub.put(HUB, files)
    with pytest.raises(InputError, match=message):
        choose_weights(TINY)


@pytest.mark.parametrize("answer", [b"<html>Log in</html>", b"[]", b"{}", b'{"siblings": [1]}'])
def test_an_answer_of_something_else_is_refused(
    answer: bytes, hub: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.put("me/mine", {"page": answer})
    page = f"{hub.url}/me/mine/resolve/{commit}/page?"
    monkeypatch.setenv("HF_ENDPOINT", page)
    with pytest.raises(InputError, match="the answer is not Hugging Face's"):
        choose_weights(TINY)


def test_without_timm_it_says_what_to_install(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'siamese\[timm\]'"):
        choose_weights(TINY, copy)


def test_weights_of_a_network_that_takes_none_are_refused(copy: Path) -> None:
    assert main(["weights", TINY, "--copy", str(copy)]) == 0
    file = Path("params.yaml")
    file.write_text(file.read_text().replace(f": {TINY}", ": resnet18"))
    with pytest.raises(InputError, match=r"`weights\.source` is hf:timm/test_efficientnet"):
        check_params(file)


def test_weights_saved_by_timm_are_taken(tmp_path: Path) -> None:
    network = timm.create_model("test_efficientnet")
    file = tmp_path / "mine.safetensors"
    file.write_bytes(save_torch({k: v.contiguous() for k, v in network.state_dict().items()}))
    values = choose_weights(TINY, source=str(file))
    assert values["weights.bytes"] == file.stat().st_size
    torch.save(network.state_dict(), file)
    with pytest.raises(InputError, match="a pickle"):
        choose_weights(TINY, source=str(file))


def test_the_real_weights(capsys: pytest.CaptureFixture[str]) -> None:
    if not REAL.is_file():
        pytest.skip(f"{REAL} is no file: a copy of timm's tf_efficientnet_lite0")
    assert main(["weights", "timm/tf_efficientnet_lite0", "--copy", str(REAL)]) == 0
    assert weights_set() == WeightsParams(
        source="hf:timm/tf_efficientnet_lite0.in1k",
        bytes=18_802_816,
        sha256=files.sha256(REAL),
        license="apache-2.0",
    )
    assert "images of 224 pixels" in capsys.readouterr().out
