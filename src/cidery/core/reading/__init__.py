"""Paths to content, and reading the content."""
