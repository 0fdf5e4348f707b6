"""Importing and exporting CAR archives."""
