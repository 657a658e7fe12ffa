"""What everything else stands on; imports nothing else of the project."""
