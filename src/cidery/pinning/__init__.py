"""Asking a remote pinning service to keep content."""
