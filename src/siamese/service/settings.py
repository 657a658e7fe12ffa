"""What a service is started with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from siamese.gallery.defaults import ADDRESS, MODEL, PREPARED

Runtime = Literal["torch", "onnx"]


@dataclass(frozen=True)
class Settings:
    """Where a service answers, from what, and how much it takes on.

    Attributes:
        host: an address of this machine; loopback unless others may ask.
        port: of TCP; 0 takes any that is free.
        gallery: a folder, or any address that LanceDB takes.
        model: the folder of the model that made the gallery.
        workspace: the project whose `metrics/` and pictures the page shows.
        prepared: the data set's folder, for images of the test split; the page does without it.
        token: whoever sends it may enrol and remove; without one, nobody may.
        runtime: what computes the embeddings.
        device: of PyTorch, for network and search: `cpu` or `cuda`.
        hold_bytes: what the gallery may take in memory; a larger one is searched by LanceDB.
        allowed_hosts: names besides those of `host` under which browsers may ask.
        request_bytes: the longest request body, all its files together.
        images_per_request: the most files of one request.
        neighbours_per_request: the most neighbours of all images of a request together.
        most_pixels: the most pixels of an image; see `siamese.images.reading.read_image`.
        queue: requests with a body that are worked on at once; one more is told to come again.
        timeout: seconds after which a request is given up, the reading of its body included.
        poll: seconds between two looks for a new version of the gallery.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    gallery: str = ADDRESS
    model: Path = MODEL
    workspace: Path = Path()
    prepared: Path = PREPARED
    token: str | None = None
    runtime: Runtime = "torch"
    device: str = "cpu"
    hold_bytes: int = 2**30
    allowed_hosts: tuple[str, ...] = ()
    request_bytes: int = 2**25
    images_per_request: int = 100
    neighbours_per_request: int = 10_000
    most_pixels: int = 2**25
    queue: int = 256
    timeout: float = 30
    poll: float = 1
