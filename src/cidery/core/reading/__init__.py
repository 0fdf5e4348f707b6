"""Paths to content, and what is at their end."""
