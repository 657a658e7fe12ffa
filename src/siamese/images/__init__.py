"""Pictures: finding their files, reading them, fitting them to the network's input."""
