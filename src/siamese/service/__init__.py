"""`siamese serve`: the gallery over HTTP, and a page for the browser."""
