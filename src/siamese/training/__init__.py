"""Training the siamese network."""
