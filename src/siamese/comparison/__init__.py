"""Is a change real? Results of two commits or experiments, compared."""
