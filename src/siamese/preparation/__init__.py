"""The stage `prepare`: listing images, cutting splits, bringing images to one size."""
