"""Weights from wherever they are: fetched, resumed, verified, or refused with what to do."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from siamese.base.errors import InputError
from siamese.base.weights_folder import Origin, Weights
from siamese.sources import fetch as fetching
from siamese.weights.get_weights import get_weights
from siamese.weights.weights_params import WeightsParams
from tests.support.hugging_face import HuggingFace, hugging_face
from tests.support.workspace import ROOT

GOOD = save({"weight": np.random.default_rng(0).random(20_000, dtype=np.float32)})
OTHER = save({"weight": np.random.default_rng(1).random(20_000, dtype=np.float32)})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HuggingFace]:
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(fetching, "CHUNK", 1000)  # what breaks off arrives in whole chunks here
    with hugging_face() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def params(source: str | Path, content: bytes = GOOD) -> WeightsParams:
    sha256 = hashlib.sha256(content).hexdigest()
    return WeightsParams(source=str(source), bytes=len(content), sha256=sha256, license="mit")


def kept(downloads: Path) -> list[Path]:
    return sorted(downloads.iterdir()) if downloads.exists() else []


def test_a_name_on_hugging_face_is_fetched_once(hub: HuggingFace, downloads: Path) -> None:
    commit = hub.put("timm/tiny", {"model.safetensors": GOOD})
    hub.put("timm/tiny", {"model.safetensors": OTHER})  # and what is pinned stays
    wanted = params(f"hf:timm/tiny@{commit}")
    for _ in range(2):
        weights = get_weights(wanted, downloads)
        assert weights is not None
        assert weights == Weights(
            downloads / f"weights-{wanted.sha256[:16]}.safetensors",
            Origin(f"hf:timm/tiny@{commit}", wanted.sha256, "mit"),
        )
        assert weights.file.read_bytes() == GOOD
        assert kept(downloads) == [weights.file]
    assert len([path for path, _ in hub.requests if path.startswith("/cdn")]) == 1


def test_a_transfer_that_breaks_goes_on_where_it_stopped(hub: HuggingFace, downloads: Path) -> None:
    hub.put("timm/tiny", {"model.safetensors": GOOD})
    hub.break_after = [20_000] * fetching.TRIES
    with pytest.raises(InputError, match="continues where it stopped"):
        get_weights(params("hf:timm/tiny"), downloads)
    [partial] = kept(downloads)
    there = partial.stat().st_size
    assert 0 < there < len(GOOD)
    weights = get_weights(params("hf:timm/tiny"), downloads)
    assert weights is not None
    assert weights.file.read_bytes() == GOOD
    assert hub.requests[-1][1] == there
    assert kept(downloads) == [weights.file]


def test_a_url_is_fetched_too(hub: HuggingFace, downloads: Path) -> None:
    commit = hub.put("timm/tiny", {"other.safetensors": GOOD})
    url = f"{hub.url}/timm/tiny/resolve/{commit}/other.safetensors"
    weights = get_weights(params(url), downloads)
    assert weights is not None
    assert weights.file.read_bytes() == GOOD
    assert weights.origin.source == url


def test_a_file_of_this_machine_is_used_where_it_lies(tmp_path: Path, downloads: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(GOOD)
    weights = get_weights(params(file), downloads)
    assert weights is not None
    assert weights.file == file
    assert kept(downloads) == []


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_copy_stands_in_for_the_source(prefix: str, tmp_path: Path, downloads: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(GOOD)
    weights = get_weights(params("hf:timm/tiny"), downloads, f"{prefix}{copy}")
    assert weights is not None
    assert weights.file.read_bytes() == GOOD
    assert weights.origin.source == "hf:timm/tiny"  # no path of this machine


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_another_file_is_told_its_checksum(prefix: str, tmp_path: Path, downloads: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(OTHER)
    with pytest.raises(InputError) as caught:
        get_weights(params("hf:timm/tiny"), downloads, f"{prefix}{copy}")
    for content in (OTHER, GOOD):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert f"siamese weights --source {'hf:timm/tiny' if prefix else copy}" in str(caught.value)
    assert kept(downloads) == []


def test_a_file_that_is_no_safetensors_is_refused_whatever_its_checksum(
    hub: HuggingFace, tmp_path: Path, downloads: Path
) -> None:
    page = b"<!doctype html><title>Log in</title>"
    copy = tmp_path / "copy"
    copy.write_bytes(page)
    with pytest.raises(InputError, match="a web page, not weights"):  # and not: another checksum
        get_weights(params("hf:timm/tiny"), downloads, str(copy))
    hub.put("timm/tiny", {"model.safetensors": page})
    with pytest.raises(InputError, match="a web page, not weights"):
        get_weights(params("hf:timm/tiny", page), downloads)


def test_what_was_replaced_on_hugging_face_is_not_taken(hub: HuggingFace, downloads: Path) -> None:
    hub.put("timm/tiny", {"model.safetensors": OTHER})
    with pytest.raises(InputError, match=r"If another file has taken its place, `siamese weights"):
        get_weights(params("hf:timm/tiny"), downloads)
    assert kept(downloads) == []


def test_without_a_network_the_message_says_how_to_go_on(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    wanted = params("hf:timm/tiny")
    file = downloads / f"weights-{wanted.sha256[:16]}.safetensors"
    with pytest.raises(InputError) as caught:
        get_weights(wanted, downloads)
    for part in (
        "http://127.0.0.1:9/timm/tiny/resolve/main/model.safetensors: no connection",
        "make repro WEIGHTS=path-or-URL",
        "SIAMESE_WEIGHTS",
        f"place it at {file} ({len(GOOD):,} bytes, SHA-256 {wanted.sha256})",
    ):
        assert part in str(caught.value)
    file.write_bytes(GOOD)
    assert get_weights(wanted, downloads) is not None


@pytest.mark.parametrize("named", ["SIAMESE_WEIGHTS", "weights.source"])
def test_a_missing_file_is_named_with_who_names_it(named: str, tmp_path: Path) -> None:
    file = tmp_path / "nothing.safetensors"
    copy = str(file) if named == "SIAMESE_WEIGHTS" else None
    source = "hf:timm/tiny" if copy else str(file)
    with pytest.raises(InputError, match=f"{file}: no such file; {named} says .*WEIGHTS=path"):
        get_weights(params(source), tmp_path, copy)


def test_none_costs_nothing(downloads: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = WeightsParams(source="none", bytes=0, sha256="", license="")
    assert get_weights(none, downloads, "/no/such/file") is None
    assert "SIAMESE_WEIGHTS=/no/such/file is ignored" in capsys.readouterr().out
    assert not downloads.exists()
    code = (
        "import sys; from pathlib import Path; from siamese.weights.get_weights import *;"
        "from siamese.weights.weights_params import WeightsParams;"
        "get_weights(WeightsParams(source='none', bytes=0, sha256='', license=''), Path());"
        "print(sorted({'torch', 'numpy', 'safetensors', 'requests', 'tqdm'} & set(sys.modules)))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT / "src", text=True)
    assert output == "[]\n"
