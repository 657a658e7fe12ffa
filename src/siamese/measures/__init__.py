"""Nearest neighbours, verification figures, and the manifests they are measured on."""
