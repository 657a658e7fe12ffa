"""The Git repository around a project."""
