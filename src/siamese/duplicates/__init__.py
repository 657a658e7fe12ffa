"""The stage `duplicates`: test images that show a photograph of the gallery."""
