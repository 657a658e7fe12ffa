"""What an embedding is worth: classification, retrieval, verification, and the floors."""
