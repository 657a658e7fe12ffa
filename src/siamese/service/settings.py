"""What a service is started with."""

from dataclasses import dataclass
from pathlib import Path

from siamese.gallery.defaults import ADDRESS, MODEL, PREPARED


@dataclass(frozen=True)
class Settings:
    """Where a service answers, and from what.

    Attributes:
        host: an address of this machine; loopback unless others may ask.
        port: of TCP.
        gallery: a folder, or any address that LanceDB takes.
        model: the folder of the model that made the gallery.
        workspace: the project whose `metrics/` and pictures the page shows.
        prepared: the data set's folder, for images of the test split; the page does without it.
        token: whoever sends it may enrol and remove; without one, nobody may.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    gallery: str = ADDRESS
    model: Path = MODEL
    workspace: Path = Path()
    prepared: Path = PREPARED
    token: str | None = None
