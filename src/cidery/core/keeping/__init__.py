"""Keeping and removing blocks: pins, announcing, garbage collection."""
