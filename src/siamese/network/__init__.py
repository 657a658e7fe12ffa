"""The siamese network, and running it on a device over many images."""
