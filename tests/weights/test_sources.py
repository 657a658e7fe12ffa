"""Where weights can be."""

import pytest

from siamese.weights.sources import Repository, is_path, place, repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("hf:timm/resnet50.a1_in1k", "timm/resnet50.a1_in1k/resolve/main"),
        (f"hf:timm/resnet50.a1_in1k@{COMMIT}", f"timm/resnet50.a1_in1k/resolve/{COMMIT}"),
        ("hf:some-one/x@refs/pr/1", "some-one/x/resolve/refs%2Fpr%2F1"),
    ],
)
@pytest.mark.parametrize("endpoint", ["", "http://mirror:8000/", "http://mirror:8000"])
def test_a_name_on_hugging_face_is_an_address(
    source: str, path: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    host = "http://mirror:8000" if endpoint else "https://huggingface.co"
    assert place(source) == f"{host}/{path}/model.safetensors"


def test_what_is_asked_of_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    api = "https://huggingface.co/api/models/a/b"
    assert Repository("a/b").api == f"{api}?blobs=true"
    assert Repository("a/b", "refs/pr/1").api == f"{api}/revision/refs%2Fpr%2F1?blobs=true"


@pytest.mark.parametrize("source", ["weights.safetensors", "/a/hf:b", "C:x", "http://x/y", "none"])
def test_other_sources_are_places_themselves(source: str) -> None:
    assert repository(source) is None
    assert place(source) == source
    assert is_path(source) == ("http" not in source)


@pytest.mark.parametrize(
    "source", ["hf:", "hf:x", "hf:/x", "hf:a/b/c", "hf:a/b@", "hf:a/b@x@y", "hf:a/b?x", "hf:a/b\n"]
)
def test_what_is_no_name_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION"):
        repository(source)
