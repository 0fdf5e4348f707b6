"""Garbage collection: blocks reachable from the roots are marked, the rest is swept."""
