"""Collecting garbage: what is reached from the roots, marked, saved and swept."""
