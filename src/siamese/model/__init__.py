"""The model folder: a trained network with all that is needed to use it."""
