"""The stage `pairs`: balanced pairs of images, drawn once."""
