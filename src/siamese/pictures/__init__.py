"""What all pictures of the pipeline share."""
