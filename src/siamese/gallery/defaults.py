"""What the gallery's commands and functions assume unless told otherwise; imports nothing heavy."""

from pathlib import Path

ADDRESS = "data/gallery"
MODEL = Path("data/model")
EMBEDDINGS = Path("data/embeddings/gallery.parquet")
PREPARED = Path("data/prepared")
# Share of held-out images that are still like something in the gallery.
NOVELTY_SHARE = 0.99
# Neighbours that vote on the class of an image, and images that a search finds; fewer where the
# gallery has fewer rows.
VOTERS, FOUND = 20, 10
# Why claims take no false-accept rate.
ONE_THRESHOLD = (
    "claims have one threshold for each number of references, where both error rates are most"
    " nearly equal; leave the rate out"
)
