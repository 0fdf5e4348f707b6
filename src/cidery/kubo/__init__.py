"""Reads a Kubo repository: its blocks, its LevelDB, its config. Nothing here ever writes to it."""
