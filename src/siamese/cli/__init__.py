"""The command `siamese`."""
