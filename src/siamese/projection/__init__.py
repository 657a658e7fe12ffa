"""The gallery in two dimensions: which images a map shows, and where."""
