"""Stored embeddings, as the stage `embed` writes them and others read them."""
