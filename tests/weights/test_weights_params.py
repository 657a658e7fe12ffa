"""The section `weights` of params.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from siamese.base.errors import InputError
from siamese.base.params import Section, read_sections
from siamese.weights.weights_params import WeightsParams

NONE: dict[str, Any] = {"source": "none", "bytes": 0, "sha256": "", "license": ""}
GIVEN = NONE | {"source": "hf:timm/resnet50", "bytes": 1, "sha256": "0" * 64}


class Sections(Section):
    weights: WeightsParams


def read(content: dict[str, Any], folder: Path) -> WeightsParams:
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump({"weights": content}))
    return read_sections(Sections, file).weights


@pytest.mark.parametrize("content", [NONE, GIVEN, GIVEN | {"source": "../mine.safetensors"}])
def test_good_ones(content: dict[str, Any], tmp_path: Path) -> None:
    assert read(content, tmp_path).model_dump() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": ""}, "`weights.source` is ''"),
        ({"source": "hf:resnet50"}, "`weights.source` is 'hf:resnet50'; on Hugging Face, expected"),
        ({"bytes": -1}, "`weights.bytes` is -1"),
        ({"sha256": "A" * 64}, "`weights.sha256` is 'A"),
        ({"sha256": "0" * 63}, "`weights.sha256` is '0"),
        ({"licence": "mit"}, "unknown key `weights.licence`; did you mean `license`"),
        ({"bytes": 0}, "`siamese weights --source hf:timm/resnet50` finds out"),
        ({"sha256": ""}, "`weights.bytes` and `weights.sha256` do not say"),
    ],
)
def test_bad_ones_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(GIVEN | change, tmp_path)
