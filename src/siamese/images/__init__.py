"""Reading any common picture, and bringing it to the size of the network."""
