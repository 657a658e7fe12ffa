"""The stage `pairs`: balanced pairs of images, drawn once, or pairs that are given."""
