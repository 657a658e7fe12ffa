"""The stage `download`: archives, fetched, checked and decoded into a canonical order."""
